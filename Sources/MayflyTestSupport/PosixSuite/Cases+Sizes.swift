import CMayflyTestSupport
import Glibc
import SystemPackage

private let page = 4096
private let pageBlocks = 8

private func filled(_ count: Int, _ byte: UInt8 = 0x61) -> [UInt8] {
    [UInt8](repeating: byte, count: count)
}

/// truncate(2), holes and the blocks that are left.
extension PosixSuite {
    static let sizes: [PosixCase] = [
        PosixCase("truncate/down-and-up") { t in
            let file = try t["a"].create()
            try file.write(filled(10_000))
            try t["a"].truncate(5)
            try expectEqual(file.status().size, 5)
            try t["a"].truncate(9000)
            try expectEqual(t["a"].readBytes(), filled(5) + filled(8995, 0))
        },
        // The rest of the last page must be zero when the file grows over it again.
        PosixCase("truncate/clears-the-rest-of-a-page") { t in
            for cut in [1, 100, page - 1, page, page + 1, 2 * page - 1] {
                let file = try t["f\(cut)"].create()
                try file.write(filled(3 * page))
                try file.truncate(Int64(cut))
                try file.pwrite("Z", at: Int64(3 * page))
                let expected = filled(cut) + filled(3 * page - cut, 0) + [0x5A]
                try expectTrue(try file.pread(4 * page, at: 0) == expected, "cut at \(cut)")
            }
        },
        PosixCase("truncate/frees-blocks") { t in
            let file = try t["a"].create()
            try file.write(filled(10 * page))
            try expectEqual(file.status().blocks, 10 * pageBlocks)
            try file.truncate(Int64(3 * page + 1))
            try expectEqual(file.status().blocks, 4 * pageBlocks)
            try file.truncate(Int64(3 * page))
            try expectEqual(file.status().blocks, 3 * pageBlocks)
            try file.truncate(1)
            try expectEqual(file.status().blocks, pageBlocks)
            try file.truncate(0)
            try expectEqual(file.status().blocks, 0)
        },
        PosixCase("truncate/growing-takes-no-blocks") { t in
            let file = try t["a"].create()
            try file.truncate(1 << 40)
            try expectEqual(file.status().size, 1 << 40)
            try expectEqual(file.status().blocks, 0)
            try expectEqual(file.pread(8, at: 1 << 39), filled(8, 0))
        },
        PosixCase("truncate/times") { t in
            let file = try t["a"].create("hello")
            let before = try file.status()
            waitForClockTick()
            try t["a"].truncate(3)
            let cut = try file.status()
            try expectTrue(cut.modification > before.modification)
            try expectTrue(cut.change > before.change)
        },
        PosixCase("truncate/times-when-nothing-changes") { t in
            // ftruncate(2) always marks the times on Linux: fs/open.c, do_truncate().
            let file = try t["a"].create("hello")
            let before = try file.status()
            waitForClockTick()
            try file.truncate(5)
            try expectTrue(try file.status().modification > before.modification)
        },
        PosixCase("truncate/limits") { t in
            let file = try t["a"].create()
            try expectError(.invalidArgument, file.truncate(-1))
            try expectError(.invalidArgument, t["a"].truncate(-1))
            try file.truncate(Int64.max)
            try expectEqual(file.status().size, Int64.max)
            try file.truncate(0)
        },
        PosixCase("truncate/permission", needsRoot: true) { t in
            try t["a"].create("hello", 0o644)
            try asUser(1001) { try expectError(.permissionDenied, t["a"].truncate(0)) }
        },
        PosixCase("truncate/position-stays") { t in
            let file = try t["a"].create("hello")
            try file.truncate(0)
            try file.write("X")
            try expectEqual(file.status().size, 6)
            try expectEqual(file.pread(9, at: 0), [0, 0, 0, 0, 0, 0x58])
        },
        PosixCase("sparse/write-beyond-the-end") { t in
            let file = try t["a"].create("ab")
            try file.pwrite("Z", at: Int64(5 * page + 7))
            try expectEqual(file.status().size, Int64(5 * page + 8))
            try expectEqual(file.status().blocks, 2 * pageBlocks)
            try expectEqual(file.pread(page, at: 2), filled(page, 0))
            try expectEqual(file.pread(9, at: Int64(5 * page)), filled(7, 0) + [0x5A])
        },
        PosixCase("sparse/blocks-are-exact") { t in
            let file = try t["a"].create()
            for index in stride(from: 0, to: 64, by: 2) {
                try file.pwrite("x", at: Int64(index * page))
            }
            try expectEqual(file.status().blocks, 32 * pageBlocks)
            for index in stride(from: 1, to: 64, by: 2) {
                try file.pwrite("x", at: Int64(index * page))
            }
            try expectEqual(file.status().blocks, 64 * pageBlocks)
            try file.pwrite("y", at: 5)
            try expectEqual(file.status().blocks, 64 * pageBlocks)
            try expectEqual(file.status().blockSize, page)
        },
        PosixCase("sparse/seek-in-data") { t in
            let file = try t["a"].create("hello")
            try expectEqual(file.seekData(0), 0)
            try expectEqual(file.seekData(4), 4)
            try expectEqual(file.seekHole(0), 5)
            try expectEqual(file.seekHole(4), 5)
            try expectError(.noSuchAddressOrDevice, file.seekData(5))
            try expectError(.noSuchAddressOrDevice, file.seekHole(5))
            try expectError(.noSuchAddressOrDevice, file.seekData(-1))
            try expectError(.noSuchAddressOrDevice, file.seekHole(1 << 40))
        },
        PosixCase("sparse/seek-in-an-empty-file") { t in
            let file = try t["a"].create()
            try expectError(.noSuchAddressOrDevice, file.seekData(0))
            try expectError(.noSuchAddressOrDevice, file.seekHole(0))
        },
        PosixCase("sparse/seek-in-nothing-but-a-hole") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(10 * page))
            try expectError(.noSuchAddressOrDevice, file.seekData(0))
            try expectEqual(file.seekHole(0), 0)
            try expectEqual(file.seekHole(Int64(3 * page + 5)), Int64(3 * page + 5))
        },
        PosixCase("sparse/seek-finds-pages") { t in
            let file = try t["a"].create()
            try file.pwrite("x", at: Int64(4 * page + 100))
            try file.pwrite("x", at: Int64(9 * page))
            try file.truncate(Int64(20 * page))
            try expectEqual(file.seekData(0), Int64(4 * page))
            try expectEqual(file.seekData(Int64(4 * page + 50)), Int64(4 * page + 50))
            try expectEqual(file.seekHole(Int64(4 * page)), Int64(5 * page))
            try expectEqual(file.seekData(Int64(5 * page)), Int64(9 * page))
            try expectEqual(file.seekHole(Int64(9 * page + 1)), Int64(10 * page))
            try expectError(.noSuchAddressOrDevice, file.seekData(Int64(10 * page)))
            try expectEqual(file.seekHole(Int64(19 * page + 4095)), Int64(19 * page + 4095))
        },
        PosixCase("sparse/seek-to-a-hole-at-the-end") { t in
            let file = try t["a"].create()
            try file.write(filled(2 * page))
            try expectEqual(file.seekHole(0), Int64(2 * page))
            try file.truncate(Int64(2 * page + 1))
            try expectEqual(file.seekHole(0), Int64(2 * page))
            try file.pwrite("x", at: Int64(2 * page))
            try expectEqual(file.seekHole(0), Int64(2 * page + 1))
        },
        PosixCase("sparse/seek-moves-the-position") { t in
            let file = try t["a"].create()
            try file.pwrite("data", at: Int64(page))
            try expectEqual(file.seekData(0), Int64(page))
            try expectEqual(file.readText(4), "data")
        },
        PosixCase("sparse/seek-far") { t in
            let file = try t["a"].create()
            let far: Int64 = 1 << 40
            try file.pwrite("x", at: far)
            try expectEqual(file.seekData(0), far)
            try expectEqual(file.seekHole(far), far + 1)
            try expectEqual(file.status().blocks, pageBlocks)
        },
        // Writing zeros makes data, not a hole.
        PosixCase("sparse/zeros-are-data") { t in
            let file = try t["a"].create()
            try file.write(filled(2 * page, 0))
            try expectEqual(file.status().blocks, 2 * pageBlocks)
            try expectEqual(file.seekData(0), 0)
            try expectEqual(file.seekHole(0), Int64(2 * page))
        },
        // Reading a hole does not fill it.
        PosixCase("sparse/reading-a-hole-leaves-it") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(16 * page))
            try expectEqual(file.pread(16 * page, at: 0), filled(16 * page, 0))
            try expectEqual(file.status().blocks, 0)
            try expectError(.noSuchAddressOrDevice, file.seekData(0))
        },
        PosixCase("limits/largest-offset") { t in
            let file = try t["a"].create()
            try file.pwrite("x", at: Int64.max - 1)
            try expectEqual(file.status().size, Int64.max)
            try expectEqual(file.pread(1, at: Int64.max - 1), [0x78])
            try expectError(.invalidArgument, file.pread(4, at: Int64.max - 1))
            try expectError(.invalidArgument, file.pwrite("x", at: .max))
            try expectError(.invalidArgument, file.pwrite("x", at: -1))
            try expectError(.invalidArgument, file.pread(1, at: -1))
            try expectError(.invalidArgument, file.seek(-1))
            try expectEqual(file.seek(.max), .max)
            try expectError(.invalidArgument, file.seek(1, SEEK_CUR))
        },
    ]

    /// fallocate(2).
    static let allocation: [PosixCase] = [
        PosixCase("fallocate/grows") { t in
            let file = try t["a"].create("ab")
            try file.allocate(0, 0, Int64(4 * page + 1))
            try expectEqual(file.status().size, Int64(4 * page + 1))
            try expectEqual(file.status().blocks, 5 * pageBlocks)
            try expectEqual(file.pread(8, at: 0), [0x61, 0x62, 0, 0, 0, 0, 0, 0])
            try expectEqual(file.pread(8, at: Int64(3 * page)), filled(8, 0))
        },
        // mm/shmem.c: allocated pages are not up to date, so SEEK_DATA passes them by.
        PosixCase("fallocate/is-a-hole-until-written") { t in
            let file = try t["a"].create()
            try file.allocate(0, 0, Int64(4 * page))
            try expectError(.noSuchAddressOrDevice, file.seekData(0))
            try expectEqual(file.seekHole(0), 0)
            try file.pwrite("x", at: Int64(2 * page))
            try expectEqual(file.seekData(0), Int64(2 * page))
            try expectEqual(file.seekHole(Int64(2 * page)), Int64(3 * page))
            try expectEqual(file.status().blocks, 4 * pageBlocks)
        },
        PosixCase("fallocate/keeps-the-size") { t in
            let file = try t["a"].create("ab")
            try file.allocate(CPS_FALLOC_KEEP_SIZE, 0, Int64(8 * page))
            try expectEqual(file.status().size, 2)
            try expectEqual(file.status().blocks, 8 * pageBlocks)
            try expectEqual(file.pread(9, at: 0), Array("ab".utf8))
            try file.truncate(Int64(8 * page))
            try expectEqual(file.pread(8, at: Int64(page)), filled(8, 0))
        },
        PosixCase("fallocate/truncate-frees-what-lies-beyond") { t in
            let file = try t["a"].create("ab")
            try file.allocate(CPS_FALLOC_KEEP_SIZE, 0, Int64(8 * page))
            try file.truncate(2)
            try expectEqual(file.status().blocks, pageBlocks)
        },
        PosixCase("fallocate/in-the-middle-of-data") { t in
            let file = try t["a"].create()
            try file.write(filled(3 * page))
            try file.allocate(0, Int64(page), Int64(page))
            try expectEqual(file.pread(3 * page, at: 0), filled(3 * page))
            try expectEqual(file.status().blocks, 3 * pageBlocks)
        },
        PosixCase("fallocate/partial-pages-count-whole") { t in
            let file = try t["a"].create()
            try file.allocate(0, Int64(page - 1), 2)
            try expectEqual(file.status().blocks, 2 * pageBlocks)
            try expectEqual(file.status().size, Int64(page + 1))
        },
        PosixCase("fallocate/arguments") { t in
            let file = try t["a"].create()
            try expectError(.invalidArgument, file.allocate(0, 0, 0))
            try expectError(.invalidArgument, file.allocate(0, -1, 1))
            try expectError(.invalidArgument, file.allocate(0, 0, -1))
            try expectError(.fileTooLarge, file.allocate(0, .max - 5, 10))
            try expectError(.badFileDescriptor, t["a"].open(O_RDONLY).allocate(0, 0, 1))
            try t["d"].mkdir()
            try expectError(.badFileDescriptor, t["d"].open(O_RDONLY).allocate(0, 0, 1))
        },
        PosixCase("fallocate/unsupported-modes") { t in
            let file = try t["a"].create()
            try file.write(filled(4 * page))
            for mode in [
                CPS_FALLOC_COLLAPSE_RANGE, CPS_FALLOC_INSERT_RANGE, CPS_FALLOC_UNSHARE_RANGE,
                CPS_FALLOC_PUNCH_HOLE, 0x100,
            ] {
                try expectError(
                    .notSupported,
                    file.allocate(mode, Int64(page), Int64(page)))
            }
            try expectEqual(file.pread(4 * page, at: 0), filled(4 * page))
        },
        PosixCase("fallocate/punches-pages") { t in
            let file = try t["a"].create()
            try file.write(filled(5 * page))
            try file.punch(Int64(page), Int64(2 * page))
            try expectEqual(file.status().size, Int64(5 * page))
            try expectEqual(file.status().blocks, 3 * pageBlocks)
            try expectEqual(file.seekHole(0), Int64(page))
            try expectEqual(file.seekData(Int64(page)), Int64(3 * page))
            let expected = filled(page) + filled(2 * page, 0) + filled(2 * page)
            try expectTrue(try file.pread(5 * page, at: 0) == expected)
        },
        PosixCase("fallocate/punches-parts-of-pages") { t in
            for (start, length) in [
                (10, 20), (page - 10, 20), (10, 2 * page), (0, 1), (page - 1, 1), (100, 3 * page),
            ] {
                let file = try t["f\(start)-\(length)"].create()
                try file.write(filled(5 * page))
                try file.punch(Int64(start), Int64(length))
                let expected = filled(start) + filled(length, 0) + filled(5 * page - start - length)
                try expectTrue(try file.pread(5 * page, at: 0) == expected, "\(start) \(length)")
                let whole = (start + length) / page - (start + page - 1) / page
                try expectEqual(
                    file.status().blocks, (5 - max(whole, 0)) * pageBlocks, "\(start) \(length)")
            }
        },
        PosixCase("fallocate/punches-beyond-the-end") { t in
            let file = try t["a"].create()
            try file.write(filled(page + 100))
            try file.punch(Int64(page + 50), Int64(10 * page))
            try expectEqual(file.status().size, Int64(page + 100))
            try expectEqual(file.pread(200, at: Int64(page)), filled(50) + filled(50, 0))
            try file.punch(Int64(20 * page), Int64(page))
            try expectEqual(file.status().size, Int64(page + 100))
        },
        PosixCase("fallocate/punches-what-was-allocated") { t in
            let file = try t["a"].create()
            try file.allocate(0, 0, Int64(8 * page))
            try file.punch(0, Int64(8 * page))
            try expectEqual(file.status().blocks, 0)
            try expectEqual(file.status().size, Int64(8 * page))
        },
        PosixCase("fallocate/times") { t in
            let file = try t["a"].create()
            try file.write(filled(2 * page))
            let before = try file.status()
            waitForClockTick()
            try file.punch(0, Int64(page))
            let punched = try file.status()
            try expectTrue(punched.change > before.change)
            waitForClockTick()
            try file.allocate(0, 0, Int64(4 * page))
            try expectTrue(try file.status().change > punched.change)
        },
        // Deviation: tmpfs knows no FALLOC_FL_ZERO_RANGE, Mayfly does.
        PosixCase("fallocate/zero-range") { t in
            let file = try t["a"].create()
            try file.write(filled(4 * page))
            if !t.kind.isMayfly {
                try expectError(.notSupported, file.allocate(CPS_FALLOC_ZERO_RANGE, 10, 10))
                return
            }
            try file.allocate(CPS_FALLOC_ZERO_RANGE, 100, Int64(2 * page))
            let expected = filled(100) + filled(2 * page, 0) + filled(2 * page - 100)
            try expectTrue(try file.pread(4 * page, at: 0) == expected)
            try expectEqual(file.status().blocks, 4 * pageBlocks)
        },
    ]
}

extension PosixFile {
    /// Makes a hole.
    func punch(_ offset: Int64, _ length: Int64) throws(PosixCallFailure) {
        try allocate(CPS_FALLOC_PUNCH_HOLE | CPS_FALLOC_KEEP_SIZE, offset, length)
    }
}
