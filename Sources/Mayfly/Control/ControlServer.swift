// ControlServer: the socket on which a server tells of its mount and takes new limits.
//
// It answers on one thread that waits its turn and shares no lock with a request of the file
// system, so that a client that is slow or hostile costs the mount nothing (Docs/Control.md).

internal import Glibc
internal import MayflyHTTP
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

/// A mount's control socket, there until `stop`.
public final class ControlServer: Sendable {
    /// Where it listens.
    public let path: String

    /// Why it is not where it should be; nil where it is.
    package var remark: String? { folder.remark }

    private let folder: ControlFolder
    private let connection: UInt32
    private let inode: UInt64?
    private let listener: HTTPListener
    private let events: EventLog
    /// nil where there was no descriptor or thread for it.
    private let trees: TreeServer?
    private let isStopped = Atomic<Bool>(false)

    /// Listens for a mount. Removes the names that killed servers have left, first.
    ///
    /// - Throws: what keeps the socket from being made; the mount works as well without.
    public convenience init(_ fileSystem: MountedFileSystem) throws(MountError) {
        try self.init(fileSystem, in: ControlFolder.own())
    }

    init(_ fileSystem: MountedFileSystem, in folder: ControlFolder) throws(MountError) {
        guard let connection = fileSystem.connection else {
            throw MountError(.system, "the mount has no number to name a control socket by")
        }
        folder.removeStale()
        let owner = geteuid()
        let stranger = Self.stranger(map: HostFile.text(at: "/proc/self/uid_map"))
        do {
            let admits: @Sendable (UInt32) -> Bool = {
                Self.mayTalk($0, owner: owner, stranger: stranger)
            }
            (listener, trees) = try folder.locked {
                let forTrees = try? folder.listen(connection, .trees)
                let trees = forTrees.flatMap {
                    try? TreeServer(socket: $0, fileSystem, admits: admits)
                }
                let socket = try folder.listen(connection)
                let record = ControlRecord(fileSystem.summary, connection: connection)
                try folder.write("\(connection).json", ControlJSON.encoded(record))
                let listener = try HTTPListener(
                    socket: socket, admits: admits,
                    answer: { ControlInterface.answer($0, fileSystem) })
                return (listener, trees)
            }
        } catch {
            folder.locked { folder.remove(connection) }
            throw MountError(.system, "no control socket in \(folder.path): \(error)")
        }
        events = fileSystem.events
        self.folder = folder
        self.connection = connection
        path = folder.socketPath(connection)
        inode = folder.socketInode(connection)
    }

    /// Removes the names, stops listening and drops those connected; nothing more the next time.
    public func stop() {
        if isStopped.exchange(true, ordering: .relaxed) { return }
        folder.locked {
            // The number may be another mount's by now.
            if folder.socketInode(connection) == inode { folder.remove(connection) }
        }
        // Who listens to events hears the last of them.
        events.waitForListeners(milliseconds: 500)
        listener.stop()
        trees?.stop()
    }

    /// Whether a client of this user may talk to a server of that one.
    ///
    /// - Parameter stranger: what everybody is seen as who has no number in the server's user
    ///   namespace. The folder of the sockets is open to its owner alone, so this is root outside.
    static func mayTalk(_ user: UInt32, owner: UInt32, stranger: UInt32? = nil) -> Bool {
        user == 0 || user == owner || user == stranger
    }

    /// The overflow user where a namespace does not have all users, nil where it has.
    static func stranger(map: String?) -> UInt32? {
        let numbers = (map ?? "").split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) }
        if numbers.isEmpty || numbers == [0, 0, .max] { return nil }
        let text = HostFile.text(at: "/proc/sys/kernel/overflowuid")
        return text.flatMap { UInt32($0.split(separator: "\n").first ?? "") }
    }
}
