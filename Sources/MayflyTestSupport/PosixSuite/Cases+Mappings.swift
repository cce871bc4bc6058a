import CMayflyTestSupport
import Glibc
import SystemPackage

private let page = 4096

/// mmap(2) and execve(2).
extension PosixSuite {
    static let mappings: [PosixCase] = [
        PosixCase("mapping/write-is-seen-by-read") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(2 * page))
            let map = try PosixMapping(file, 2 * page)
            map[0] = 0x41
            map[page] = 0x42
            try map.synchronize()
            try expectEqual(file.pread(1, at: 0), [0x41])
            try expectEqual(file.pread(1, at: Int64(page)), [0x42])
            try expectEqual(t["a"].open(O_RDONLY).pread(1, at: 0), [0x41])
        },
        PosixCase("mapping/write-is-seen-without-msync") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(page))
            let map = try PosixMapping(file, page)
            map[5] = 0x41
            try expectEqual(file.pread(1, at: 5), [0x41])
            try expectEqual(t["a"].open(O_RDONLY).pread(1, at: 5), [0x41])
        },
        PosixCase("mapping/sees-writes") { t in
            let file = try t["a"].create("hello")
            let map = try PosixMapping(file, page)
            try expectEqual(map.bytes(0..<6), Array("hello".utf8) + [0])
            try file.pwrite("J", at: 0)
            try t["a"].open(O_WRONLY).pwrite("y", at: 4)
            try expectEqual(map.bytes(0..<5), Array("Jelly".utf8))
        },
        PosixCase("mapping/two-of-one-file") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(page))
            let one = try PosixMapping(file, page)
            let two = try PosixMapping(try t["a"].open(), page)
            one[7] = 0x37
            try expectEqual(two[7], 0x37)
        },
        PosixCase("mapping/private-copies") { t in
            let file = try t["a"].create("hello")
            let map = try PosixMapping(file, page, shared: false)
            map[0] = 0x4A
            try expectEqual(file.pread(1, at: 0), Array("h".utf8))
            try expectEqual(map[0], 0x4A)
            try expectEqual(t["a"].read(), "hello")
        },
        PosixCase("mapping/outlives-its-descriptor-and-name") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(page))
            let map = try PosixMapping(file, page)
            map[0] = 0x41
            try file.close()
            try t["a"].unlink()
            map[1] = 0x42
            try map.synchronize()
            try expectEqual(map.bytes(0..<2), [0x41, 0x42])
        },
        PosixCase("mapping/keeps-what-was-written-after-unmapping") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(64 * page))
            do {
                let map = try PosixMapping(file, 64 * page)
                for index in 0..<64 { map[index * page] = UInt8(index) }
            }
            try file.close()
            let bytes = try t["a"].readBytes()
            for index in 0..<64 { try expectEqual(bytes[index * page], UInt8(index)) }
        },
        // A store beyond the end of the last page would raise SIGBUS; the kernel reads EFAULT.
        PosixCase("mapping/beyond-the-end") { t in
            let file = try t["a"].create("hello")
            let map = try PosixMapping(file, 2 * page)
            let sink = try t["b"].create()
            try map.send(byte: page - 1, to: sink)
            try expectError(.badAddress, map.send(byte: page, to: sink))
            try file.truncate(Int64(2 * page))
            try map.send(byte: page, to: sink)
            try expectEqual(t["b"].readBytes(), [0, 0])
        },
        PosixCase("mapping/truncated") { t in
            let file = try t["a"].create()
            try file.write([UInt8](repeating: 0x61, count: 2 * page))
            let map = try PosixMapping(file, 2 * page)
            try expectEqual(map[page], 0x61)
            try file.truncate(10)
            let sink = try t["b"].create()
            try expectError(.badAddress, map.send(byte: page, to: sink))
            try expectEqual(map.bytes(8..<12), [0x61, 0x61, 0, 0])
            try file.truncate(Int64(2 * page))
            try expectEqual(map[page], 0)
        },
        PosixCase("mapping/hole-punched") { t in
            let file = try t["a"].create()
            try file.write([UInt8](repeating: 0x61, count: 3 * page))
            let map = try PosixMapping(file, 3 * page)
            try expectEqual(map[page], 0x61)
            try file.punch(Int64(page), Int64(page))
            try expectEqual([map[page - 1], map[page], map[2 * page]], [0x61, 0, 0x61])
        },
        PosixCase("mapping/store-into-a-hole-takes-a-block") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(8 * page))
            let map = try PosixMapping(file, 8 * page)
            map[3 * page] = 1
            try map.synchronize()
            try file.synchronize()
            try expectEqual(file.status().blocks, 8)
            try expectEqual(file.seekData(0), Int64(3 * page))
        },
        PosixCase("mapping/times") { t in
            let file = try t["a"].create()
            try file.truncate(Int64(page))
            let before = try file.status()
            waitForClockTick()
            let map = try PosixMapping(file, page)
            map[0] = 1
            try map.synchronize()
            try file.synchronize()
            try expectTrue(try file.status().modification > before.modification)
        },
        // The kernel tells of a store when it writes the page back, and not whether times were set since.
        PosixCase("mapping/keeps-times-that-were-set-after-a-store") { t in
            let set = PosixTime(1_000_000_000, 7)
            for isCached in [true, false] {
                for way in 0..<4 {
                    let file = try t["a\(way)\(isCached)"].create()
                    if isCached {
                        try file.write([UInt8](repeating: 0x61, count: 2 * page))
                    } else {
                        try file.truncate(Int64(2 * page))
                    }
                    var map: PosixMapping? = try PosixMapping(file, 2 * page)
                    let other = try PosixMapping(file, 2 * page)
                    map?[0] = 1
                    other[page] = 2
                    try t["a\(way)\(isCached)"].setTimes(access: set, modification: set)
                    let change = try file.status().change
                    waitForClockTick()
                    switch way {
                    case 0: map = nil
                    case 1: try map?.synchronize()
                    case 2: try file.synchronize()
                    default:
                        map = nil
                        try file.close()
                    }
                    let after = try t["a\(way)\(isCached)"].status()
                    try expectEqual(after.modification, set, "way \(way), cached: \(isCached)")
                    try expectEqual(after.change, change, "way \(way), cached: \(isCached)")
                }
            }
        },
        PosixCase("mapping/a-store-moves-times-that-were-set-before") { t in
            let set = PosixTime(1_000_000_000, 7)
            let file = try t["a"].create()
            try file.truncate(Int64(64 * page))
            try t["a"].setTimes(access: set, modification: set)
            let map = try PosixMapping(file, 64 * page)
            map[5 * page] = 1
            try map.synchronize()
            try expectTrue(try file.status().modification > set)
        },
        PosixCase("mapping/a-store-moves-times-after-a-write") { t in
            let set = PosixTime(1_000_000_000, 7)
            let file = try t["a"].create("text")
            try t["a"].setTimes(access: set, modification: set)
            try file.pwrite("t", at: 0)
            let before = try file.status().modification
            waitForClockTick()
            let map = try PosixMapping(file, page)
            map[0] = 1
            try map.synchronize()
            try expectTrue(try file.status().modification > before)
        },
        PosixCase("mapping/protection-needs-the-open-mode") { t in
            try t["a"].create("hello")
            let file = try t["a"].open(O_RDONLY)
            try expectError(.permissionDenied, PosixMapping(file, page))
            let map = try PosixMapping(file, page, protection: PROT_READ)
            try expectEqual(map[0], UInt8(ascii: "h"))
            try expectError(
                .permissionDenied, PosixMapping(t["a"].open(O_WRONLY), page, protection: PROT_READ))
            try expectError(
                .operationNotSupportedByDevice,
                PosixMapping(
                    t.root.open(O_RDONLY), page,
                    protection: PROT_READ))
        },
        PosixCase("execute/a-copy-of-a-program") { t in
            try t["true"].open(O_CREAT | O_WRONLY, 0o755)
                .write(PosixPath("/bin/true").readBytes())
            try expectEqual(runProgram([t["true"].description]), 0)
            try t["script"].open(O_CREAT | O_WRONLY, 0o755).write("#!/bin/sh\nexit 7\n")
            try expectEqual(runProgram([t["script"].description]), 7)
        },
        PosixCase("execute/needs-the-bit") { t in
            try t["true"].open(O_CREAT | O_WRONLY, 0o644)
                .write(PosixPath("/bin/true").readBytes())
            try expectError(.permissionDenied, runProgram([t["true"].description]))
        },
        PosixCase("execute/text-is-busy") { t in
            let program = t["sleep"]
            try program.open(O_CREAT | O_WRONLY, 0o755).write(PosixPath("/bin/sleep").readBytes())
            let writer = try program.open(O_WRONLY)
            try expectError(.textFileBusy, runProgram([program.description, "0"]))
            try writer.close()
            let process = try spawnProgram([program.description, "100"], quiet: true)
            defer {
                _ = cps_kill(process, SIGKILL)
                _ = cps_wait(process, 1)
            }
            try expectError(.textFileBusy, program.open(O_WRONLY))
            try expectError(.textFileBusy, program.truncate(0))
            try program.unlink()
        },
    ]
}
