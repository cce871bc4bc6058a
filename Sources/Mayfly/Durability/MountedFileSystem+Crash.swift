// Power loss on a mount with durability, on a thread that answers no request (Docs/Fixtures.md).

internal import CMemory
internal import FuseTransport
internal import InodeStore

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
        guard let log = hooks.durability else {
            throw MountError(
                .usage, "the mount does not know what was synced: mount with --durability fsync")
        }
        let seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        return try whileHooked { parts in
            let begin = cmem_monotonic_nanoseconds()
            var summary = log.whileLosing {
                let summary = log.whileHeld { lose(seed, &$0, parts) }
                // What has changed, and every file that the kernel may have unwritten pages of.
                parts.session.forget(parts.observer.referredNodes())
                return summary
            }
            summary.nanoseconds = cmem_monotonic_nanoseconds() - begin
            return summary
        }
    }

    /// Changes the tree.
    private func lose(
        _ seed: UInt64, _ log: inout DurabilityLog.State, _ parts: Parts
    ) -> CrashSummary {
        parts.store.whileFrozen {
            let worker = parts.store.worker(0)
            var loss = PowerLoss(seed: seed, worker: worker)
            loss.undo(log)
            log.reset(worker)
            return loss.summary
        }
    }

    /// What there is now is taken for synced: after a rollback.
    func resetDurability(_ parts: Parts, _ body: () -> RollbackEffect) -> RollbackEffect {
        guard let log = hooks.durability else { return body() }
        return log.whileHeld { state in
            parts.store.whileFrozen { state.reset(parts.store.worker(0)) }
            return body()
        }
    }
}
