// The map from an index to a word, beside a dictionary.

import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@testable import InodeStore

@Suite(.timeLimit(.minutes(2))) struct RadixMapTests {
    /// A worker that is entered, and the map word of a file that nobody else knows.
    private func withMap(_ body: (StoreWorker, _ field: UInt64) throws -> Void) throws {
        let store = try InodeStore(
            pageLimit: 20_000, inodeLimit: 100, workerCount: 2, shardCount: 2, owner: .root)
        defer { store.unmap() }
        let worker = store.worker(0)
        let file = try worker.request { () throws(Errno) in try worker.makeFile(.root, "file") }
        worker.enter()
        let field = try worker.inode(file) + Inode.content
        try body(worker, field)
        worker.freeMap(MapWord(worker.region.load(field)), valuesArePages: false)
        worker.region.store(field, 0)
        worker.leave()
        // Every node has been given back.
        #expect(store.worker(1).check().problems == [])
    }

    private func set(_ worker: StoreWorker, _ field: UInt64, _ index: UInt64, _ value: UInt64)
        throws
    {
        worker.region.storeRelease(try worker.ensureSlot(field, index), value)
    }

    private func all(_ worker: StoreWorker, _ field: UInt64) -> [UInt64: UInt64] {
        var found: [UInt64: UInt64] = [:]
        var last: UInt64?
        var start: UInt64 = 0
        while let (index, value) = worker.mapNext(MapWord(worker.region.load(field)), from: start) {
            if let last, index <= last { Issue.record("\(index) after \(last)") }
            (found[index], last, start) = (value, index, index + 1)
        }
        return found
    }

    /// Indices beside the ends of leaves and nodes of every height.
    private static let edges: [UInt64] = [
        0, 1, 7, 8, 15, 16, 255, 256, 511, 512, 513, 1023, 1024, 262_143, 262_144, 262_145,
        134_217_727, 134_217_728, (1 << 36) - 1, 1 << 36,
    ]

    @Test(arguments: edges) func oneValueIsFoundFromAnywhere(_ index: UInt64) throws {
        try withMap { worker, field in
            #expect(worker.mapValue(MapWord(worker.region.load(field)), index) == 0)
            try set(worker, field, index, 77)
            let map = MapWord(worker.region.load(field))
            #expect(worker.mapValue(map, index) == 77 && map.span > index)
            for start in Self.edges where start <= index {
                let next = try #require(worker.mapNext(map, from: start))
                #expect(next == (index, 77))
            }
            #expect(worker.mapNext(map, from: index + 1) == nil)
            #expect(worker.mapNext(map, from: .max) == nil)
            #expect(worker.mapValue(map, .max) == 0)
        }
    }

    /// From the lowest up a leaf doubles; from the highest down the map begins as high as it must be.
    @Test(arguments: [false, true]) func edgesTogether(isDescending: Bool) throws {
        try withMap { worker, field in
            var expected: [UInt64: UInt64] = [:]
            for index in isDescending ? Self.edges.reversed() : Self.edges {
                try set(worker, field, index, index + 3)
                expected[index] = index + 3
                #expect(all(worker, field) == expected)
            }
        }
    }

    @Test(arguments: 1...4) func anything(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        try withMap { worker, field in
            var expected: [UInt64: UInt64] = [:]
            // Dense in some places and thin in others, as a file's pages are.
            let bases: [UInt64] = [0, 500, 70_000, 1 << 20]
            for step in 0..<4000 {
                let index = bases[random.below(seed > 2 ? 4 : 2)] + UInt64(random.below(600))
                if random.below(5) < 3 {
                    try set(worker, field, index, UInt64(step) + 1)
                    expected[index] = UInt64(step) + 1
                } else {
                    worker.clearEntry(field, index)
                    expected[index] = nil
                }
                #expect(
                    worker.mapValue(MapWord(worker.region.load(field)), index) == expected[index]
                        ?? 0)
                if step % 500 == 0 { #expect(all(worker, field) == expected) }
            }
            #expect(all(worker, field) == expected)
            // What was cleared one by one has left no leaf behind: an empty map has its root alone.
            for index in expected.keys { worker.clearEntry(field, index) }
            #expect(all(worker, field) == [:])
            let map = MapWord(worker.region.load(field))
            let isHigh = map.height > 1
            #expect(isHigh || seed <= 2)
            for entry in 0..<UInt64(isHigh ? 512 : 0) {
                #expect(worker.region.load(map.offset + entry * 8) == 0)
            }
        }
    }

    /// A region that is used up throws, and the map is as it was.
    @Test func theEndOfMemoryLeavesItWhole() throws {
        let store = try InodeStore(
            pageLimit: 20_000, inodeLimit: 4, workerCount: 1, shardCount: 1, owner: .root)
        defer { store.unmap() }
        store.arena.allow(inUseAtMost: 8 * Geometry.chunkBytes)
        let worker = store.worker(0)
        let file = try worker.request { () throws(Errno) in try worker.makeFile(.root, "file") }
        worker.enter()
        defer { worker.leave() }
        let field = try worker.inode(file) + Inode.content
        var expected: [UInt64: UInt64] = [:]
        var index: UInt64 = 0
        var isFull = false
        while !isFull, expected.count < 2_000_000 {
            do throws(Errno) {
                worker.region.storeRelease(try worker.ensureSlot(field, index), index + 1)
                expected[index] = index + 1
                index += 512 * 512  // Two nodes each.
            } catch {
                #expect(error == .noSpace)
                isFull = true
            }
        }
        #expect(isFull && !expected.isEmpty)
        #expect(all(worker, field) == expected)
        worker.freeMap(MapWord(worker.region.load(field)), valuesArePages: false)
        worker.region.store(field, 0)
    }
}

@Suite struct LockSetTests {
    /// Up to four offsets in any order, some of them the same: they come out in theirs.
    @Test func itSorts() {
        for a in 0..<4 as Range<UInt64> {
            for b in 0..<4 as Range<UInt64> {
                for c in 0..<4 as Range<UInt64> {
                    for d in 0..<4 as Range<UInt64> {
                        var set = LockSet(
                            InodeOffset(a), InodeOffset(b), InodeOffset(c), InodeOffset(d))
                        set.sort()
                        #expect((0..<4).map { set[$0].rawValue } == [a, b, c, d].sorted())
                    }
                }
            }
        }
        let one = LockSet(InodeOffset(9))
        #expect((0..<4).map { one[$0].rawValue } == [9, 0, 0, 0])
    }
}
