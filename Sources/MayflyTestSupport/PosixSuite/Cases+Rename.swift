import CMayflyTestSupport
import Glibc
import SystemPackage

/// rename(2) and renameat2(2).
extension PosixSuite {
    static let renames: [PosixCase] = [
        PosixCase("rename/file") { t in
            try t["a"].create("text")
            let inode = try t["a"].status().inode
            try t["a"].rename(to: t["b"])
            try expectEqual(t["b"].read(), "text")
            try expectEqual(t["b"].status().inode, inode)
            try expectEqual(t.root.names(), ["b"])
        },
        PosixCase("rename/file-over-file") { t in
            try t["a"].create("new")
            let victim = try t["b"].create("old")
            try t["b"].link(to: t["c"])
            try t["a"].rename(to: t["b"])
            try expectEqual(t["b"].read(), "new")
            try expectEqual(victim.status().links, 1)
            try expectEqual(t["c"].read(), "old")
        },
        PosixCase("rename/file-over-other-kinds-of-file") { t in
            try t["l"].symlink("nowhere")
            try t["p"].mknod(S_IFIFO | 0o644)
            try t["a"].create("a")
            try t["a"].rename(to: t["l"])
            try t["l"].rename(to: t["p"])
            try expectEqual(t["p"].read(), "a")
            try expectEqual(t.root.names(), ["p"])
        },
        PosixCase("rename/symlink-itself") { t in
            try t["a"].create()
            try t["l"].symlink("a")
            try t["l"].rename(to: t["m"])
            try expectEqual(t["m"].readlink(), Array("a".utf8))
            try expectTrue(t["a"].exists)
        },
        PosixCase("rename/folder-over-an-empty-folder") { t in
            try t["d"].mkdir()
            try t["d/a"].create("text")
            try t["e"].mkdir()
            let old = try t["e"].open(O_RDONLY | O_DIRECTORY)
            try t["d"].rename(to: t["e"])
            try expectEqual(t["e/a"].read(), "text")
            try expectEqual(old.status().links, 0)
            try expectEqual(t.root.status().links, 3)
        },
        PosixCase("rename/folder-over-a-full-folder") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["e/a"].create()
            try expectError(.directoryNotEmpty, t["d"].rename(to: t["e"]))
            try expectTrue(t["d"].exists)
        },
        PosixCase("rename/file-over-folder") { t in
            try t["a"].create()
            try t["d"].mkdir()
            try expectError(.isDirectory, t["a"].rename(to: t["d"]))
        },
        PosixCase("rename/folder-over-file") { t in
            try t["a"].create()
            try t["d"].mkdir()
            try expectError(.notDirectory, t["d"].rename(to: t["a"]))
        },
        PosixCase("rename/folder-into-itself") { t in
            try t["d"].mkdir()
            try t["d/e"].mkdir()
            try expectError(.invalidArgument, t["d"].rename(to: t["d/x"]))
            try expectError(.invalidArgument, t["d"].rename(to: t["d/e/x"]))
            try expectError(.directoryNotEmpty, t["d/e"].rename(to: t["d"]))
        },
        PosixCase("rename/dots") { t in
            try t["d"].mkdir()
            try expectError(.resourceBusy, t["d/."].rename(to: t["e"]))
            try expectError(.resourceBusy, t["d/.."].rename(to: t["e"]))
            try expectError(.resourceBusy, t["d"].rename(to: t["d/.."]))
        },
        // rename(2): two names of one inode stay both, and nothing happens.
        PosixCase("rename/over-the-same-inode") { t in
            try t["a"].create()
            try t["a"].link(to: t["b"])
            try t["a"].rename(to: t["b"])
            try expectEqual(t.root.names(), ["a", "b"])
            try expectEqual(t["a"].status().links, 2)
            try t["a"].rename(to: t["a"])
            try expectTrue(t["a"].exists)
        },
        PosixCase("rename/moves-dot-dot") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["d/x"].mkdir()
            try t["d/x"].rename(to: t["e/y"])
            try expectEqual(t["e/y/.."].status().inode, t["e"].status().inode)
            let parent = try t["e/y"].entries().first { $0.text == ".." }
            try expectEqual(parent?.inode, t["e"].status().inode)
        },
        PosixCase("rename/link-counts-of-parents") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["d/x"].mkdir()
            try t["e/y"].mkdir()
            try t["d/x"].rename(to: t["e/x"])
            try expectEqual(t["d"].status().links, 2)
            try expectEqual(t["e"].status().links, 4)
            try t["e/x"].rename(to: t["e/y"])
            try expectEqual(t["e"].status().links, 3)
            try t["e/y"].rename(to: t["e/z"])
            try expectEqual(t["e"].status().links, 3)
        },
        PosixCase("rename/times") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["d/a"].create()
            try t["e/b"].create()
            let victim = try t["e/b"].open(O_RDONLY)
            try t["e/b"].link(to: t["b"])
            let before = try t["e/b"].status().change
            let file = try t["d/a"].status()
            waitForClockTick()
            try t["d/a"].rename(to: t["e/b"])
            let moved = try t["e/b"].status()
            try expectTrue(moved.change > file.change, "the moved file")
            try expectEqual(moved.modification, file.modification)
            try expectTrue(try victim.status().change > before, "the replaced file")
            for folder in ["d", "e"] {
                try expectTrue(try t[folder].status().modification > before, folder)
                try expectTrue(try t[folder].status().change > before, folder)
            }
        },
        PosixCase("rename/open-file-goes-along") { t in
            let file = try t["a"].create("x")
            try t["d"].mkdir()
            try t["a"].rename(to: t["d/b"])
            try file.write("y")
            try expectEqual(t["d/b"].read(), "xy")
        },
        PosixCase("rename/permissions", needsRoot: true) { t in
            try t["open"].mkdir()
            try t["open"].chmod(0o777)
            try t["open/a"].create()
            try t["closed"].mkdir(0o755)
            try t["closed/b"].create()
            try asUser(1001) {
                try expectError(.permissionDenied, t["open/a"].rename(to: t["closed/a"]))
                try expectError(.permissionDenied, t["closed/b"].rename(to: t["open/b"]))
            }
        },
        // A folder moves only when its own '..' may be written: fs/namei.c, vfs_rename().
        PosixCase("rename/folder-of-another-user", needsRoot: true) { t in
            for name in ["d", "e"] {
                try t[name].mkdir()
                try t[name].chmod(0o777)
            }
            try t["d/x"].mkdir(0o755)
            try asUser(1001) {
                try expectError(.permissionDenied, t["d/x"].rename(to: t["e/x"]))
                try t["d/x"].rename(to: t["d/y"])
            }
        },
        PosixCase("rename/long-chain") { t in
            try t["n0"].create("text")
            for index in 0..<500 { try t["n\(index)"].rename(to: t["n\(index + 1)"]) }
            try expectEqual(t.root.names(), ["n500"])
            try expectEqual(t.root.status().size, 60)
        },
    ]

    static let renameFlags: [PosixCase] = [
        PosixCase("rename-flags/no-replace") { t in
            try t["a"].create("a")
            try t["b"].create("b")
            try expectError(.fileExists, t["a"].rename(to: t["b"], CPS_RENAME_NOREPLACE))
            try expectError(.fileExists, t["a"].rename(to: t["a"], CPS_RENAME_NOREPLACE))
            try t["a"].rename(to: t["c"], CPS_RENAME_NOREPLACE)
            try expectEqual(t["c"].read(), "a")
            try expectEqual(t["b"].read(), "b")
        },
        PosixCase("rename-flags/exchange-files") { t in
            try t["a"].create("a")
            try t["b"].create("b")
            try t["a"].rename(to: t["b"], CPS_RENAME_EXCHANGE)
            try expectEqual(t["a"].read(), "b")
            try expectEqual(t["b"].read(), "a")
        },
        PosixCase("rename-flags/exchange-with-nothing") { t in
            try t["a"].create()
            try expectError(
                .noSuchFileOrDirectory, t["a"].rename(to: t["b"], CPS_RENAME_EXCHANGE))
        },
        PosixCase("rename-flags/exchange-file-and-folder") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["d/a"].create("a")
            try t["e/x"].mkdir()
            try t["e/x/y"].create("y")
            try t["d/a"].rename(to: t["e/x"], CPS_RENAME_EXCHANGE)
            try expectEqual(t["e/x"].read(), "a")
            try expectEqual(t["d/a/y"].read(), "y")
            try expectEqual(t["d"].status().links, 3)
            try expectEqual(t["e"].status().links, 2)
            try expectEqual(t["d/a/.."].status().inode, t["d"].status().inode)
        },
        PosixCase("rename-flags/exchange-full-folders") { t in
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["d/a"].create()
            try t["e/b"].create()
            try t["d"].rename(to: t["e"], CPS_RENAME_EXCHANGE)
            try expectEqual(t["d"].names(), ["b"])
            try expectEqual(t["e"].names(), ["a"])
        },
        PosixCase("rename-flags/exchange-with-an-ancestor") { t in
            try t["d"].mkdir()
            try t["d/e"].mkdir()
            try expectError(.invalidArgument, t["d"].rename(to: t["d/e"], CPS_RENAME_EXCHANGE))
            try expectError(.invalidArgument, t["d/e"].rename(to: t["d"], CPS_RENAME_EXCHANGE))
        },
        PosixCase("rename-flags/exchange-times") { t in
            try t["a"].create()
            try t["b"].create()
            let before = try [t["a"].status().change, t["b"].status().change].max()!
            waitForClockTick()
            try t["a"].rename(to: t["b"], CPS_RENAME_EXCHANGE)
            try expectTrue(try t["a"].status().change > before)
            try expectTrue(try t["b"].status().change > before)
        },
        // mm/shmem.c, shmem_whiteout(): a character device 0:0 stays at the old name.
        PosixCase("rename-flags/whiteout", needsRoot: true) { t in
            try t["a"].create("a")
            try t["a"].rename(to: t["b"], CPS_RENAME_WHITEOUT)
            try expectEqual(t["b"].read(), "a")
            let whiteout = try t["a"].status()
            try expectEqual(whiteout.mode, S_IFCHR)
            try expectEqual([whiteout.deviceMajor, whiteout.deviceMinor], [0, 0])
        },
        PosixCase("rename-flags/whiteout-over-a-file", needsRoot: true) { t in
            try t["a"].create("a")
            try t["b"].create("b")
            try expectError(
                .fileExists,
                t["a"].rename(to: t["b"], CPS_RENAME_WHITEOUT | CPS_RENAME_NOREPLACE))
            try t["a"].rename(to: t["b"], CPS_RENAME_WHITEOUT)
            try expectEqual(t["b"].read(), "a")
            try expectEqual(t["a"].status().type, S_IFCHR)
            try expectEqual(t.root.status().size, 80)
        },
        PosixCase("rename-flags/whiteout-of-a-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d/a"].create()
            try t["d"].rename(to: t["e"], CPS_RENAME_WHITEOUT)
            try expectEqual(t["e"].names(), ["a"])
            try expectEqual(t["d"].status().type, S_IFCHR)
            try expectEqual(t.root.status().links, 3)
        },
        PosixCase("rename-flags/invalid") { t in
            try t["a"].create()
            try t["b"].create()
            for flags in [
                CPS_RENAME_EXCHANGE | CPS_RENAME_NOREPLACE,
                CPS_RENAME_EXCHANGE | CPS_RENAME_WHITEOUT, 8, 1 << 31,
            ] as [UInt32] {
                try expectError(.invalidArgument, t["a"].rename(to: t["b"], flags), "\(flags)")
            }
        },
    ]
}
