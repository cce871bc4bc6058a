// MountControl: what the commands do with one mount.

import Glibc
public import MayflyHost
public import MayflyImages
import Synchronization

/// The server of a mount, found by a directory.
public struct MountControl: Sendable {
    /// Absolute; what the user named, or the mount that it lies in.
    public let mountpoint: String
    private let client: ControlClient

    /// The number of the FUSE connection.
    var connection: UInt32 { client.connection }

    /// Finds the mount at `path`, or the one that `path` lies in.
    ///
    /// - Throws: `.usage` when there is none, or none that this user may talk to; `.mount` when its
    ///   server is dead.
    public init(_ path: String) throws(MountError) { try self.init(PathBytes(path)) }

    /// The same for a path as it is.
    public init(_ path: PathBytes) throws(MountError) {
        let folders = ControlFolder.all()
        let table = MountTable.current()
        let found = Self.entry(path, in: table)
        guard let entry = found, entry.isOwn, let connection = entry.connection else {
            // Perhaps in another mount namespace, as those of `mayfly run` are.
            if let elsewhere = try Self.elsewhere(path, folders) {
                mountpoint = elsewhere.mountpoint
                client = elsewhere.client
                return
            }
            let place = found.map { " but in \($0.type) at \($0.mountpoint)" } ?? ""
            throw MountError(
                .usage, code: .notMounted,
                "\(path) is not in a mayfly mount\(place): `mayfly list` names those there are")
        }
        mountpoint = entry.mountpoint.text
        let clients = folders.filter { $0.socketInode(connection) != nil }
            .map { ControlClient(folder: $0, connection: connection) }
        guard let client = clients.first(where: \.isOfTheServer) else {
            if let owner = entry.userID, owner != geteuid(), geteuid() != 0 {
                throw Self.foreign(entry.mountpoint.text)
            }
            throw Self.unreachable(entry)
        }
        self.client = client
    }

    /// A mount that no table here has, by what its server calls it or by the server's process.
    package static func elsewhere(
        _ name: PathBytes, _ folders: [ControlFolder]
    ) throws(MountError) -> (mountpoint: String, client: ControlClient)? {
        var found: [(mountpoint: String, server: Int32, client: ControlClient)] = []
        for folder in folders {
            for connection in folder.connections(limit: folder.isOwn ? .max : 512) {
                let client = ControlClient(folder: folder, connection: connection)
                guard let record = client.record else { continue }
                let isNamed = PathBytes(record.mountpoint) == name
                // A process has the number that is seen from here.
                guard isNamed || Int32(name.text) != nil,
                    let server = client.believedServer, isNamed || "\(server)" == name.text
                else { continue }
                found.append((record.mountpoint, server, client))
            }
        }
        guard found.count < 2 else {
            let servers = found.map { "\($0.server)" }.joined(separator: ", ")
            throw MountError(
                .usage,
                "\(name) is \(found.count) mounts in different namespaces: name one by its server, "
                    + "which is \(servers)")
        }
        return found.first.map { ($0.mountpoint, $0.client) }
    }

    /// Whether the mount is there still: in this namespace's table, or, where it is another's, as
    /// long as its server has a socket.
    public var isMounted: Bool {
        MountTable.current().entries.contains { $0.connection == client.connection && $0.isOwn }
            || client.folder.socketInode(client.connection) != nil
    }

    /// What the mount is, holds and has done.
    ///
    /// - Throws: `.mount` when the server is dead or does not answer, as all below.
    public func report() throws(MountError) -> MountReport {
        do throws(ControlError) {
            return try client.report()
        } catch { throw described(error) }
    }

    /// The inodes that most of the last requests were about, the hottest first.
    public func hotNodes() throws(MountError) -> [HotNode] {
        do throws(ControlError) {
            return try client.get([HotNode].self, "/v1/hot")
        } catch { throw described(error) }
    }

    /// Changes the limits and tells how things are afterwards.
    public func resize(_ change: LimitChange) throws(MountError) -> MountReport {
        do throws(ControlError) {
            return try client.post(MountReport.self, "/v1/limits", change)
        } catch { throw described(error) }
    }

    /// Has the server prove that what it holds is as it must be. Requests wait meanwhile.
    public func check() throws(MountError) -> CheckSummary {
        // The largest trees take seconds, on a busy machine many.
        try post(CheckSummary.self, "/v1/check", EmptyRequest())
    }

    /// Hands on what happens to the mount, as it happens, until it ends.
    ///
    /// - Parameter body: called with each event, on another thread.
    public func events(_ body: @escaping @Sendable (MountEvent) -> Void) throws(MountError) {
        do throws(ControlError) {
            try client.lines(MountEvent.self, "/v1/events", seconds: 15, body)
        } catch { throw described(error) }
    }

