// MountList: the mounts there are, from the mount table and from what their servers have left.
//
// Neither knows all: a mount in another mount namespace, or a detached one, stands in no table
// here, and the server of a dead mount, or of one by a program of its own, has no socket.

import CMemory
import Glibc

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
    /// Why it does not answer, and what to do; missing where it does, and where it is dead.
    public var problem: String?
    /// What the server tells; missing where it has no socket, or does not answer.
    public var report: MountReport?
}

/// Finding the mounts of this machine.
public enum MountList {
    /// All Mayfly mounts of this user, or for root everyone's, by mountpoint.
    ///
    /// Removes what killed servers have left behind. Takes a few seconds at most, however many
    /// servers hang: nothing here waits for a mount itself.
    public static func current() -> [ListedMount] {
        let folders = ControlFolder.all()
        for folder in folders { folder.removeStale() }
        var listed: [UInt32: ListedMount] = [:]
        let clients = folders.flatMap { folder in
            folder.connections().map { ControlClient(folder: folder, connection: $0) }
        }
        for (client, report) in zip(clients, ControlClient.reports(of: clients)) {
            if let mount = mount(client, report) { listed[client.connection] = mount }
        }
        let user = geteuid()
        var others: [(entry: MountTable.Entry, connection: UInt32)] = []
        for entry in MountTable.current().entries where entry.isOwn {
            guard let connection = entry.connection else { continue }
            if listed[connection] != nil {
                listed[connection]?.isVisible = true
            } else if user == 0 || entry.userID == user {
                others.append((entry, connection))
            }
        }
        for mount in withoutSocket(others) { listed[mount.connection] = mount }
        return listed.values.sorted {
            ($0.mountpoint, $0.connection) < ($1.mountpoint, $1.connection)
        }
    }

    /// What a server with a socket tells, or has told.
    private static func mount(
        _ client: ControlClient, _ report: Result<MountReport, ControlError>
    ) -> ListedMount? {
        guard let record = client.record else { return nil }
        var mount = ListedMount(
            mountpoint: record.mountpoint, connection: client.connection, state: .serving,
            isVisible: false, processID: record.processID)
        switch report {
        case .success(let report): mount.report = report
        case .failure(.dead): return nil
        case .failure: mount.fallSilent()
        }
        return mount
    }

    /// Mounts that no socket belongs to: of a program that uses the library, or dead ones.
    private static func withoutSocket(
        _ found: [(entry: MountTable.Entry, connection: UInt32)]
    ) -> [ListedMount] {
        if found.isEmpty { return [] }
        let servers = MountHolders.servers()
        let unseen = found.filter { servers[$0.connection] == nil }.map(\.entry.mountpoint)
        let answers =
            MountHolders.seesEveryServer ? [:] : MountAnswers.of(Array(Set(unseen)), seconds: 1)
        return found.map { entry, connection in
            var mount = ListedMount(
                mountpoint: entry.mountpoint, connection: connection, state: .serving,
                isVisible: true, processID: servers[connection])
            if let server = mount.processID {
                if let state = MountHolders.state(of: server), "TtZX".contains(state) {
                    mount.fallSilent()
                }
            } else if MountHolders.seesEveryServer {
                mount.state = .dead
            } else {
                switch answers[entry.mountpoint] {
                case nil: mount.fallSilent()
                case ENOTCONN, ECONNABORTED: mount.state = .dead
                default: break
                }
            }
            return mount
        }
    }
}

extension ListedMount {
    fileprivate mutating func fallSilent() {
        state = .silent
        problem = MountControl.silence(mountpoint, connection: connection, server: processID)
    }
}

/// Whether mounts answer requests: for those whose servers cannot be seen.
private enum MountAnswers {
    /// The errno, or 0, that each mountpoint has answered with within a time.
    static func of(_ mountpoints: [String], seconds: UInt64) -> [String: Int32] {
        var ends: [Int32] = [-1, -1]
        guard !mountpoints.isEmpty, unsafe cmem_pipe(&ends) == 0 else { return [:] }
        defer { close(ends[0]) }
        for (number, mountpoint) in mountpoints.enumerated() {
            _ = unsafe cmem_ask_apart(mountpoint, Int32(number), ends[1])
        }
        close(ends[1])
        var answers: [String: Int32] = [:]
        let deadline = cmem_monotonic_nanoseconds() + seconds * 1_000_000_000
        while answers.count < mountpoints.count {
            let now = cmem_monotonic_nanoseconds()
            var input = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            let left = now < deadline ? Int32((deadline - now) / 1_000_000) + 1 : 0
            guard unsafe poll(&input, 1, left) > 0 else { break }
            var asked = cmem_asked()
            let size = MemoryLayout<cmem_asked>.size
            guard unsafe read(ends[0], &asked, size) == size else { break }
            answers[mountpoints[Int(asked.number)]] = asked.error
        }
        return answers
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
