// Geometry, bitmaps and chunks.

import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@testable import MayflyArena

/// A small arena: `chunks` of 2 MiB behind the headers and descriptors.
func smallArena(
    chunks: UInt64 = 16, shards: Int = 4, workers: Int = 4, pages: UInt64 = 10_000,
    inodeSpace: UInt64 = 1 << 20
) throws -> Arena {
    try Arena(
        regionBytes: (chunks + 2) * Geometry.chunkBytes, shardCount: shards, pageLimit: pages,
        inodeSpaceLimit: inodeSpace, workerCount: workers)
}

extension Arena {
    /// Problems when `claims` is all that is in use.
    func problems(
        _ claims: [(kind: ChunkKind, offset: UInt64, count: UInt64)] = [],
        pages: UInt64 = 0, inodeSpace: UInt64 = 0
    ) -> [String] {
        var check = ArenaCheck(self)
        for claim in claims {
            _ = check.claim(claim.kind, claim.offset, claim.count, "a test's run")
        }
        check.finish(pagesInUse: pages, inodeSpaceInUse: inodeSpace)
        return check.problems
    }
}

@Suite struct GeometryTests {
    @Test(
        arguments: [1, 2, 64, 1024, Geometry.mostShards], [8, 9, 1000, 16_385, 1 << 20] as [UInt64])
    func partsDoNotOverlap(shards: Int, chunks: UInt64) {
        let bytes = chunks * Geometry.chunkBytes
        #expect(Geometry.fits(bytes: bytes, shardCount: shards))
        let geometry = Geometry(bytes: bytes, shardCount: shards)
        #expect(geometry.shard(0) >= 4096 * 2, "the zero page is in front of the shards")
        #expect(geometry.shard(UInt64(shards)) <= geometry.firstChunkOffset)
        #expect(geometry.firstChunkOffset % Geometry.chunkBytes == 0)
        #expect(geometry.chunkCount > 0)
        #expect(geometry.chunkStart(geometry.chunkCount) == bytes)
        for chunk in [0, 1, geometry.chunkCount / 2, geometry.chunkCount - 1] {
            let start = geometry.chunkStart(chunk)
            #expect(geometry.chunk(containing: start) == chunk)
            #expect(geometry.chunk(containing: start + Geometry.chunkBytes - 1) == chunk)
            // Its descriptor is in a chunk that nobody owns.
            let descriptor = geometry.descriptor(chunk)
            let end = descriptor + Geometry.descriptorBytes - 1
            #expect(geometry.holdsDescriptors(geometry.chunk(containing: descriptor)))
            #expect(geometry.chunk(containing: end) == geometry.chunk(containing: descriptor))
        }
    }

    /// Where things are does not depend on how large the region is.
    @Test func placesDoNotDependOnTheSize() {
        let small = Geometry(bytes: 9 * Geometry.chunkBytes, shardCount: 4)
        let large = Geometry(bytes: 1 << 40, shardCount: 1024)
        for chunk in 0..<small.chunkCount {
            #expect(small.descriptor(chunk) == large.descriptor(chunk))
            #expect(small.chunkStart(chunk) == large.chunkStart(chunk))
        }
    }

    @Test(arguments: [ChunkKind.pages, .inodes, .small])
    func bitmapFitsBeforeTheFirstUnit(kind: ChunkKind) {
        #expect(kind.unitCount << kind.unitShift == Geometry.chunkBytes)
        let room =
            kind.rawValue == 0
            ? Geometry.descriptorBytes - Descriptor.bitmap : kind.firstUnit << kind.unitShift
        #expect(kind.unitCount / 8 <= room)
    }

