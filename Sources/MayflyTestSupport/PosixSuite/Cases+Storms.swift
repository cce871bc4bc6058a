import CMayflyTestSupport
import Glibc
import SystemPackage

/// Many threads on the same names.
extension PosixSuite {
    static let storms: [PosixCase] = [
        PosixCase("storms/create-and-unlink") { t in
            let rounds = scaled(300, 20_000)
            try onThreads(4) { index in
                for round in 0..<rounds {
                    let path = t["t\(index)-\(round % 7)"]
                    try path.create("x")
                    try path.unlink()
                }
            }
            try expectEqual(t.root.names(), [])
            try expectEqual(t.root.status().size, 40)
        },
        PosixCase("storms/the-same-names") { t in
            let rounds = scaled(300, 20_000)
            try onThreads(4) { _ in
                for round in 0..<rounds {
                    let path = t["n\(round % 3)"]
                    _ = try allowing([.fileExists]) {
                        try path.open(O_CREAT | O_EXCL | O_WRONLY).close()
                    }
                    _ = try allowing([.noSuchFileOrDirectory]) { try path.unlink() }
                }
            }
            for name in try t.root.names() { try t[name].unlink() }
            try expectEqual(t.root.status().size, 40)
        },
        PosixCase("storms/exclusive-creation-has-one-winner") { t in
            for round in 0..<50 {
                let path = t["n\(round)"]
                try onThreads(4) { index in
                    let won = try allowing([.fileExists]) {
                        try path.open(O_CREAT | O_EXCL | O_WRONLY).write("\(index)")
                    }
                    if won { try t["won\(round)-\(index)"].create() }
                }
                let winners = try t.root.names().filter { $0.hasPrefix("won\(round)-") }
                try expectEqual(winners.count, 1)
                try expectEqual("won\(round)-" + path.read(), winners[0])
            }
        },
        PosixCase("storms/mkdir-and-rmdir") { t in
            let rounds = scaled(300, 20_000)
            try onThreads(4) { index in
                for round in 0..<rounds {
                    let path = t["d\(round % 2)"]
                    _ = try allowing([.fileExists]) { try path.mkdir() }
                    _ = try allowing([.noSuchFileOrDirectory]) {
                        try (path / "f\(index)").create()
                    }
                    _ = try allowing([.noSuchFileOrDirectory]) {
                        try (path / "f\(index)").unlink()
                    }
                    _ = try allowing([.noSuchFileOrDirectory, .directoryNotEmpty]) {
                        try path.rmdir()
                    }
                }
            }
            for name in try t.root.names() { try t[name].rmdir() }
            try expectEqual(t.root.status().links, 2)
            try expectEqual(t.root.status().size, 40)
        },
        PosixCase("storms/rename") { t in
            let rounds = scaled(300, 20_000)
            for name in ["d", "e"] { try t[name].mkdir() }
            for index in 0..<8 { try t["d/n\(index)"].create("\(index)") }
            try onThreads(4) { index in
                let folders = ["d", "e"]
                for round in 0..<rounds {
                    let from = t[folders[round % 2]] / "n\((round + index) % 8)"
                    let to = t[folders[(round + index) % 2]] / "n\((round * 3 + index) % 8)"
                    let flags = round % 5 == 0 ? CPS_RENAME_EXCHANGE : CPS_RENAME_NOREPLACE
                    _ = try allowing([.noSuchFileOrDirectory, .fileExists]) {
                        try from.rename(to: to, flags)
                    }
                }
            }
            // Nothing was replaced, so all eight contents are there once.
            let paths = try ["d", "e"].map { folder in
                try t[folder].names().map { t[folder] / $0 }
            }.reduce([], +)
            try expectEqual(try paths.map { try $0.read() }.sorted(), (0..<8).map(String.init))
            let sizes = try t["d"].status().size + t["e"].status().size
            try expectEqual(sizes, 80 + 8 * 20)
        },
        PosixCase("storms/rename-of-folders") { t in
            // Folders move into one another; no loop may come about: fs/namei.c, lock_rename().
            let rounds = scaled(300, 20_000)
            for index in 0..<6 { try t["d\(index)"].mkdir() }
            try onThreads(4) { index in
                for round in 0..<rounds {
                    let (a, b) = ("d\((round + index) % 6)", "d\((round * 5 + index * 2 + 1) % 6)")
                    let inside = t[b] / a
                    let errors: [Errno] = [
                        .noSuchFileOrDirectory, .invalidArgument, .directoryNotEmpty, .fileExists,
                    ]
                    _ = try allowing(errors) { try t[a].rename(to: inside) }
                    _ = try allowing(errors) { try inside.rename(to: t[a]) }
                }
            }
            var (count, queue) = (0, [t.root])
            while let folder = queue.popLast() {
                let names = try folder.names()
                count += names.count
                try expectEqual(folder.status().links, 2 + names.count)
                queue += names.map { folder / $0 }
            }
            try expectEqual(count, 6)
        },
        PosixCase("storms/rename-replaces-atomically") { t in
            let rounds = scaled(300, 20_000)
            try t["a"].create("whole")
            try onThreads(3) { index in
                for _ in 0..<rounds {
                    if index == 0 {
                        try t["new"].create("whole")
                        try t["new"].rename(to: t["a"])
                    } else {
                        try expectEqual(t["a"].read(), "whole")
                    }
                }
            }
        },
        PosixCase("storms/lookup-while-recreated") { t in
            let rounds = scaled(500, 20_000)
            try onThreads(3) { index in
                for _ in 0..<rounds {
                    if index == 0 {
                        try t["a"].create("x").close()
                        try t["a"].unlink()
                        continue
                    }
                    var status: PosixStatus?
                    if try allowing([.noSuchFileOrDirectory], { status = try t["a"].status() }) {
                        try expectEqual(status?.type, S_IFREG)
                    }
                }
            }
            try expectTrue(!t["a"].exists)
        },
        PosixCase("storms/links") { t in
            let rounds = scaled(200, 20_000)
            try t["a"].create()
            try onThreads(4) { index in
                for round in 0..<rounds {
                    try t["a"].link(to: t["l\(index)-\(round)"])
                    if round % 2 == 1 { try t["l\(index)-\(round)"].unlink() }
                }
            }
            try expectEqual(t["a"].status().links, 1 + 4 * rounds / 2)
            try expectEqual(t.root.names().count, 1 + 4 * rounds / 2)
        },
        PosixCase("storms/attributes") { t in
            let rounds = scaled(200, 20_000)
            try t["a"].create()
            try onThreads(4) { index in
                let name = "user.t\(index)"
                for round in 0..<rounds {
                    let value = [UInt8](repeating: UInt8(round % 251), count: 1 + round % 100)
                    try t["a"].setAttribute(name, value)
                    try expectEqual(t["a"].attribute(name), value)
                    if round % 3 == 0 { try t["a"].removeAttribute(name) }
                }
            }
            try expectTrue(try t["a"].attributeNames().count <= 4)
        },
        PosixCase("storms/readdir") { t in
            let stays = Set((0..<100).map { "stay\($0)" })
            for name in stays { try t[name].create() }
            let rounds = scaled(30, 2000)
            try onThreads(3) { index in
                for round in 0..<rounds {
                    if index == 0 {
                        let names = try t.root.names()
                        try expectEqual(Set(names).count, names.count)
                        try expectTrue(stays.isSubset(of: names), "a standing name is missing")
                        continue
                    }
                    for step in 0..<20 { try t["t\(index)-\(round)-\(step)"].create() }
                    for step in 0..<20 { try t["t\(index)-\(round)-\(step)"].unlink() }
                }
            }
            try expectEqual(Set(try t.root.names()), stays)
        },
        PosixCase("storms/truncate-and-write") { t in
            let rounds = scaled(300, 20_000)
            try t["a"].create()
            try onThreads(3) { index in
                let file = try t["a"].open()
                for round in 0..<rounds {
                    switch index {
                    case 0: try file.truncate(Int64(round * 97 % 20_000))
                    case 1:
                        try file.pwrite(
                            [UInt8](repeating: 5, count: 3000), at: Int64(round * 61 % 20_000))
                    default:
                        let bytes = try file.pread(30_000, at: 0)
                        try expectTrue(bytes.allSatisfy { $0 == 0 || $0 == 5 }, "foreign bytes")
                    }
                }
            }
            let size = try t["a"].status().size
            try expectEqual(Int64(t["a"].readBytes().count), size)
        },
    ]
}

/// Runs a call that may fail with these; whether it succeeded.
private func allowing<T>(_ errors: [Errno], _ call: () throws -> T) throws -> Bool {
    do {
        _ = try call()
        return true
    } catch let failure as PosixCallFailure {
        if errors.contains(failure.errno) { return false }
        throw failure
    }
}
