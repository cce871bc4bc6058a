// Random histories of one thread: the store against the model.
//
// MAYFLY_FUZZ_SEED repeats one seed, MAYFLY_FUZZ_OPERATIONS makes every history that long.

import InodeStore
import MayflyTestSupport
import Testing

@Suite struct HistoryTests {
    /// Limits so small that ENOSPC is an everyday thing.
    @Test(arguments: [(64, 50), (200, 20), (1024, 50), (1024, 400)])
    func againstModel(pages: UInt64, inodes: UInt64) throws {
        let seeds = FuzzSettings.seed.map { [$0] } ?? Array(1...6).map { UInt64($0) + pages * 10 }
        for seed in seeds {
            let history = try StoreHistory(seed: seed, pageLimit: pages, inodeLimit: inodes)
            try history.run(operations: FuzzSettings.operations ?? 2000)
            history.store.unmap()
        }
    }

    /// Snapshots, rollbacks, forks and saved images among the operations. MAYFLY_FUZZ_HISTORIES makes
    /// it so many.
    @Test(arguments: [(64, 50), (1024, 200)])
    func throughTime(pages: UInt64, inodes: UInt64) throws {
        let count = FuzzSettings.histories ?? 5
        let seeds =
            FuzzSettings.seed.map { [$0] } ?? (1...count).map { UInt64($0) + pages * 10_000 }
        for seed in seeds {
            let history = try StoreHistory(
                seed: seed, pageLimit: pages, inodeLimit: inodes, times: true)
            try history.run(operations: FuzzSettings.operations ?? 1000)
            history.store.unmap()
        }
    }

    /// A canary: when the two differ, it is found. Each planted bug, within a few histories.
    @Test(arguments: [ModelBug.staleBytes, .lostReplacement])
    func plantedBugIsFound(bug: ModelBug) throws {
        var isFound = false
        for seed: UInt64 in 1...10 where !isFound {
            let history = try StoreHistory(
                seed: seed, pageLimit: 256, inodeLimit: 50, bug: bug)
            do {
                try history.run(operations: 1000)
            } catch is StoreHistory.Mismatch {
                isFound = true
            }
            history.store.unmap()
        }
        #expect(isFound, "nothing noticed that the model was wrong")
    }
}
