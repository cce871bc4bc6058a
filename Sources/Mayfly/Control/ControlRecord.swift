// ControlRecord: what a server leaves beside its socket, so that it is known even when it hangs.

internal import Glibc

/// The content of NUMBER.json.
struct ControlRecord: Codable, Sendable, Equatable {
    var connection: UInt32
    var mountpoint: String
    var processID: Int32
    var userID: UInt32
    var version: String

    init(_ summary: MountSummary, connection: UInt32) {
        self.connection = connection
        mountpoint = summary.mountpoint
        processID = getpid()
        userID = geteuid()
        version = MayflyVersion.text
    }
}
