// Power loss on a mount with durability, on a thread that answers no request (Docs/Fixtures.md).

internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import MayflyServing
internal import SystemPackage

/// What a sync of everything has made to outlive a power loss.
public struct SyncSummary: Codable, Sendable, Equatable {
    /// Names that had changed since their directories were synced.
    public var names: Int
    /// Files and directories that had changed since they were synced.
    public var files: Int
}

extension MountedFileSystem {
    /// Loses what was not synced, as if the power had failed this moment and come back.
    ///
    /// What fsync(2) has returned for is there; of everything else a part is, chosen by the seed. When
    /// it returns, everybody sees that. Processes go on: kill those whose recovery is to be tested
    /// before they see it.
    ///
    /// - Parameter seed: nil for one by chance, which the summary tells.
    /// - Throws: `.usage` for a mount without durability.
    @discardableResult
    public func crash(seed: UInt64? = nil) throws(MountError) -> CrashSummary {
        guard let log = hooks.durability else { throw Self.withoutDurability }
        let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        let summary = try whileHooked { parts in
            let begin = cmem_monotonic_nanoseconds()
            var summary = log.whileLosing {
                let loss = log.whileHeld { lose(seed, &$0, parts) }
                hooks.faults.powerIsBack()
                for place in loss.names {
                    try? parts.session.notifyInvalidEntry(parent: place.parent, name: place.name)
                }
                parts.session.forget(loss.nodes)
                return loss.summary
            }
            summary.nanoseconds = cmem_monotonic_nanoseconds() - begin
            return summary
        }
        note(.crash) { $0.crash = summary }
        return summary
    }

    /// Syncs all that was done before the call, as sync(2) does elsewhere: the kernel tells a FUSE server
    /// of fsync(2), and of neither sync(2) nor syncfs(2) (fs/fuse/inode.c, `fuse_sync_fs()`).
    ///
    /// - Throws: `.usage` for a mount without durability.
    @discardableResult
    public func sync() throws(MountError) -> SyncSummary {
        guard let log = hooks.durability else { throw Self.withoutDurability }
        return try whileHooked { parts in
            // What is stored in mappings is in the kernel's pages until now.
            parts.session.forget(log.whileHeld { $0.mappable.keys.sorted() })
            return log.whileHeld { state in
                let unsynced = state.unsynced
                let summary = SyncSummary(names: unsynced.names, files: unsynced.files)
                parts.store.whileFrozen { state.reset(parts.store.worker(0)) }
                return summary
            }
        }
    }

    private static var withoutDurability: MountError {
        MountError(
            .usage, code: .unsupported,
            "the mount does not know what was synced: mount with \(setting: .durability) fsync")
    }

    /// Changes the tree.
    ///
    /// - Returns: what the kernel must forget: names and inodes that have changed, and every file that
    ///   it may have unwritten pages of.
    private func lose(
        _ seed: UInt64, _ log: inout DurabilityLog.State, _ parts: Parts
    ) -> (summary: CrashSummary, names: [NamePlace], nodes: [UInt64]) {
        parts.store.whileFrozen {
            let worker = parts.store.worker(0)
            // By the names of before, of which some are gone after.
            let paths = log.paths(worker)
            var loss = PowerLoss(seed: seed, worker: worker)
            loss.undo(log)
            let lost = Self.lost(loss, paths)
            var summary = CrashSummary(seed: seed, loss.counts)
            summary.lost = lost
            let nodes = loss.changedNodes.union(log.mappable.keys)
            log.reset(worker)
            let referred = nodes.filter { worker.isReferred(NodeID(rawValue: $0)) }.sorted()
            for node in loss.revivedDirectories { worker.renumberFrozen(node) }
            return (summary, loss.changedPlaces, referred)
        }
    }

    /// Paths that are not what they were before a loss, up to the limit.
    private static func lost(_ loss: PowerLoss, _ paths: UnsyncedPaths) -> [UnsyncedPath] {
        var lost: [UnsyncedPath] = []
        for name in paths.names where loss.undonePlaces.contains(name.place) {
            lost.append(UnsyncedPath(path: name.path, change: UnsyncedPath.Change(name.change)))
        }
        for file in paths.files {
            guard let pages = loss.lostPages[file.node] else { continue }
            lost.append(UnsyncedPath(path: file.path, change: .content, pages: UInt64(pages)))
        }
        return Array(lost.prefix(UnsyncedPath.mostInACrash))
    }

    /// What a power loss of this moment would take a part of: names, and content of files.
    ///
    /// - Throws: `.usage` for a mount without durability.
    /// - Complexity: O(changes since all was synced, and their depth).
    public func unsynced() throws(MountError) -> [UnsyncedPath] {
        guard let log = hooks.durability else { throw Self.withoutDurability }
        return try whileHooked { parts in
            // What is stored in mappings is in the kernel's pages until now.
            parts.session.forget(log.whileHeld { $0.mappable.keys.sorted() })
            let paths = log.whileHeld { state in
                parts.store.whileFrozen { state.paths(parts.store.worker(0)) }
            }
            return paths.names.map {
                UnsyncedPath(path: $0.path, change: UnsyncedPath.Change($0.change))
            }
                + paths.files.map {
                    UnsyncedPath(
                        path: $0.path, change: $0.pages == 0 ? .attributes : .content,
                        pages: UInt64($0.pages), isDropped: $0.isDropped ? true : nil)
                }
        }
    }

    /// What there is after a rollback is taken for synced.
    ///
    /// - Parameter body: rolls back, and returns nil where it did not.
    func resetDurability(
        _ parts: Parts, _ body: () throws(Errno) -> RollbackEffect?
    ) throws(Errno) -> RollbackEffect? {
        guard let log = hooks.durability else { return try body() }
        let result: Result<RollbackEffect?, Errno> = log.whileHeld { state in
            do throws(Errno) {
                let effect = try body()
                if effect != nil {
                    parts.store.whileFrozen { state.reset(parts.store.worker(0)) }
                }
                return .success(effect)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
