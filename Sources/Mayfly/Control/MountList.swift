// MountList: the mounts there are, from the mount table and from what their servers have left.
//
// Neither knows all: a mount in another mount namespace, or a detached one, stands in no table
// here, and the server of a dead mount, or of one by a program of its own, has no socket.

import CMayflyMemory
import CMayflySystem
import Glibc
internal import MayflyHTTP
internal import MayflyHost

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
    /// Names that are looked at in the folder of another user, and servers of theirs that are asked.
    private static let foreignNameLimit = 512
    private static let foreignServerLimit = 64
    /// How long others' sockets are looked at before any is asked.
    private static let lookNanoseconds: UInt64 = 1_000_000_000

    /// A server with a socket, which is believed to be that of its connection.
    private struct Found {
        let client: ControlClient
        /// nil where too many wait for it already.
        let peer: ControlPeer?
        let server: Int32?
    }

    /// All Mayfly mounts of this user, or for root everyone's, by mountpoint.
    public static func current() -> [ListedMount] { survey().mounts }

    /// All Mayfly mounts of this user, or for root everyone's, by mountpoint, and a line for each folder
    /// of which not all was looked at.
    ///
    /// Removes what killed servers of this user have left behind. Takes a few seconds at most,
    /// whatever servers and other users do: nothing here waits for a mount itself.
    public static func survey() -> (mounts: [ListedMount], remarks: [String]) {
        DescriptorLimit.raise()
        let folders = ControlFolder.all()
        for folder in folders where folder.isOwn { folder.removeStale() }
        var remarks: [String] = []
        let found = servers(in: folders, &remarks)
        var listed: [UInt32: ListedMount] = [:]
        let table = MountTable.current()
        let asked = found.filter { $0.peer != nil }
        var reports: [Result<MountReport, ControlError>] = []
        for start in stride(from: 0, to: asked.count, by: HTTPClient.requestLimit) {
            let part = asked[start..<min(start + HTTPClient.requestLimit, asked.count)]
            reports += ControlClient.reports(of: part.compactMap(\.peer))
        }
        for (found, report) in zip(asked, reports) {
            listed[found.client.connection] = mount(found, report, table)
        }
        for found in found where found.peer == nil {
            listed[found.client.connection] = mount(found, .failure(.silent), table)
        }
        let user = geteuid()
        var others: [(entry: MountTable.Entry, connection: UInt32)] = []
        for entry in table.entries where entry.isOwn {
            guard let connection = entry.connection, listed[connection] == nil,
                user == 0 || entry.userID == user,
                !others.contains(where: { $0.connection == connection })
            else { continue }
            others.append((entry, connection))
        }
        for mount in withoutSocket(others) { listed[mount.connection] = mount }
        let mounts = listed.values.sorted {
            ($0.mountpoint, $0.connection) < ($1.mountpoint, $1.connection)
        }
        return (mounts, remarks)
    }

    /// The servers that have a socket in folders, each of its connection.
    private static func servers(
        in folders: [ControlFolder], _ remarks: inout [String]
    ) -> [Found] {
        var found: [UInt32: Found] = [:]
        let deadline = cmem_monotonic_nanoseconds() + lookNanoseconds
        var foreign = 0
        for folder in folders {
            let connections = folder.connections(limit: folder.isOwn ? .max : foreignNameLimit + 1)
            var ofFolder = 0
            var isCutShort = connections.count > foreignNameLimit / 2 && !folder.isOwn
            for connection in connections where found[connection] == nil {
                if !folder.isOwn {
                    guard ofFolder < foreignServerLimit, foreign < HTTPClient.requestLimit,
                        cmem_monotonic_nanoseconds() < deadline
                    else {
                        isCutShort = true
                        break
                    }
                }
                let client = ControlClient(folder: folder, connection: connection)
                do throws(ControlError) {
                    let peer = try client.connect()
                    found[connection] = Found(
                        client: client, peer: peer, server: client.server(peer))
                } catch {
                    guard error == .silent, let server = client.server(nil) else { continue }
                    found[connection] = Found(client: client, peer: nil, server: server)
                }
                ofFolder += 1
                if !folder.isOwn { foreign += 1 }
            }
            if isCutShort {
                remarks.append(
                    "\(folder.path) holds more than is looked at: mounts of user \(folder.owner) may be "
                        + "missing here; that user's own `mayfly list` shows them")
            }
        }
        return found.values.sorted { $0.client.connection < $1.client.connection }
    }

    /// What a server with a socket tells, or has told. Where it is mounted here is said by the mount
    /// table alone.
    private static func mount(
        _ found: Found, _ report: Result<MountReport, ControlError>, _ table: MountTable
    ) -> ListedMount? {
        let connection = found.client.connection
        let told = (try? report.get())?.mountpoint ?? found.client.record?.mountpoint
        let entries = table.entries.filter { $0.connection == connection && $0.isOwn }
        // Of several the one that the server calls its own; else one of the whole tree.
        let entry =
            entries.last { $0.mountpoint == PathBytes(told ?? "") }
            ?? entries.first { $0.root == "/" } ?? entries.first
        guard let mountpoint = entry?.mountpoint.text ?? told else { return nil }
        var mount = ListedMount(
            mountpoint: mountpoint, connection: connection, state: .serving,
            isVisible: entry != nil, processID: found.server)
        switch report {
        case .success(let report): mount.report = report
        case .failure: mount.fallSilent()
        }
        return mount
    }

    /// Mounts that no socket belongs to: of a program that uses the library, or dead ones.
    private static func withoutSocket(
        _ found: [(entry: MountTable.Entry, connection: UInt32)]
    ) -> [ListedMount] {
        if found.isEmpty { return [] }
        let (servers, isComplete) = MountHolders.servers(
            of: Set(found.map(\.connection)), seconds: 2)
        let seesAll = isComplete && MountHolders.seesEveryServer
        let unseen = found.filter { servers[$0.connection] == nil }.map(\.entry.mountpoint)
        let answers =
            seesAll ? [:] : MountAnswers.of(Array(Set(unseen).sorted().prefix(64)), seconds: 1)
        return found.map { entry, connection in
            var mount = ListedMount(
                mountpoint: entry.mountpoint.text, connection: connection, state: .serving,
                isVisible: true, processID: servers[connection])
            if let server = mount.processID {
                if let state = MountHolders.state(of: server), "TtZX".contains(state) {
                    mount.fallSilent()
                }
            } else if seesAll {
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
    static func of(_ mountpoints: [PathBytes], seconds: UInt64) -> [PathBytes: Int32] {
        var ends: [Int32] = [-1, -1]
        guard !mountpoints.isEmpty, unsafe csys_pipe(&ends) == 0 else { return [:] }
        defer { close(ends[0]) }
        for (number, mountpoint) in mountpoints.enumerated() {
            _ = unsafe mountpoint.withCString {
                unsafe csys_ask_apart($0, Int32(number), ends[1])
            }
        }
        close(ends[1])
        var answers: [PathBytes: Int32] = [:]
        let deadline = cmem_monotonic_nanoseconds() + seconds * 1_000_000_000
        while answers.count < mountpoints.count {
            let now = cmem_monotonic_nanoseconds()
            var input = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            let left = now < deadline ? Int32((deadline - now) / 1_000_000) + 1 : 0
            guard unsafe poll(&input, 1, left) > 0 else { break }
            var asked = csys_asked()
            let size = MemoryLayout<csys_asked>.size
            guard unsafe read(ends[0], &asked, size) == size else { break }
            answers[mountpoints[Int(asked.number)]] = asked.error
        }
        return answers
    }
}
