// Quotas: exact, also at the edge and with many threads there.

import MayflyArena
import MayflyTestSupport
import Synchronization
import Testing

@testable import MayflyArena

@Suite struct QuotaTests {
    @Test(arguments: [1, 2, 255, 256, 257, 1023, 1024, 1025, 10_000] as [UInt64])
    func lastUnitCanBeHad(limit: UInt64) throws {
        let arena = try smallArena(pages: limit)
        defer { arena.unmap() }
        let quota = arena.pages
        var taken: UInt64 = 0
        // In turn from every shard, so that credits are spread over all.
        while quota.reserve(1, shard: taken % 4) { taken += 1 }
        #expect(taken == limit)
        #expect(quota.free == 0)
        #expect(quota.reserve(atMost: 5, shard: 0) == 0)
        for unit in 0..<limit { quota.release(1, shard: unit % 3) }
        #expect(quota.free == limit)
        #expect(!quota.reserve(limit + 1, shard: 3))
        #expect(quota.reserve(limit, shard: 3))
        quota.release(limit, shard: 3)
        #expect(quota.reserve(atMost: limit + 7, shard: 2) == limit)
        #expect(arena.problems(pages: limit) == [])
    }

    @Test func resizing() throws {
        let arena = try smallArena(pages: 1000)
        defer { arena.unmap() }
        let quota = arena.pages
        #expect(quota.reserve(600, shard: 0))
        #expect(!quota.resize(to: 599, shard: 1))
        #expect(quota.limit == 1000 && quota.free == 400)
        #expect(quota.resize(to: 600, shard: 1))
        #expect(quota.free == 0)
        #expect(quota.resize(to: 2000, shard: 1))
        #expect(quota.free == 1400)
        #expect(arena.problems(pages: 600) == [])
    }

    /// Never more than the limit, and nothing lost.
    @Test func sumNeverExceedsTheLimit() throws {
        let threads = 16
        let limit: UInt64 = 2000
        let arena = try smallArena(shards: threads, workers: threads, pages: limit)
        defer { arena.unmap() }
        let inUse = Counter()
        let isExceeded = Counter()
        withThreads(threads) { index in
            let quota = arena.pages
            var random = SeededGenerator(seed: UInt64(index))
            var mine: UInt64 = 0
            for _ in 0..<(isThreadSanitized ? 1000 : 4000) {
                let amount = UInt64(1 + random.below(200))
                if random.oneIn(2) {
                    var got: UInt64 = 0
                    if random.oneIn(2) {
                        got = quota.reserve(atMost: amount, shard: UInt64(index))
                    } else if quota.reserve(amount, shard: UInt64(index)) {
                        got = amount
                    }
                    mine += got
                    if inUse.add(got) > limit { _ = isExceeded.add(1) }
                } else {
                    let back = min(amount, mine)
                    mine -= back
                    // Counted before it is free, or another's use of it would count twice.
                    _ = inUse.add(0 &- back)
                    quota.release(back, shard: UInt64(index))
                }
            }
            _ = inUse.add(0 &- mine)
            quota.release(mine, shard: UInt64(index))
        }
        #expect(isExceeded.value == 0)
        #expect(arena.pages.free == limit)
        #expect(arena.problems() == [])
    }

    /// With as much free as all together ever want, nobody is refused.
    @Test func nobodyIsRefusedWhileThereIsEnough() throws {
        let threads = 16
        let arena = try smallArena(shards: threads, workers: threads, pages: 50 * 16)
        defer { arena.unmap() }
        let refused = Counter()
        withThreads(threads) { index in
            let quota = arena.pages
            for round in 0..<(isThreadSanitized ? 1000 : 4000) {
                let amount = UInt64(1 + (round * 7 + index) % 50)
                guard quota.reserve(amount, shard: UInt64(index)) else {
                    _ = refused.add(1)
                    continue
                }
                // Given back elsewhere, so that the shards' credits run dry and over.
                quota.release(amount, shard: UInt64((index + round) % threads))
            }
        }
        #expect(refused.value == 0)
        #expect(arena.problems() == [])
    }
}

final class Counter: Sendable {
    private let word = Atomic<UInt64>(0)
    /// Adds (wrapping) and returns the sum.
    func add(_ amount: UInt64) -> UInt64 {
        word.wrappingAdd(amount, ordering: .sequentiallyConsistent).newValue
    }
    var value: UInt64 { word.load(ordering: .sequentiallyConsistent) }
}
