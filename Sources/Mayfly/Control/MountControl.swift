// MountControl: what the commands do with one mount.

import Glibc

/// The server of a mount, found by a directory.
public struct MountControl: Sendable {
    /// Absolute; what the user named, or the mount that it lies in.
    public let mountpoint: String
    private let client: ControlClient

    /// Finds the mount at `path`, or the one that `path` lies in.
    ///
    /// - Throws: `.usage` when there is none, or none that this user may talk to; `.mount` when its
    ///   server is dead.
    public init(_ path: String) throws(MountError) {
        let folders = ControlFolder.all()
        let table = MountTable.current()
        guard let entry = Self.entry(path, in: table) else {
            // Perhaps in another mount namespace, as those of `mayfly run` may be.
            for folder in folders {
                for connection in folder.connections() {
                    let record = folder.read("\(connection).json").flatMap {
                        ControlJSON.decoded(ControlRecord.self, $0)
                    }
                    guard let record, record.mountpoint == path else { continue }
                    mountpoint = path
                    client = ControlClient(folder: folder, connection: connection)
                    return
                }
            }
            throw MountError(
                .usage, "\(path) is not in a mayfly mount: `mayfly list` names those there are")
        }
        guard entry.isOwn, let connection = entry.connection else {
            throw MountError(
                .usage,
                "\(path) is not in a mayfly mount but in \(entry.type) at \(entry.mountpoint): "
                    + "`mayfly list` names those there are")
        }
        mountpoint = entry.mountpoint
        guard let folder = folders.first(where: { $0.socketInode(connection) != nil }) else {
            throw Self.unreachable(entry.mountpoint)
        }
        client = ControlClient(folder: folder, connection: connection)
    }

    public func report() throws(MountError) -> MountReport {
        do throws(ControlError) {
            return try client.get(MountReport.self, "/v1/mount")
        } catch { throw described(error) }
    }

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
        do throws(ControlError) {
            // The largest trees take seconds, on a busy machine many.
            return try client.post(CheckSummary.self, "/v1/check", [Int](), seconds: 600)
        } catch { throw described(error) }
    }

    private func described(_ error: ControlError) -> MountError {
        switch error {
        case .dead: Self.unreachable(mountpoint)
        case .notPermitted:
            MountError(
                .usage, "\(mountpoint) is another user's mount: ask as its owner or as root")
        case .silent:
            MountError(
                .mount, "the server of \(mountpoint) does not answer: see what it does with ps(1)")
        case .refused(let message): MountError(.usage, message)
        }
    }

    private static func unreachable(_ mountpoint: String) -> MountError {
        MountError(
            .mount,
            "the server of \(mountpoint) cannot be asked: it is another user's, or dead "
                + "(`mayfly list` tells), or a program that serves no control socket")
    }

    /// The mount at a path or around it. A mount that is dead is found by its own path.
    private static func entry(_ path: String, in table: MountTable) -> MountTable.Entry? {
        if let entry = HostFile.canonicalParent(path).flatMap(table.entry(at:)) { return entry }
        guard var folder = HostFile.canonical(path) else { return nil }
        while true {
            if let entry = table.entry(at: folder) { return entry }
            guard folder != "/", let slash = folder.lastIndex(of: "/") else { return nil }
            folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
        }
    }
}
