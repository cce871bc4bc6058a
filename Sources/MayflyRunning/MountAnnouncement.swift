// MountAnnouncement: what `mayfly mount --json` prints once the mount answers.

internal import Glibc
import Mayfly

/// A mount that has come about, and where its server is asked. The names are those of the JSON and part of the
/// interface (Docs/Control.md): fields are added and never renamed.
package struct MountAnnouncement: Encodable, Sendable {
    /// Of the server.
    var version = MayflyVersion.text
    /// Absolute.
    var mountpoint: String
    /// The server's control socket; missing where none could be made.
    var socket: String?
    /// Of the server.
    var processID = getpid()
    /// "ring" or "device", as in `MountReport`.
    var transport: String
    /// Why there is no ring, and what to do; missing where there is one.
    var ringAbsence: String?
    /// Ring queues; 0 without the ring.
    var queues: Int
    /// Entries of each.
    var queueDepth: Int
    /// Bytes that one request carries at most.
    var payloadBytes: Int
    /// Buffers of the ring or of /dev/fuse.
    var ringBytes: UInt64
    /// The limit of content.
    var sizeBytes: UInt64
    /// The limit of files, directories and further links.
    var inodes: UInt64
    /// The most that the mount can ever take.
    var maximumBytes: UInt64

    init(_ summary: MountSummary, socket: String?) {
        mountpoint = summary.mountpoint
        self.socket = socket
        transport = summary.transport == .ring ? "ring" : "device"
        ringAbsence = summary.transport == .ring ? nil : summary.ringAdvice
        queues = summary.queueCount
        queueDepth = summary.queueDepth
        payloadBytes = summary.payloadBytes
        ringBytes = summary.ringMemoryBytes
        sizeBytes = summary.sizeBytes
        inodes = summary.inodes
        maximumBytes = summary.maximumMemoryBytes
    }
}
