// MountList: the mounts there are, from the mount table and from what their servers have left.
//
// Neither knows all: a mount in another mount namespace, or a detached one, stands in no table
// here, and the server of a dead mount, or of one by a program of its own, has no socket.

import Glibc
internal import Synchronization

/// A mount as a command finds it.
public struct ListedMount: Codable, Sendable, Equatable {
    /// How a mount's server is.
    public enum State: String, Codable, Sendable {
        /// Its server answers.
        case serving
        /// Its server is there but does not answer in time.
        case silent
        /// Its server is gone: every access fails until it is unmounted.
        case dead
    }

    /// Absolute, as the server's namespace has it.
    public var mountpoint: String
    /// Minor number of the mount's device.
    public var connection: UInt32
    /// How the server is.
    public var state: State
    /// Whether the mountpoint is one here; otherwise it is detached, or in another mount namespace.
    public var isVisible: Bool
    /// The server's, where it is known.
    public var processID: Int32?
    /// What the server tells; missing where it has no socket, or does not answer.
    public var report: MountReport?
}

/// Finding the mounts of this machine.
public enum MountList {
    /// All Mayfly mounts of this user, or for root everyone's, by mountpoint.
    ///
    /// Removes what killed servers have left behind.
    public static func current() -> [ListedMount] {
        let folders = ControlFolder.all()
        for folder in folders { folder.removeStale() }
        var listed: [UInt32: ListedMount] = [:]
        for folder in folders {
            for connection in folder.connections() {
                let client = ControlClient(folder: folder, connection: connection)
                if let mount = asked(client) { listed[connection] = mount }
            }
        }
        let user = geteuid()
        for entry in MountTable.current().entries where entry.isOwn {
            guard let connection = entry.connection else { continue }
            if listed[connection] != nil {
                listed[connection]?.isVisible = true
            } else if user == 0 || entry.userID == user {
                listed[connection] = withoutSocket(entry, connection)
            }
        }
        return listed.values.sorted {
            ($0.mountpoint, $0.connection) < ($1.mountpoint, $1.connection)
        }
    }

    /// What a server with a socket tells, or has told.
    private static func asked(_ client: ControlClient) -> ListedMount? {
        guard
            let record = client.folder.read("\(client.connection).json").flatMap({
                ControlJSON.decoded(ControlRecord.self, $0)
            })
        else { return nil }
        var mount = ListedMount(
            mountpoint: record.mountpoint, connection: client.connection, state: .silent,
            isVisible: false, processID: record.processID)
        do throws(ControlError) {
            mount.report = try client.get(MountReport.self, "/v1/mount")
            mount.state = .serving
        } catch {
            if error == .dead { return nil }
        }
        return mount
    }

    /// A mount that no socket belongs to: of a program that uses the library, or a dead one.
    private static func withoutSocket(
        _ entry: MountTable.Entry, _ connection: UInt32
    ) -> ListedMount {
        let server = MountHolders.server(ofConnection: "\(connection)")
        let state: ListedMount.State =
            server != nil ? .serving : answers(entry.mountpoint)
        return ListedMount(
            mountpoint: entry.mountpoint, connection: connection, state: state,
            isVisible: true, processID: server)
    }

    /// Whether the mount answers a request. Asked by a thread that may be left waiting for ever:
    /// it ends with the process.
    private static func answers(_ mountpoint: String) -> ListedMount.State {
        let answer = Answer()
        let isAsked = (try? SignalWatch.thread {
            // Not stat(2), which the kernel answers from what it has cached.
            var status = statvfs()
            let isThere = unsafe statvfs(mountpoint, &status) == 0
            let isDead = !isThere && (errno == ENOTCONN || errno == ECONNABORTED)
            answer.word.store(isDead ? 2 : 1, ordering: .releasing)
        }) != nil
        guard isAsked else { return .silent }
        for _ in 0..<200 {
            switch answer.word.load(ordering: .acquiring) {
            case 1: return .serving
            case 2: return .dead
            default: usleep(5000)
            }
        }
        return .silent
    }

    /// 0: none yet; 1: it answers; 2: it is dead.
    private final class Answer: Sendable {
        let word = Atomic<Int>(0)
    }
}

extension MountTable.Entry {
    /// The number of the FUSE connection.
    var connection: UInt32? { device.split(separator: ":").last.flatMap { UInt32($0) } }

    /// The user that mounted it.
    ///
    /// - Source: fs/fuse/inode.c, `fuse_show_options()`.
    var userID: UInt32? {
        let prefix = "user_id="
        let option = options.split(separator: ",").first { $0.hasPrefix(prefix) }
        return option.flatMap { UInt32($0.dropFirst(prefix.count)) }
    }
}
