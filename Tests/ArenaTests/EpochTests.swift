// Epochs: what was retired is reclaimed when no reader can have it, and not before.

import Glibc
import MayflyArena
import MayflyTestSupport
import Synchronization
import Testing

@testable import MayflyArena

@Suite struct EpochTests {
    /// Counts what can be reclaimed now.
    private func reclaim(_ worker: ArenaWorker) -> Int {
        worker.refreshEpoch()
        var count = 0
        while worker.nextReclaimable() != nil { count += 1 }
        return count
    }

    @Test func readersHoldBack() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let writer = arena.worker(0)
        let reader = arena.worker(1)
        writer.enter()
        reader.enter()
        writer.retire(Retired(what: 2, count: 1, offset: 64))
        for _ in 0..<5 {
            #expect(reclaim(writer) == 0)
            writer.leave()
            writer.enter()
        }
        // A reader that comes later holds nothing of it, but one that stays does.
        let late = arena.worker(2)
        late.enter()
        #expect(reclaim(writer) == 0)
        reader.leave()
        late.leave()
        #expect(reclaim(writer) == 1)
        #expect(!writer.hasRetired())
        writer.leave()
    }

    /// Room for more is asked for before the list is full: it has what waited, and nothing that was freed.
    @Test(arguments: [0, 1, 500, 4000, 4096] as [UInt64]) func aListGrowsBeforeItIsFull(
        waiting: UInt64
    ) throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let worker = arena.worker(0)
        worker.enter()
        defer { worker.leave() }
        // Items of before, and a head in the middle.
        for index in 0..<UInt64(6000) {
            worker.retire(Retired(what: 2, count: 1, offset: index))
            #expect(reclaim(worker) == 1)
        }
        for index in 0..<waiting {
            worker.retire(Retired(what: 2, count: 1, offset: 10_000 + index))
        }
        #expect(worker.canRetire(9000))
        #expect(worker.hasRetired() == (waiting > 0))
        worker.refreshEpoch()
        for index in 0..<waiting {
            #expect(worker.nextReclaimable()?.offset == 10_000 + index)
        }
        #expect(worker.nextReclaimable() == nil && !worker.hasRetired())
    }

    @Test func aloneAtOnce() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let worker = arena.worker(0)
        worker.enter()
        for index in 0..<UInt64(10_000) {
            worker.retire(Retired(what: 2, count: 1, offset: index * 64))
        }
        // The list has grown; it gives back in order.
        worker.refreshEpoch()
        for index in 0..<UInt64(10_000) {
            #expect(worker.nextReclaimable()?.offset == index * 64)
        }
        #expect(worker.nextReclaimable() == nil)
        worker.leave()
    }

    @Test func growthInTheMiddle() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let worker = arena.worker(0)
        worker.enter()
        var next: UInt64 = 0
        var expected: UInt64 = 0
        for part in [4000, 3000, 9000] {
            for _ in 0..<part {
                worker.retire(Retired(what: 2, count: 1, offset: next))
                next += 1
            }
            worker.refreshEpoch()
            for _ in 0..<part / 2 {
                #expect(worker.nextReclaimable()?.offset == expected)
                expected += 1
            }
        }
        while let item = worker.nextReclaimable() {
            #expect(item.offset == expected)
            expected += 1
        }
        #expect(expected == next)
        worker.leave()
    }

    @Test func tryEnterOfABusyWorker() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let worker = arena.worker(3)
        worker.enter()
        #expect(!worker.tryEnter())
        worker.leave()
        #expect(worker.tryEnter())
        worker.leave()
    }

    /// Readers follow a shared word to a cell that writers replace; a cell is marked when it is
    /// reclaimed, and no reader may ever see the mark.
    @Test func nothingIsReclaimedUnderAReader() throws {
        let threads = 12
        let arena = try smallArena(chunks: 64, shards: threads, workers: threads)
        defer { arena.unmap() }
        let shared = Superblock.storeWords
        let region = arena.region
        let first = arena.worker(0)
        first.enter()
        let start = try #require(first.allocate(.small, count: 1))
        region.store(start.offset, 1)
        region.storeRelease(shared, start.offset)
        first.leave()
        let seen = Counter()
        let reclaimed = Counter()
        let retired = Counter()
        withThreads(threads) { index in
            let worker = arena.worker(index)
            for round in 0..<(isThreadSanitized ? 2000 : 8000) {
                worker.enter()
                if index % 3 == 0 {
                    if let run = worker.allocate(.small, count: 1) {
                        region.store(run.offset, 1)
                        let old = region.swap(shared, run.offset)
                        worker.retire(Retired(what: 2, count: 1, offset: old))
                        _ = retired.add(1)
                    }
                    if round % 4 == 0 {
                        worker.refreshEpoch()
                        while let item = worker.nextReclaimable() {
                            region.store(item.offset, 0xDEAD)
                            worker.free(.small, item.offset, count: 1)
                            _ = reclaimed.add(1)
                        }
                    }
                } else {
                    let cell = region.loadAcquire(shared)
                    for _ in 0..<20 where region.load(cell) != 1 { _ = seen.add(1) }
                }
                worker.leave()
                // Outside, mostly, when another's turn comes: or a loaded machine's threads wait
                // inside all the time, and nothing is reclaimed before the end.
                if round % 8 == 0 { sched_yield() }
            }
        }
        #expect(seen.value == 0)
        for index in 0..<threads {
            let worker = arena.worker(index)
            worker.enter()
            worker.refreshEpoch()
            while worker.nextReclaimable() != nil { _ = reclaimed.add(1) }
            #expect(!worker.hasRetired())
            worker.leave()
        }
        #expect(reclaimed.value == retired.value)
    }
}