    @Test func impossibleNumbers() {
        func make(_ bytes: UInt64, shards: Int, workers: Int) -> Errno? {
            do throws(Errno) {
                try Arena(
                    regionBytes: bytes, shardCount: shards, pageLimit: 1, inodeSpaceLimit: 1,
                    workerCount: workers
                ).unmap()
                return nil
            } catch {
                return error
            }
        }
        let chunk = Geometry.chunkBytes
        #expect(make(8 * chunk, shards: 1, workers: 1) == nil)
        #expect(make(7 * chunk, shards: 1, workers: 1) == .invalidArgument)
        #expect(make(8 * chunk + 4096, shards: 1, workers: 1) == .invalidArgument)
        #expect(make(8 * chunk, shards: Geometry.mostShards + 1, workers: 1) == .invalidArgument)
        #expect(make(8 * chunk, shards: 2, workers: 3) == .invalidArgument)
        #expect(make(8 * chunk, shards: 2, workers: 0) == .invalidArgument)
    }
}

@Suite struct BitmapTests {
    /// Runs at, before and across the edges of words, against an array of flags.
    @Test func againstFlags() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let words = arena.geometry.chunkStart(1)
        let units: UInt64 = 200
        let bitmap = Bitmap(region: arena.region, words: words, units: units)
        var flags = [Bool](repeating: false, count: Int(units))
        var random = SeededGenerator(seed: 5)
        let counts: [UInt64] = [1, 2, 63, 64, 65, 128, 129, 199, 200, 201]
        for _ in 0..<3000 {
            let count = random.oneIn(2) ? random.pick(counts) : UInt64(1 + random.below(9))
            let start = UInt64(random.below(Int(units) + 1))
            let expected = (start...units).first { position in
                position + count <= units
                    && flags[Int(position)..<Int(position + count)].allSatisfy { !$0 }
            }
            #expect(bitmap.findRun(of: count, from: start) == expected)
            if let expected {
                #expect(bitmap.clearRun(from: expected, atMost: count) == count)
                bitmap.set(expected, count)
                for unit in expected..<expected + count { flags[Int(unit)] = true }
            }
            // Frees a run of what is set, up to one word long.
            let from = random.below(Int(units))
            var end = from
            while end < Int(units), flags[end], end - from < 70 { end += 1 }
            if end > from {
                bitmap.clear(UInt64(from), UInt64(end - from))
                for unit in from..<end { flags[unit] = false }
            }
            #expect(bitmap.population() == UInt64(flags.filter { $0 }.count))
        }
    }

    @Test func freeingTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            let arena = try smallArena()
            let worker = arena.worker(0)
            worker.enter()
            let run = worker.allocate(.small, count: 3)!
            worker.free(.small, run.offset, count: 3)
            worker.free(.small, run.offset + 64, count: 1)
        }
    }
}

@Suite struct ChunkTests {
    @Test(arguments: [ChunkKind.pages, .inodes, .small])
    func wholeRegion(kind: ChunkKind) throws {
        let arena = try smallArena(chunks: 10)
        defer { arena.unmap() }
        let worker = arena.worker(1)
        worker.enter()
        var runs: [(kind: ChunkKind, offset: UInt64, count: UInt64)] = []
        while let run = worker.allocate(kind, count: kind.capacity) {
            #expect(run.isClean)
            runs.append((kind, run.offset, run.count))
        }
        #expect(UInt64(runs.count) == arena.geometry.chunkCount - 1)
        #expect(worker.allocate(kind, count: 1) == nil)
        worker.leave()
        #expect(arena.problems(runs) == [])
        worker.enter()
        for run in runs { worker.free(kind, run.offset, count: run.count) }
        #expect(worker.trim() == runs.count)
        #expect(arena.chunkBytesInUse == 0)
        worker.leave()
        #expect(arena.problems() == [])
        // Another shard finds them in the pool, and zero.
        let other = arena.worker(2)
        other.enter()
        #expect(other.allocate(.pages, count: 512)?.isClean == true)
        other.leave()
        arena.worker(2).enter()
    }

