// Making a base: chunk by chunk, and back again where that fails in the middle.

import Glibc
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@testable import MayflyArena

@Suite struct BaseTests {
    /// A file system without room for all of it: nothing has changed, and giving back works as before.
    @Test(.enabled(if: geteuid() == 0, "mounting takes root"))
    func aBaseThatFailsInTheMiddle() throws {
        let folder = try makeTemporaryFolder("base")
        defer { unsafe _ = rmdir(folder) }
        try #require(unsafe mount("tmpfs", folder, "tmpfs", 0, "size=2m") == 0)
        defer { unsafe _ = umount2(folder, Int32(MNT_DETACH)) }
        let file = unsafe open(folder + "/base", O_RDWR | O_CREAT, 0o600)
        try #require(file >= 0)

        let arena = try smallArena(chunks: 16)
        defer { arena.unmap() }
        let worker = arena.worker(0)
        worker.enter()
        var runs: [Run] = []
        for chunk in 0..<4 as Range<UInt64> {
            let run = try #require(worker.allocate(.pages, count: 512))
            // Every third page is written, so that the others must stay zero.
            for page in 0..<512 as Range<UInt64> where page % 3 == 0 {
                arena.region.zero(run.offset + page << 12, 4096)
                arena.region.store(run.offset + page << 12, chunk << 32 | page + 1)
            }
            runs.append(run)
        }
        var thrown: Errno?
        do throws(Errno) { try arena.makeBase(in: file) } catch { thrown = error }
        #expect(thrown == .noSpace)
        #expect(arena.baseBytes == 0)
        for (chunk, run) in runs.enumerated() {
            for page in 0..<512 as Range<UInt64> {
                let expected = page % 3 == 0 ? UInt64(chunk) << 32 | page + 1 : 0
                try #require(arena.region.load(run.offset + page << 12) == expected)
            }
            worker.free(.pages, run.offset, count: 512)
        }
        #expect(worker.trim() == 4)
        for _ in 0..<4 {
            let run = try #require(worker.allocate(.pages, count: 512))
            #expect(run.isClean && arena.region.isZero(run.offset, 2 << 20))
        }
        worker.leave()
        close(try arena.makeBase())
    }

    /// Zeros that were written are in the file: reading a hole in a mapping of it takes memory that
    /// nobody expects.
    @Test func writtenZerosAreNoHoles() throws {
        let arena = try smallArena()
        defer { arena.unmap() }
        let worker = arena.worker(0)
        worker.enter()
        let run = try #require(worker.allocate(.pages, count: 4))
        arena.region.zero(run.offset, 2 << 12)
        worker.leave()
        let base = try arena.makeBase()
        defer { close(base) }
        // SEEK_HOLE and SEEK_DATA.
        #expect(lseek(base, off_t(run.offset), 4) == off_t(run.offset + 2 << 12))
        #expect(arena.region.isZero(run.offset, 4 << 12))
    }
}