    // MARK: snapshots

    /// Keeps what the mount holds now.
    ///
    /// - Parameters:
    ///   - name: nil for the next free number.
    ///   - replacing: whether one of that name may be given up.
    /// - Throws: `.usage` with what the server refused, as all below.
    public func snapshot(_ name: String?, replacing: Bool) throws(MountError) -> SnapshotRecord {
        try post(
            SnapshotRecord.self, "/v1/snapshots", SnapshotRequest(name: name, replace: replacing))
    }

    /// What the mount can go back to, the oldest first.
    public func snapshots() throws(MountError) -> SnapshotList {
        do throws(ControlError) {
            return try client.get(SnapshotList.self, "/v1/snapshots")
        } catch { throw described(error) }
    }

    /// Gives a snapshot up, and tells which are left.
    public func removeSnapshot(_ name: String) throws(MountError) -> SnapshotList {
        try post(SnapshotList.self, "/v1/snapshots/remove", SnapshotRequest(name: name))
    }

    /// Makes the mount what it was.
    ///
    /// - Parameters:
    ///   - name: nil for the newest.
    ///   - force: goes on where a folder that carries a mount would be removed.
    public func rollback(
        to name: String?, force: Bool = false
    ) throws(MountError) -> RollbackSummary {
        try post(RollbackSummary.self, "/v1/rollback", SnapshotRequest(name: name, force: force))
    }

    /// What is not as it was when a snapshot was taken; nil for the newest.
    ///
    /// - Parameters:
    ///   - name: nil for the newest.
    ///   - report: gets one path after the other as they come, on another thread.
    public func differences(
        since name: String?, report: @escaping @Sendable (TreeDifference) -> Void
    ) throws(MountError) {
        let question = ControlJSON.encoded(SnapshotRequest(name: name))
        do throws(ControlError) {
            try client.list(
                TreeDifference.self, "POST", "/v1/diff", body: question, seconds: 600, report)
        } catch { throw described(error) }
    }

    /// - Parameter path: made absolute here; the server writes it, with its own rights and this
    ///   process's umask. It follows a link at its end only where that is safe.
    public func save(to path: String) throws(MountError) -> SaveSummary {
        try save(to: PathBytes(path))
    }

    /// The same for a path as it is.
    ///
    /// - Parameters:
    ///   - path: as text has it.
    ///   - base: an image that what is written is to be a layer on, or the name of one in the store;
    ///     nil for a plain image.
    public func save(
        to path: PathBytes, on base: PathBytes? = nil
    ) throws(MountError) -> SaveSummary {
        if path == "-" { throw MountError.noStream("OUT", "an image") }
        guard let target = HostFile.canonicalParent(path) ?? HostFile.canonical(path) else {
            throw MountError(.usage, "\(path) cannot be made: the folder it lies in must exist")
        }
        return try post(
            SaveSummary.self, "/v1/save",
            PathRequest(
                path: target.text, umask: ProcessFacts.umask,
                base: try base.map { base throws(MountError) in
                    try ImageStore.absolute(base).text
                }))
    }

    /// Mounts a fork on a directory, which the same server serves.
    public func fork(to directory: String) throws(MountError) -> MountReport {
        try fork(to: PathBytes(directory))
    }

    /// The same for a path as it is.
    public func fork(to directory: PathBytes) throws(MountError) -> MountReport {
        let target = try MountConfiguration.directory(directory)
        return try post(MountReport.self, "/v1/fork", PathRequest(path: target.text))
    }

    // MARK: faults

    /// Has requests go wrong, from when this returns.
    public func addFault(_ rule: FaultRule) throws(MountError) -> FaultRecord {
        try post(FaultRecord.self, "/v1/faults", rule)
    }

    /// The faults in force, with what they have matched.
    public func faults() throws(MountError) -> [FaultRecord] {
        try faultList("GET", "/v1/faults")
    }

    /// - Parameter numbers: nil for all.
    /// - Returns: what is left.
    public func clearFaults(_ numbers: [Int]?) throws(MountError) -> [FaultRecord] {
        try faultList(
            "POST", "/v1/faults/clear", ControlJSON.encoded(FaultClearing(numbers: numbers)))
    }

    private func faultList(
        _ method: String, _ path: String, _ question: [UInt8] = []
    ) throws(MountError) -> [FaultRecord] {
        try list(FaultRecord.self, method, path, question)
    }