    /// No chunk beyond what is allowed; within it, room is found in whichever shard's chunk it is.
    @Test func roomOfOthersIsFoundWhenNoChunkIsLeft() throws {
        let arena = try smallArena(chunks: 16)
        defer { arena.unmap() }
        let chunks: UInt64 = 6
        let underWay: UInt64 = 4
        arena.allow(inUseAtMost: (chunks + underWay) * Geometry.chunkBytes)
        let first = arena.worker(0)
        first.enter()
        var held: [UInt64] = []
        while let run = first.allocate(.pages, count: 1) { held.append(run.offset) }
        #expect(UInt64(held.count) == chunks * 512)
        #expect(arena.chunkBytesInUse == chunks * Geometry.chunkBytes)
        // Every tenth goes: too little of any chunk for its owner to hear of it.
        var free: UInt64 = 0
        for index in held.indices where index % 10 == 0 {
            first.free(.pages, held[index], count: 1)
            held[index] = 0
            free += 1
        }
        let second = arena.worker(1)
        second.enter()
        #expect(second.allocate(.pages, count: 1) == nil, "the first worker is inside")
        first.leave()
        while let run = second.allocate(.pages, count: 1) {
            held.append(run.offset)
            free -= 1
        }
        #expect(free == 0)
        second.leave()
        #expect(arena.chunkBytesInUse == chunks * Geometry.chunkBytes)
        #expect(arena.problems(held.filter { $0 > 0 }.map { (.pages, $0, 1) }) == [])
    }

    /// Runs of many sizes come and go; none overlaps, none is lost, and all fit again.
    @Test func runsOfAllSizes() throws {
        let arena = try smallArena(chunks: 40)
        defer { arena.unmap() }
        let worker = arena.worker(0)
        var random = SeededGenerator(seed: 9)
        var runs: [(kind: ChunkKind, offset: UInt64, count: UInt64)] = []
        for round in 1...4000 {
            worker.enter()
            if random.oneIn(2) || runs.isEmpty {
                let kind = random.pick([ChunkKind.pages, .inodes, .small])
                let count = random.oneIn(9) ? 1 + UInt64(random.below(500)) : 1
                if kind.rawValue == 0 && random.oneIn(2) {
                    let goal = runs.last.map { $0.offset + $0.count << 12 } ?? 0
                    if let run = worker.allocatePages(atMost: count, goal: goal) {
                        #expect(run.count >= 1 && run.count <= count)
                        runs.append((kind, run.offset, run.count))
                    }
                } else if let run = worker.allocate(kind, count: count) {
                    runs.append((kind, run.offset, run.count))
                }
            } else {
                let run = runs.swapRemove(random.below(runs.count))
                worker.free(run.kind, run.offset, count: run.count)
            }
            if round % 500 == 0 { _ = worker.trim() }
            worker.leave()
            if round % 400 == 0 { #expect(arena.problems(runs) == []) }
        }
    }

    /// What others free comes back to the owner, and chunks move through the pool.
    @Test func remoteFrees() throws {
        let threads = 8
        let arena = try smallArena(chunks: 64, shards: 8, workers: threads)
        defer { arena.unmap() }
        // Each thread hands its runs to the next by a slot of its shard's spare memory.
        let mail = Mail(threads)
        withThreads(threads) { index in
            let worker = arena.worker(index)
            var random = SeededGenerator(seed: UInt64(index))
            for round in 0..<(isThreadSanitized ? 1500 : 6000) {
                worker.enter()
                let kind = random.pick([ChunkKind.pages, .small])
                let count = UInt64(1 + random.below(40))
                if let run = worker.allocate(kind, count: count) {
                    mail.send((kind, run.offset, count), to: (index + 1) % threads)
                }
                if let run = mail.receive(index, all: round % 64 == 0) {
                    for run in run { worker.free(run.kind, run.offset, count: run.count) }
                }
                if round % 500 == 0 { _ = worker.trim() }
                worker.leave()
            }
        }
        let left = (0..<threads).flatMap { mail.receive($0, all: true) ?? [] }
        #expect(arena.problems(left) == [])
        let worker = arena.worker(0)
        worker.enter()
        for run in left { worker.free(run.kind, run.offset, count: run.count) }
        worker.leave()
        for index in 0..<threads {
            let worker = arena.worker(index)
            worker.enter()
            _ = worker.trim()
            worker.leave()
        }
        #expect(arena.problems() == [])
        #expect(arena.chunkBytesInUse == 0, "an empty chunk was forgotten")
    }
}

extension Array {
    mutating func swapRemove(_ index: Int) -> Element {
        swapAt(index, count - 1)
        return removeLast()
    }
}
