// Marks of written pages, beside what the kernel knows.

import Glibc
import Testing

@testable import MayflyArena

@Suite struct WrittenPagesTests {
    /// An arena over a base of eight chunks, and a page in the last.
    private func based() throws -> (arena: Arena, page: UInt64) {
        let arena = try smallArena()
        let worker = arena.worker(0)
        worker.enter()
        defer { worker.leave() }
        var page: UInt64 = 0
        for _ in 0..<7 { page = try #require(worker.allocate(.pages, count: 512)).offset }
        for at in 0..<512 as Range<UInt64> { arena.region.store(page + at << 12, at + 1) }
        close(try arena.makeBase())
        return (arena, page)
    }

    /// Of the pages in chunks; those of the headers stay marked for good.
    private func marked(_ arena: Arena) -> [PageRun] {
        arena.writtenRuns().filter { $0.lowerBound >= arena.geometry.firstChunkOffset }
    }

    @Test func everyWayToWriteMarks() throws {
        let (arena, start) = try based()
        defer { arena.unmap() }
        let region = arena.region
        #expect(marked(arena).isEmpty)
        let ways: [(UInt64) -> Void] = [
            { region.store($0, 7) }, { region.storeRelease($0, 7) }, { region.store32($0, 7) },
            { region.add($0, 1) }, { region.subtract($0, 1) }, { _ = region.swap($0, 7) },
            { _ = region.exchange($0, expected: 1 << 40, desired: 0) },
            { region.setBits($0, 1 << 33) }, { region.clearBits($0, 1) },
            { region.zero($0, 4096) },
            { unsafe region.pointer(writing: $0, 1).storeBytes(of: 7, as: UInt8.self) },
        ]
        for (index, way) in ways.enumerated() {
            let page = start + UInt64(index) * 8192
            way(page)
            #expect(marked(arena).last == page..<page + 4096, "way \(index)")
            #expect(marked(arena).count == index + 1, "way \(index)")
        }
        #expect(arena.unmarkedRuns().isEmpty)
        // Across two pages, and to the byte.
        region.zero(start + 300 << 12 + 4095, 2)
        #expect(marked(arena).last == start + 300 << 12..<start + 302 << 12)
        region.zero(start + 400 << 12, 0)
        #expect(marked(arena).last == start + 300 << 12..<start + 302 << 12)
    }

    /// What is given back is the file's again, and unmarked, and the rest is not.
    @Test func givingBackClears() throws {
        let (arena, start) = try based()
        defer { arena.unmap() }
        let region = arena.region
        for page in 0..<4 as Range<UInt64> { region.store(start + page << 12, 99) }
        region.release(
            [start..<start + 4096, start + 2 << 12..<start + 3 << 12],
            showing: BaseMapping(descriptor: -1, bytes: arena.baseBytes))
        #expect(region.load(start) == 1 && region.load(start + 1 << 12) == 99)
        let second = start + 1 << 12, fourth = start + 3 << 12
        #expect(marked(arena) == [second..<second + 4096, fourth..<fourth + 4096])
        #expect(region.release(start, Geometry.chunkBytes))
        #expect(marked(arena).isEmpty && region.load(fourth) == 4)
        region.store(fourth, 5)
        #expect(marked(arena) == [fourth..<fourth + 4096])
    }

    /// A canary: a write past the accessors is found.
    @Test func anUnmarkedWriteIsFound() throws {
        let (arena, start) = try based()
        defer { arena.unmap() }
        try #require(arena.privateRuns() != nil, "PAGEMAP_SCAN: Linux 6.7")
        #expect(arena.unmarkedRuns().isEmpty)
        unsafe (arena.region.base + Int(start)).storeBytes(of: 7, as: UInt8.self)
        #expect(arena.unmarkedRuns() == [start..<start + 4096])
    }
}
