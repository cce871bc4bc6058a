// A program that has its memory locked: madvise(2) refuses what it otherwise does.

import Glibc
import MayflyArena
import MayflyTestSupport
import Testing

@testable import MayflyArena

@Suite struct LockedMemoryTests {
    /// The region is not filled when it is made, and what is given back is zero when it comes again.
    @Test(.enabled(if: geteuid() == 0, "locking takes root"))
    func givingBackAndTakingAgain() async {
        await #expect(processExitsWith: .success) {
            try #require(mlockall(Int32(MCL_FUTURE)) == 0)
            let arena = try Arena(
                regionBytes: 8 << 30, shardCount: 4, pageLimit: 1 << 20, inodeSpaceLimit: 1 << 20,
                workerCount: 4)
            let worker = arena.worker(0)
            worker.enter()
            let run = try #require(worker.allocate(.pages, count: 512))
            let start = run.offset
            // As a host program may do that locks what it has later.
            unsafe mlock(arena.region.base + Int(start), 2 << 20)
            for page in 0..<512 as Range<UInt64> { arena.region.store(start + page << 12, 7) }
            worker.free(.pages, start, count: 512)
            #expect(worker.trim() == 1)
            let again = try #require(worker.allocate(.pages, count: 512))
            #expect(again.offset == start && again.isClean)
            for page in 0..<512 as Range<UInt64> {
                try #require(arena.region.load(start + page << 12) == 0)
            }
            worker.leave()
            // A base, and what it shows after pages of it were changed and given back.
            arena.region.store(start, 1)
            let base = try arena.makeBase()
            unsafe mlock(arena.region.base + Int(start), 2 << 20)
            arena.region.store(start, 2)
            let origin = BaseMapping(descriptor: base, bytes: arena.baseBytes)
            arena.region.release([start..<start + 4096], showing: origin)
            #expect(arena.region.load(start) == 1)
            let status = String(decoding: LockedMemoryTests.statm(), as: UTF8.self)
            let pages = try #require(Int(status.split(separator: " ")[1]))
            #expect(pages < 100_000, "8 GiB were to be reserved and not filled")
        }
    }

    static func statm() -> [UInt8] {
        let file = unsafe open("/proc/self/statm", O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(file, &bytes, 256)
        return Array(bytes.prefix(max(0, count)))
    }
}
