import CMayflyTestSupport
import Glibc
import SystemPackage

private let page = 4096

private func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 + seed) &* 31 &+ ($0 >> 8)) }
}

/// read(2), write(2) and what else moves bytes.
extension PosixSuite {
    static let transfers: [PosixCase] = [
        PosixCase("io/read-at-the-end") { t in
            let file = try t["a"].create("hello")
            try expectEqual(file.pread(10, at: 3), Array("lo".utf8))
            try expectEqual(file.pread(10, at: 5), [])
            try expectEqual(file.pread(10, at: 1 << 40), [])
            try expectEqual(file.pread(0, at: 0), [])
        },
        PosixCase("io/empty-write") { t in
            let file = try t["a"].create("hello")
            let before = try file.status()
            waitForClockTick()
            try expectEqual(file.pwrite([], at: 100), 0)
            try expectEqual(file.status().size, 5)
            try expectEqual(file.status().modification, before.modification)
        },
        PosixCase("io/positions") { t in
            let file = try t["a"].create("0123456789")
            try file.seek(2)
            try expectEqual(file.readText(3), "234")
            try file.write("X")
            try expectEqual(file.seek(0, SEEK_CUR), 6)
            try expectEqual(file.seek(-2, SEEK_END), 8)
            try expectEqual(file.readText(9), "89")
            try expectEqual(file.seek(100), 100)
            try expectEqual(file.read(1), [])
            try expectEqual(t["a"].read(), "01234X6789")
        },
        PosixCase("io/across-pages") { t in
            for count in [1, page - 1, page, page + 1, 2 * page - 1, 100_000, 1 << 20] {
                let file = try t["f\(count)"].create()
                let bytes = pattern(count, count)
                try expectEqual(file.pwrite(bytes, at: 0), count)
                try expectTrue(try file.pread(count + 1, at: 0) == bytes, "\(count) bytes")
                try expectEqual(file.status().blocks, (count + page - 1) / page * 8)
            }
        },
        PosixCase("io/overwrites-at-every-edge") { t in
            let file = try t["a"].create()
            var model = pattern(5 * page)
            try file.pwrite(model, at: 0)
            for (offset, count) in [
                (0, 1), (page - 1, 2), (page, page), (1, 3 * page), (2 * page - 7, 14),
                (5 * page - 1, 1), (4 * page, page),
            ] {
                let bytes = pattern(count, offset + 7)
                try file.pwrite(bytes, at: Int64(offset))
                model.replaceSubrange(offset..<(offset + count), with: bytes)
                try expectTrue(try file.pread(5 * page, at: 0) == model, "\(count) at \(offset)")
            }
        },
        PosixCase("io/random-history") { t in
            let file = try t["a"].create()
            var generator = SystemRandomNumberGenerator()
            var model: [UInt8] = []
            for step in 0..<300 {
                let offset = Int.random(in: 0..<200_000, using: &generator)
                let count = Int.random(in: 1..<20_000, using: &generator)
                if step % 7 == 6 {
                    try file.truncate(Int64(offset))
                    if offset < model.count { model.removeSubrange(offset...) }
                    model += [UInt8](repeating: 0, count: max(0, offset - model.count))
                    continue
                }
                let bytes = pattern(count, step)
                try file.pwrite(bytes, at: Int64(offset))
                model += [UInt8](repeating: 0, count: max(0, offset + count - model.count))
                model.replaceSubrange(offset..<(offset + count), with: bytes)
            }
            try expectEqual(file.status().size, Int64(model.count))
            try expectTrue(try file.pread(model.count + 1, at: 0) == model)
        },
        PosixCase("io/large") { t in
            let file = try t["a"].create()
            let bytes = pattern(16 << 20)
            try expectEqual(file.write(bytes), bytes.count)
            try expectTrue(try file.pread(bytes.count, at: 0) == bytes)
        },
        PosixCase("io/gathering-and-scattering") { t in
            let file = try t["a"].create()
            let lengths = [1, 4095, 0, 5000, 3]
            let bytes = pattern(lengths.reduce(0, +))
            try expectEqual(file.pwritev(bytes, lengths, at: 17), bytes.count)
            try expectTrue(try file.preadv([9, 9090], at: 17) == bytes)
            try expectEqual(file.preadv([10, 10], at: 17 + 9090), Array(bytes.suffix(9)))
            try expectEqual(file.pread(17, at: 0), [UInt8](repeating: 0, count: 17))
        },
        PosixCase("io/two-appending-descriptors") { t in
            try t["a"].create()
            let one = try t["a"].open(O_WRONLY | O_APPEND)
            let two = try t["a"].open(O_WRONLY | O_APPEND)
            for _ in 0..<10 {
                try one.write("a")
                try two.write("b")
            }
            try expectEqual(t["a"].read(), String(repeating: "ab", count: 10))
        },
        PosixCase("io/two-appending-threads") { t in
            try t["a"].create()
            let count = 500
            try onThreads(2) { index in
                let file = try t["a"].open(O_WRONLY | O_APPEND)
                let record = [UInt8](repeating: UInt8(0x61 + index), count: 100)
                for _ in 0..<count { try file.write(record) }
            }
            let bytes = try t["a"].readBytes()
            try expectEqual(bytes.count, 2 * count * 100)
            for start in stride(from: 0, to: bytes.count, by: 100) {
                let record = bytes[start..<(start + 100)]
                try expectTrue(record.allSatisfy { $0 == record.first }, "torn at \(start)")
            }
        },
        PosixCase("io/direct") { t in
            let file = try t["a"].open(O_RDWR | O_CREAT | CPS_O_DIRECT)
            let bytes = pattern(8 * page)
            try expectEqual(file.pwriteAligned(bytes, at: 0), bytes.count)
            try expectTrue(try file.preadAligned(8 * page, at: 0) == bytes)
            try expectTrue(try t["a"].readBytes() == bytes)
            try t["a"].open(O_WRONLY).pwrite("seen", at: Int64(page))
            try expectEqual(
                file.preadAligned(page, at: Int64(page)).prefix(4), ArraySlice("seen".utf8))
        },
        PosixCase("io/direct-at-the-end") { t in
            try t["a"].create("hello")
            let file = try t["a"].open(O_RDWR | CPS_O_DIRECT)
            try expectEqual(file.preadAligned(page, at: 0), Array("hello".utf8))
            try expectEqual(file.preadAligned(page, at: Int64(page)), [])
            try expectEqual(file.pwriteAligned(pattern(page), at: Int64(2 * page)), page)
            try expectEqual(file.status().size, Int64(3 * page))
            try expectEqual(file.status().blocks, 16)
        },
        PosixCase("io/fsync") { t in
            let file = try t["a"].create("x")
            try file.synchronize()
            try file.synchronize(dataOnly: true)
            try t["a"].open(O_WRONLY | O_SYNC).write("y")
            try expectEqual(t["a"].read(), "y")
        },
        PosixCase("io/many-descriptors-see-one-file") { t in
            let files = try (0..<20).map { _ in try t["a"].open(O_RDWR | O_CREAT) }
            for (index, file) in files.enumerated() { try file.pwrite("\(index)", at: 0) }
            for file in files { try expectEqual(file.pread(2, at: 0), Array("19".utf8)) }
        },
        PosixCase("io/sendfile") { t in
            let bytes = pattern(100_000)
            let from = try t["a"].create()
            try from.write(bytes)
            let to = try t["b"].create()
            var sent = 0
            while sent < bytes.count {
                sent += try from.send(to: to, at: Int64(sent), bytes.count - sent)
            }
            try expectTrue(try t["b"].readBytes() == bytes)
        },
        PosixCase("io/readers-beside-a-writer") { t in
            // Every read of 8 aligned bytes gives one of the two states, never a page of another.
            try t["a"].create().write([UInt8](repeating: 1, count: 64 * page))
            try onThreads(3) { index in
                let file = try t["a"].open(O_RDWR)
                for round in 0..<200 {
                    let offset = Int64((round % 64) * page)
                    if index == 0 {
                        let byte = UInt8(1 + round % 2)
                        try file.pwrite([UInt8](repeating: byte, count: page), at: offset)
                    } else {
                        let bytes = try file.pread(8, at: offset)
                        try expectEqual(bytes.count, 8)
                        try expectTrue(bytes.allSatisfy { $0 == 1 || $0 == 2 }, "\(bytes)")
                    }
                }
            }
        },
    ]

