// Rolling a mount back, and telling the kernel what changed by it (Docs/Rollback.md). All of it on a
// thread that answers no request.

internal import CMayflyMemory
internal import CMayflySystem
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

/// What a rollback has done.
public struct RollbackSummary: Codable, Sendable, Equatable {
    /// The snapshot that it went back to.
    public var name: String
    /// Private pages of 4 KiB that were dropped.
    public var pages: UInt64
    /// Files and directories that the kernel was told to forget.
    public var changedNodes: Int
    /// Names that the kernel was told to forget.
    public var changedNames: Int
    /// For so long no request was answered.
    public var frozenNanoseconds: UInt64
    /// From the call to the last of the kernel's caches.
    public var nanoseconds: UInt64
}

extension MountedFileSystem {
    /// Makes the mount what it was.
    ///
    /// When it returns, everybody sees the old tree, whatever the kernel had cached. Files that were
    /// not there then and are open answer ESTALE. Mounts in the tree stay on their folders.
    ///
    /// - Parameters:
    ///   - name: nil for the newest.
    ///   - force: goes on where a folder or file that carries a mount was not there then; the mount
    ///     is taken away with it.
    /// - Throws: `.usage` for a name that there is not, and for a mount that would be taken away;
    ///   `.system` when there is no memory for it.
    @discardableResult
    public func rollback(
        to name: String? = nil, force: Bool = false
    ) throws(MountError) -> RollbackSummary {
        let summary = try onShelf { shelf, parts throws(MountError) in
            let item = try shelf.item(name)
            let bytes = parts.store.rollBackBytes(to: item.snapshot)
            let claim = try Self.claim("a rollback", bytes)
            let begin = cmem_monotonic_nanoseconds()
            writeBack(parts.session)
            var frozen = cmem_monotonic_nanoseconds()
            var verdict = MountVerdict()
            var effect = try rollBack(to: item.snapshot, parts) { changes in
                // Most changes are of no name that could carry a mount.
                !changes.contains { $0.now != nil }
            }
            if effect == nil {
                // While nothing is frozen: it asks the mount for roots of processes.
                let inside = connection.map(MountsInside.find(connection:)) ?? []
                let canMove = !inside.isEmpty && isRootReachable
                frozen = cmem_monotonic_nanoseconds()
                effect = try rollBack(to: item.snapshot, parts) { changes in
                    verdict = MountVerdict(inside, changes, canMove: canMove, parts.store.worker(0))
                    return verdict.lost.isEmpty || force
                }
            }
            let thawed = cmem_monotonic_nanoseconds()
            // What was put back counts as taken now.
            claim.end()
            guard let effect else { throw Self.refusal(verdict.lost, item.record.name) }
            tell(effect, verdict, parts)
            return RollbackSummary(
                name: item.record.name, pages: effect.pagesDropped,
                changedNodes: effect.changedNodes.count, changedNames: effect.changedNames.count,
                frozenNanoseconds: thawed - frozen,
                nanoseconds: cmem_monotonic_nanoseconds() - begin)
        }
        note(.rollback) { $0.rollback = summary }
        return summary
    }

    /// - Returns: nil where the changes are not allowed.
    private func rollBack(
        to snapshot: StoreSnapshot, _ parts: Parts, if isAllowed: ([ChangedName]) -> Bool
    ) throws(MountError) -> RollbackEffect? {
        do throws(Errno) {
            return try resetDurability(parts) { () throws(Errno) in
                try parts.store.rollBack(
                    to: snapshot, renewsFiles: configuration.writesBack, if: isAllowed)
            }
        } catch {
            throw MountError(
                .system, code: .noMemory,
                "there is no memory for a rollback (\(error)): free some, or raise limits")
        }
    }

    private static func refusal(_ lost: [String], _ snapshot: String) -> MountError {
        let more = lost.count > 1 ? " (and \(lost.count - 1) more)" : ""
        return MountError(
            .usage, code: .mountInside,
            "\(lost[0])\(more) carries a mount, and is not in the snapshot \(snapshot): unmount it "
                + "there, or give \(setting: .force)")
    }

    /// Tells the kernel what changed.
    private func tell(_ effect: RollbackEffect, _ verdict: MountVerdict, _ parts: Parts) {
        let session = parts.session
        for change in effect.changedNames where !verdict.mustWait(change) {
            try? session.notifyInvalidEntry(parent: change.parent, name: change.name)
        }
        if !verdict.moved.isEmpty { meet(verdict.moved, parts) }
        for change in effect.changedNames where verdict.mustWait(change) {
            try? session.notifyInvalidEntry(parent: change.parent, name: change.name)
        }
        session.forget(effect.changedNodes, attributes: effect.touchedNodes)
    }

    /// Has the kernel look folders up by their names, so that it moves what it has of them there,
    /// with the mounts below.
    ///
    /// - Source: fs/fuse/dir.c, `fuse_lookup()`, and fs/dcache.c, `d_splice_alias()`.
    private func meet(_ nodes: Set<UInt64>, _ parts: Parts) {
        // Open for this moment only: an open folder keeps a mount busy.
        guard let root = root() else { return }
        defer { close(root) }
        for node in nodes {
            guard let path = parts.observer.pathOfDirectory(NodeID(rawValue: node)) else {
                continue
            }
            let folder = unsafe (path + [0]).withUnsafeBytes { bytes in
                var inode: UInt64 = 0
                let name = unsafe bytes.assumingMemoryBound(to: CChar.self).baseAddress
                return unsafe name.map { name in
                    unsafe csys_open_on_device(root, name, connection ?? 0, &inode)
                } ?? -1
            }
            if folder >= 0 { close(folder) }
        }
    }

    private var isRootReachable: Bool {
        guard let root = root() else { return false }
        close(root)
        return true
    }

    /// The root of the mount, which the caller closes; nil where it cannot be reached from here.
    private func root() -> Int32? {
        guard let identity, let place = identity.place else { return nil }
        let root = unsafe place.withCString { path in
            var inode: UInt64 = 0
            return unsafe csys_open_on_device(-1, path, identity.connection, &inode)
        }
        return root < 0 ? nil : root
    }
}

extension FuseSession {
    /// Tells the kernel to drop what it has of some inodes.
    ///
    /// - Parameter touched: inodes of which attributes alone are dropped, and pages kept.
    /// - Precondition: not on a thread that serves.
    func forget(_ nodes: [UInt64], attributes touched: [UInt64] = []) {
        // ENOENT is what the kernel has not cached.
        for node in nodes { try? notifyInvalidInode(nodeID: node) }
        for node in touched { try? notifyInvalidInode(nodeID: node, offset: -1) }
    }
}
