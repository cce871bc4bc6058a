import CMayflyTestSupport
import Glibc
import SystemPackage

/// What a name may be, and how a path is walked.
extension PosixSuite {
    static let names: [PosixCase] = [
        PosixCase("names/255-bytes") { t in
            let name = [UInt8](repeating: 0x61, count: 255)
            try (t.root / name).create("x")
            try expectEqual((t.root / name).read(), "x")
            try expectEqual(t.root.entries().filter { !$0.isDot }.map(\.name), [name])
        },
        PosixCase("names/256-bytes-are-too-long") { t in
            let path = t.root / [UInt8](repeating: 0x61, count: 256)
            try t["a"].create()
            try expectError(.fileNameTooLong, path.create())
            try expectError(.fileNameTooLong, path.mkdir())
            try expectError(.fileNameTooLong, path.symlink("a"))
            try expectError(.fileNameTooLong, path.mknod(S_IFIFO | 0o644))
            try expectError(.fileNameTooLong, path.status())
            try expectError(.fileNameTooLong, path.unlink())
            try expectError(.fileNameTooLong, path.rmdir())
            try expectError(.fileNameTooLong, t["a"].link(to: path))
            try expectError(.fileNameTooLong, t["a"].rename(to: path))
        },
        // Any byte but NUL and the slash: newline, escape, 0xFF, and what is not UTF-8.
        PosixCase("names/every-byte") { t in
            let bytes = (1...255).map { UInt8($0) }.filter { $0 != 0x2F && $0 != 0x2E }
            for byte in bytes { try (t.root / [byte]).create() }
            let names = try t.root.entries().filter { !$0.isDot }.map { $0.name[0] }
            try expectEqual(names.sorted(), bytes)
            let long = [UInt8](repeating: 0xFF, count: 255)
            try (t.root / long).mkdir()
            try expectEqual((t.root / long).status().type, S_IFDIR)
        },
        PosixCase("names/case-matters") { t in
            try t["a"].create("lower")
            try t["A"].create("upper")
            try expectEqual(t["a"].read(), "lower")
            try expectEqual(t.root.names(), ["A", "a"])
        },
        PosixCase("names/dots-of-other-lengths") { t in
            try t["..."].create()
            try t[".hidden"].create()
            try expectEqual(t.root.names(), ["...", ".hidden"])
        },
        PosixCase("names/dot-and-dot-dot") { t in
            try t["d/"].mkdir()
            try expectEqual(t["d/."].status().inode, t["d"].status().inode)
            try expectEqual(t["d/.."].status().inode, t.root.status().inode)
            try expectError(.fileExists, t["d/."].mkdir())
            try expectError(.fileExists, t["d/.."].mkdir())
        },
        PosixCase("names/path-of-4096-bytes-is-too-long") { t in
            var path = t.root
            while path.bytes.count < 4096 { path = path / "." }
            try expectError(.fileNameTooLong, path.status())
        },
        PosixCase("names/a-path-of-4095-bytes") { t in
            var path = t.root
            while path.bytes.count + 2 <= 4095 - 2 { path = path / "." }
            path = path / (path.bytes.count == 4092 ? "ab" : "a")
            try path.create("x")
            try expectEqual(path.read(), "x")
        },
        PosixCase("names/deep-folders") { t in
            var path = t.root
            for _ in 0..<300 {
                path = path / "d"
                try path.mkdir()
            }
            try (path / "a").create("deep")
            try expectEqual((path / "a").read(), "deep")
            try expectEqual((path / "..").status().links, 3)
        },
        PosixCase("names/not-a-folder-on-the-way") { t in
            try t["a"].create()
            try expectError(.notDirectory, t["a/b"].mkdir())
            try expectError(.notDirectory, t["a/b"].unlink())
            try expectError(.notDirectory, t["a/b"].rmdir())
            try expectError(.notDirectory, t["a/b"].symlink("x"))
            try expectError(.notDirectory, t["a/b"].status())
            try expectError(.notDirectory, t["a"].rename(to: t["a/b"]))
            try expectError(.notDirectory, t["a"].link(to: t["a/b"]))
            try expectError(.notDirectory, t["a/b"].truncate(0))
            try expectError(.notDirectory, t["a/b"].chmod(0))
            try expectError(.notDirectory, t["a/b"].readlink())
        },
        PosixCase("names/missing-on-the-way") { t in
            try expectError(.noSuchFileOrDirectory, t["d/b"].mkdir())
            try expectError(.noSuchFileOrDirectory, t["d/b"].unlink())
            try expectError(.noSuchFileOrDirectory, t["d/b"].symlink("x"))
            try expectError(.noSuchFileOrDirectory, t["b"].unlink())
            try expectError(.noSuchFileOrDirectory, t["b"].rmdir())
            try expectError(.noSuchFileOrDirectory, t["b"].rename(to: t["c"]))
            try expectError(.noSuchFileOrDirectory, t["b"].link(to: t["c"]))
            try expectError(.noSuchFileOrDirectory, t["b"].chmod(0))
            try expectError(.noSuchFileOrDirectory, t["b"].truncate(0))
        },
        // A negative entry that the kernel kept must not outlive the creation of its name.
        PosixCase("names/appear-after-a-failed-lookup") { t in
            for round in 0..<50 {
                let path = t["n\(round)"]
                try expectTrue(!path.exists)
                try path.create()
                try expectTrue(path.exists)
                try path.unlink()
                try expectTrue(!path.exists)
            }
        },
        PosixCase("names/another-file-system") { t in
            try t["a"].create()
            let outside = PosixPath("/dev/shm/mayfly-posix-\(getpid())")
            try expectError(.improperLink, t["a"].rename(to: outside))
            try expectError(.improperLink, t["a"].link(to: outside))
        },
    ]
}