    private func list<Item: Codable & Sendable>(
        _ type: Item.Type, _ method: String, _ path: String, _ question: [UInt8] = []
    ) throws(MountError) -> [Item] {
        let records = Mutex<[Item]>([])
        do throws(ControlError) {
            try client.list(type, method, path, body: question, seconds: 600) { record in
                records.withLock { $0.append(record) }
            }
        } catch { throw described(error) }
        return records.withLock { $0 }
    }

    /// What a power loss of this moment would take a part of.
    public func unsynced() throws(MountError) -> [UnsyncedPath] {
        try list(UnsyncedPath.self, "GET", "/v1/unsynced")
    }

    /// Loses what was not synced.
    ///
    /// - Parameter seed: nil for one by chance.
    public func crash(seed: UInt64?) throws(MountError) -> CrashSummary {
        try post(CrashSummary.self, "/v1/crash", CrashRequest(seed: seed))
    }

    /// Syncs everything, so that it outlives a power loss.
    public func sync() throws(MountError) -> SyncSummary {
        try post(SyncSummary.self, "/v1/sync", EmptyRequest())
    }

    /// A connection for a tree.
    func trees() throws(MountError) -> TreeLine {
        let descriptor: Int32
        do throws(ControlError) { descriptor = try client.connect(.trees).duplicate() } catch {
            throw described(error)
        }
        guard descriptor >= 0 else {
            throw MountError(
                .system, code: .noDescriptors, "no descriptor is left: raise `ulimit -n`")
        }
        // Whoever connects to a control socket does not wait.
        _ = fcntl(descriptor, F_SETFL, 0)
        return TreeLine(socket: descriptor)
    }

    /// What may take as long as there is content to copy.
    func post<Answer: Decodable>(
        _ type: Answer.Type, _ path: String, _ body: some Encodable
    ) throws(MountError) -> Answer {
        do throws(ControlError) {
            return try client.post(type, path, body, seconds: 600)
        } catch { throw described(error) }
    }

    private func described(_ error: ControlError) -> MountError {
        switch error {
        case .dead, .untrue:
            Self.unreachable(
                mountpoint, MountTable.current().entry(at: mountpoint)?.connection)
        case .notPermitted: Self.foreign(mountpoint)
        case .silent:
            MountError(
                .mount, code: .noServer,
                Self.silence(
                    mountpoint, connection: client.connection, server: client.believedServer))
        case .cut:
            MountError(
                .mount, code: .noServer,
                "the answer about \(mountpoint) broke off: ask again, or see with `mayfly list` "
                    + "whether it is mounted still")
        case .refused(let text, let code): MountError(.usage, code: code, text)
        }
    }

    private static func foreign(_ mountpoint: String) -> MountError {
        MountError(
            .usage, code: .notPermitted,
            "\(mountpoint) is another user's mount: ask as its owner or as root")
    }

    /// Why a server that is there may not answer, and what to do.
    ///
    /// - Parameter server: its process, as far as it is known.
    static func silence(_ mountpoint: String, connection: UInt32, server: Int32?) -> String {
        let what = "the server of \(mountpoint) does not answer"
        let end = "`mayfly umount --force \(mountpoint)`"
        // The number may be another namespace's. Root sees whether it is the one.
        guard let server, geteuid() != 0 || MountHolders.serves(server, connection: connection)
        else { return "\(what): ask again, or end the mount with \(end)" }
        return switch MountHolders.state(of: server) {
        case "T", "t": "\(what): it is stopped; let it go on with `kill -CONT \(server)`"
        case "Z", "X":
            "\(what): process \(server) hangs as it ends; end the mount with \(end)"
        default:
            "\(what): see what process \(server) does with `ps -L \(server)`, or end the mount "
                + "with \(end)"
        }
    }

    private static func unreachable(_ entry: MountTable.Entry) -> MountError {
        unreachable(entry.mountpoint.text, entry.connection)
    }

    private static func unreachable(_ mountpoint: String, _ connection: UInt32?) -> MountError {
        // Root sees every process, so one that is not to be seen is not there.
        if geteuid() == 0, let connection, MountHolders.server(ofConnection: connection) == nil {
            return MountError(
                .mount, code: .noServer,
                "the server of \(mountpoint) is dead: take the mount away with "
                    + "`mayfly umount \(mountpoint)`")
        }
        return MountError(
            .mount, code: .noServer,
            "the server of \(mountpoint) cannot be asked: it is another user's, or dead "
                + "(`mayfly list` tells), or a program that serves no control socket")
    }

    /// The mount that a path lies in.
    private static func entry(_ path: PathBytes, in table: MountTable) -> MountTable.Entry? {
        guard let place = table.place(of: path), let entry = table.entry(around: place),
            entry.isOwn || HostFile.canonical(path) != nil
        else { return nil }
        return entry
    }
}
