// fallocate(2) that comes to the end of memory, and stores for more workers than an image has shards.

import InodeStore
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@Suite struct AllocationEndTests {
    /// What is in the file between the holes.
    enum Before: CaseIterable {
        case nothing, pages, allocated
    }

    /// Chunks end before the limit does: all that was taken is there again, and what was in the file is
    /// as it was.
    @Test(arguments: Before.allCases)
    func itGivesBackWhatItTook(before: Before) throws {
        let store = try InodeStore(
            pageLimit: 1 << 20, inodeLimit: 1000, workerCount: 2, shardCount: 2, owner: .root)
        defer { store.unmap() }
        let worker = store.worker(0)
        let file = try worker.request { () throws(Errno) in try worker.makeFile(.root, "file") }
        for page in stride(from: 100 as UInt64, to: 1500, by: 100) {
            try worker.request { () throws(Errno) in
                switch before {
                case .nothing: break
                case .pages: _ = try worker.write(file, offset: page << 12, [7])
                case .allocated:
                    try worker.allocate(file, offset: page << 12, length: 4096, mode: 0)
                }
            }
        }
        // Some 20 chunks, beside those that each worker may have begun.
        let mostBytes: UInt64 = (20 + 2) * Geometry.chunkBytes
        store.arena.allow(inUseAtMost: mostBytes)
        let (free, old) = (worker.statistics.pagesFree, try attributes(worker, file))
        var refused: Errno?
        do throws(Errno) {
            try worker.request { () throws(Errno) in
                try worker.allocate(file, offset: 0, length: 100 << 20, mode: 0)
            }
        } catch { refused = error }
        #expect(refused == .noSpace)
        #expect(worker.statistics.pagesFree == free)
        let new = try attributes(worker, file)
        #expect(new.size == old.size && new.blocks == old.blocks)
        for page in stride(from: 100 as UInt64, to: 1500, by: 100) where before == .allocated {
            // Still never written: a hole.
            let hole = try worker.request { () throws(Errno) in
                try worker.seek(file, offset: page << 12, hole: true)
            }
            #expect(hole == page << 12)
        }
        #expect(worker.check().problems == [])
        for _ in 0..<8 { worker.maintain(trims: true) }
        store.arena.allow(inUseAtMost: mostBytes)
        // Most of the 40 MiB can be had, by another.
        try worker.request { () throws(Errno) in
            let other = try worker.makeFile(.root, "other")
            try worker.allocate(other, offset: 0, length: 24 << 20, mode: 0)
        }
        #expect(worker.check().problems == [])
    }

    private func attributes(_ worker: StoreWorker, _ file: NodeID) throws -> Attributes {
        try worker.request { () throws(Errno) in try worker.attributes(file) }
    }

    /// A machine with more processors than an image usually has shards.
    @Test func storesOfManyWorkers() throws {
        #expect(Geometry.shardCount(workers: 4) == Geometry.defaultShardCount)
        #expect(Geometry.shardCount(workers: 1 << 20) == Geometry.mostShards)
        let workers = 1030
        let store = try InodeStore(
            pageLimit: 1 << 16, inodeLimit: 10_000, workerCount: workers,
            shardCount: Geometry.shardCount(workers: workers), owner: .root)
        defer { store.unmap() }
        for index in [0, 1023, 1024, 1029] {
            let worker = store.worker(index)
            try worker.request { () throws(Errno) in
                let file = try worker.makeFile(.root, "\(index)")
                #expect(try worker.write(file, offset: 0, [1, 2, 3]) == 3)
            }
        }
        #expect(store.worker(1029).check().problems == [])
    }
}
