import CMayflyTestSupport
import Glibc
import SystemPackage

/// Symbolic links and hard links.
extension PosixSuite {
    static let links: [PosixCase] = [
        PosixCase("symlinks/content-and-size") { t in
            try t["l"].symlink("some/where")
            let status = try t["l"].status()
            try expectEqual(status.mode, S_IFLNK | 0o777)
            try expectEqual(status.size, 10)
            try expectEqual(status.links, 1)
            try expectEqual(t["l"].readlink(), Array("some/where".utf8))
        },
        // mm/shmem.c, shmem_symlink(): up to SHORT_SYMLINK_LEN, 128, with the NUL stays in the
        // inode; a longer one takes a page.
        PosixCase("symlinks/blocks") { t in
            for (count, blocks) in [(1, 0), (127, 0), (128, 8), (4095, 8)] {
                let path = t["l\(count)"]
                try path.symlink(PosixPath([UInt8](repeating: 0x61, count: count)))
                try expectEqual(path.status().size, Int64(count))
                try expectEqual(path.status().blocks, blocks, "\(count) bytes")
            }
        },
        PosixCase("symlinks/4095-bytes") { t in
            let target = (0..<4095).map { UInt8(1 + $0 % 255) }
            try t["l"].symlink(PosixPath(target))
            try expectEqual(t["l"].readlink(), target)
        },
        PosixCase("symlinks/4096-bytes-are-too-long") { t in
            let target = PosixPath([UInt8](repeating: 0x61, count: 4096))
            try expectError(.fileNameTooLong, t["l"].symlink(target))
            try expectTrue(!t["l"].exists)
        },
        PosixCase("symlinks/empty-target") { t in
            try expectError(.noSuchFileOrDirectory, t["l"].symlink(""))
        },
        PosixCase("symlinks/readlink-cuts") { t in
            try t["l"].symlink("abcdef")
            try expectEqual(t["l"].readlink(capacity: 3), Array("abc".utf8))
            try t["a"].create()
            try expectError(.invalidArgument, t["a"].readlink())
            try expectError(.invalidArgument, t.root.readlink())
        },
        PosixCase("symlinks/over-an-existing-name") { t in
            try t["a"].create()
            try expectError(.fileExists, t["a"].symlink("b"))
        },
        PosixCase("symlinks/are-followed") { t in
            try t["d"].mkdir()
            try t["d/a"].create("text")
            try t["l"].symlink("d")
            try t["m"].symlink("l/a")
            try expectEqual(t["m"].read(), "text")
            try expectEqual(t["m"].status(follow: true).size, 4)
            try t["m"].chmod(0o600)
            try expectEqual(t["d/a"].status().permissions, 0o600)
            try t["m"].truncate(1)
            try expectEqual(t["d/a"].status().size, 1)
            try expectEqual(t["l/."].status().type, S_IFDIR)
        },
        PosixCase("symlinks/loops") { t in
            try t["a"].symlink("b")
            try t["b"].symlink("a")
            try expectError(.tooManySymbolicLinkLevels, t["a"].open(O_RDONLY))
            try expectError(.tooManySymbolicLinkLevels, t["a/x"].status())
            try expectError(.tooManySymbolicLinkLevels, t["a"].status(follow: true))
            try expectEqual(t["a"].status().type, S_IFLNK)
        },
        // path_resolution(7): 40 links are followed, 41 are too many.
        PosixCase("symlinks/40-levels") { t in
            try t["l0"].create("end")
            for level in 1...41 { try t["l\(level)"].symlink(PosixPath("l\(level - 1)")) }
            try expectEqual(t["l40"].read(), "end")
            try expectError(.tooManySymbolicLinkLevels, t["l41"].open(O_RDONLY))
        },
        PosixCase("symlinks/unlink-leaves-the-target") { t in
            try t["a"].create("text")
            try t["l"].symlink("a")
            try t["l"].unlink()
            try expectEqual(t["a"].read(), "text")
        },
        PosixCase("symlinks/owner-can-change", needsRoot: true) { t in
            try t["a"].create()
            try t["l"].symlink("a")
            try t["l"].chown(1001, 1002)
            try expectEqual(t["l"].status().uid, 1001)
            try expectEqual(t["l"].status().gid, 1002)
            try expectEqual(t["a"].status().uid, 0)
            try t["l"].chown(1003, nil, follow: true)
            try expectEqual(t["a"].status().uid, 1003)
        },
        PosixCase("symlinks/times-can-be-set") { t in
            try t["l"].symlink("a")
            try t["l"].setTimes(access: PosixTime(11), modification: PosixTime(22, 33))
            try expectEqual(t["l"].status().access, PosixTime(11))
            try expectEqual(t["l"].status().modification, PosixTime(22, 33))
        },
        // The umask does not touch a symbolic link's mode, which is always 0777.
        PosixCase("symlinks/umask-is-ignored") { t in
            try withUmask(0o777) { try t["l"].symlink("a") }
            try expectEqual(t["l"].status().permissions, 0o777)
        },
        PosixCase("links/share-an-inode") { t in
            try t["a"].create("text")
            try t["a"].link(to: t["b"])
            let (a, b) = (try t["a"].status(), try t["b"].status())
            try expectEqual(a.inode, b.inode)
            try expectEqual(a.links, 2)
            try t["b"].open(O_WRONLY | O_APPEND).write("!")
            try expectEqual(t["a"].read(), "text!")
            try t["a"].chmod(0o600)
            try expectEqual(t["b"].status().permissions, 0o600)
            try t["a"].unlink()
            try expectEqual(t["b"].status().links, 1)
            try expectEqual(t["b"].read(), "text!")
        },
        PosixCase("links/change-time") { t in
            try t["a"].create()
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].link(to: t["b"])
            let linked = try t["a"].status()
            try expectTrue(linked.change > before.change)
            try expectEqual(linked.modification, before.modification)
            waitForClockTick()
            try t["b"].unlink()
            try expectTrue(try t["a"].status().change > linked.change)
        },
        PosixCase("links/over-an-existing-name") { t in
            try t["a"].create()
            try t["b"].create()
            try t["d"].mkdir()
            try expectError(.fileExists, t["a"].link(to: t["b"]))
            try expectError(.fileExists, t["a"].link(to: t["a"]))
            try expectError(.fileExists, t["a"].link(to: t["d"]))
        },
        PosixCase("links/of-a-directory") { t in
            try t["d"].mkdir()
            try expectError(.notPermitted, t["d"].link(to: t["e"]))
        },
        PosixCase("links/of-a-symlink") { t in
            try t["a"].create("text")
            try t["l"].symlink("a")
            try t["l"].link(to: t["m"])
            try expectEqual(t["m"].status().inode, t["l"].status().inode)
            try expectEqual(t["m"].status().links, 2)
            try t["l"].link(to: t["n"], follow: true)
            try expectEqual(t["n"].status().inode, t["a"].status().inode)
        },
        PosixCase("links/of-special-files") { t in
            try t["p"].mknod(S_IFIFO | 0o644)
            try t["p"].link(to: t["q"])
            try expectEqual(t["q"].status().type, S_IFIFO)
            try expectEqual(t["q"].status().links, 2)
        },
        PosixCase("links/many") { t in
            try t["a"].create()
            for index in 0..<1000 { try t["a"].link(to: t["l\(index)"]) }
            try expectEqual(t["a"].status().links, 1001)
            for index in 0..<1000 { try t["l\(index)"].unlink() }
            try expectEqual(t["a"].status().links, 1)
        },
        PosixCase("links/across-folders") { t in
            try t["d"].mkdir()
            try t["a"].create("text")
            try t["a"].link(to: t["d/b"])
            try t["a"].unlink()
            try expectEqual(t["d/b"].read(), "text")
        },
        PosixCase("links/need-a-writable-folder", needsRoot: true) { t in
            try t["a"].create("", 0o666)
            try t["d"].mkdir(0o755)
            try t["a"].chown(1001, 1001)
            try asUser(1001) { try expectError(.permissionDenied, t["a"].link(to: t["d/b"])) }
        },
    ]
}