    /// copy_file_range(2).
    static let copies: [PosixCase] = [
        PosixCase("copy-range/between-files") { t in
            let bytes = pattern(50_000)
            let from = try t["a"].create()
            try from.write(bytes)
            let to = try t["b"].create()
            var copied = 0
            while copied < bytes.count {
                let count = try from.copyRange(
                    at: Int64(copied), to: to, at: Int64(copied + 3), bytes.count - copied)
                try expectTrue(count > 0)
                copied += count
            }
            try expectTrue(try t["b"].readBytes() == [0, 0, 0] + bytes)
        },
        PosixCase("copy-range/within-a-file") { t in
            let file = try t["a"].create("0123456789")
            try expectEqual(file.copyRange(at: 0, to: file, at: 5, 4), 4)
            try expectEqual(t["a"].read(), "0123401239")
        },
        PosixCase("copy-range/overlapping") { t in
            let file = try t["a"].create("0123456789")
            try expectError(.invalidArgument, file.copyRange(at: 0, to: file, at: 3, 5))
            try expectEqual(t["a"].read(), "0123456789")
        },
        PosixCase("copy-range/at-the-end") { t in
            let from = try t["a"].create("hello")
            let to = try t["b"].create()
            try expectEqual(from.copyRange(at: 5, to: to, at: 0, 10), 0)
            try expectEqual(from.copyRange(at: 3, to: to, at: 0, 10), 2)
            try expectEqual(t["b"].read(), "lo")
        },
        PosixCase("copy-range/descriptors") { t in
            try t["a"].create("hello")
            try t["b"].create()
            let (from, to) = (try t["a"].open(O_RDONLY), try t["b"].open(O_RDONLY))
            try expectError(.badFileDescriptor, from.copyRange(at: 0, to: to, at: 0, 1))
            let appending = try t["b"].open(O_WRONLY | O_APPEND)
            try expectError(.badFileDescriptor, from.copyRange(at: 0, to: appending, at: 0, 1))
            let folder = try t.root.open(O_RDONLY)
            let writer = try t["b"].open(O_WRONLY)
            try expectError(.isDirectory, folder.copyRange(at: 0, to: writer, at: 0, 1))
        },
        PosixCase("copy-range/times") { t in
            let from = try t["a"].create("hello")
            let to = try t["b"].create()
            let before = try to.status()
            waitForClockTick()
            _ = try from.copyRange(at: 0, to: to, at: 0, 5)
            try expectTrue(try to.status().modification > before.modification)
            try expectTrue(try to.status().change > before.change)
        },
    ]
}
