import CMayflyTestSupport
import Glibc
import SystemPackage

/// mkdir(2), rmdir(2), and what a directory counts.
extension PosixSuite {
    static let directories: [PosixCase] = [
        PosixCase("directories/mkdir") { t in
            try withUmask(0o022) { try t["d"].mkdir(0o777) }
            let status = try t["d"].status()
            try expectEqual(status.mode, S_IFDIR | 0o755)
            try expectEqual(status.links, 2)
            try expectEqual(status.blocks, 0)
        },
        PosixCase("directories/mkdir-over-anything") { t in
            try t["d"].mkdir()
            try t["a"].create()
            try t["l"].symlink("nowhere")
            try expectError(.fileExists, t["d"].mkdir())
            try expectError(.fileExists, t["a"].mkdir())
            try expectError(.fileExists, t["l"].mkdir())
        },
        // mkdir(2): of the mode, only permissions and the sticky bit count.
        PosixCase("directories/mkdir-sticky-mode") { t in
            try withUmask(0) { try t["d"].mkdir(0o1777) }
            try expectEqual(t["d"].status().permissions, 0o1777)
        },
        PosixCase("directories/link-counts") { t in
            try expectEqual(t.root.status().links, 2)
            try t["d"].mkdir()
            try t["e"].mkdir()
            try t["a"].create()
            try expectEqual(t.root.status().links, 4)
            try t["d/f"].mkdir()
            try expectEqual(t["d"].status().links, 3)
            try expectEqual(t.root.status().links, 4)
            try t["d/f"].rmdir()
            try t["d"].rmdir()
            try expectEqual(t.root.status().links, 3)
        },
        // mm/shmem.c: a directory's size grows by BOGO_DIRENT_SIZE, 20, for each entry.
        PosixCase("directories/size-is-20-an-entry") { t in
            try t["d"].mkdir()
            let empty = try t["d"].status().size
            try t["d/a"].create()
            try t["d/e"].mkdir()
            try t["d/l"].symlink("x")
            try t["d/p"].mknod(S_IFIFO | 0o644)
            try t["d/a"].link(to: t["d/b"])
            try expectEqual(empty, 40)
            try expectEqual(t["d"].status().size, empty + 100)
            try t["d/a"].unlink()
            try t["d/e"].rmdir()
            try expectEqual(t["d"].status().size, empty + 60)
            try t["d/b"].rename(to: t["b"])
            try expectEqual(t["d"].status().size, empty + 40)
            try t["d/l"].rename(to: t["d/p"])
            try expectEqual(t["d"].status().size, empty + 20)
        },
        PosixCase("directories/rmdir-of-a-full-one") { t in
            try t["d"].mkdir()
            try t["d/a"].create()
            try expectError(.directoryNotEmpty, t["d"].rmdir())
            try t["d/a"].unlink()
            try t["d"].rmdir()
            try expectTrue(!t["d"].exists)
        },
        PosixCase("directories/rmdir-of-other-things") { t in
            try t["d"].mkdir()
            try t["a"].create()
            try t["l"].symlink("d")
            try expectError(.notDirectory, t["a"].rmdir())
            try expectError(.notDirectory, t["l"].rmdir())
            try expectError(.invalidArgument, t["d/."].rmdir())
            try expectError(.directoryNotEmpty, t["d/.."].rmdir())
        },
        PosixCase("directories/unlink-of-one") { t in
            try t["d"].mkdir()
            try expectError(.isDirectory, t["d"].unlink())
        },
        PosixCase("directories/removed-while-open") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY | O_DIRECTORY)
            try t["d"].rmdir()
            try expectEqual(folder.status().links, 0)
            try expectEqual(folder.status().type, S_IFDIR)
            try t["d"].mkdir()
            try expectTrue(try folder.status().inode != t["d"].status().inode)
        },
        PosixCase("directories/removed-while-working-there") { t in
            try t["d"].mkdir()
            try expectEqual(unsafe chdir(t["d"].description), 0)
            try t["d"].rmdir()
            try expectError(.noSuchFileOrDirectory, PosixPath("a").create())
            try expectError(.noSuchFileOrDirectory, PosixPath("e").mkdir())
            try expectEqual(PosixPath(".").status().links, 0)
            try expectEqual(unsafe chdir("/"), 0)
        },
        PosixCase("directories/rmdir-permission", needsRoot: true) { t in
            try t["d"].mkdir(0o755)
            try t["d/e"].mkdir()
            try t["d/e"].chown(1001, 1001)
            try asUser(1001) { try expectError(.permissionDenied, t["d/e"].rmdir()) }
        },
        // A mount point is busy: fs/namei.c, vfs_rmdir().
        PosixCase("directories/rmdir-of-a-mount-point", needsRoot: true) { t in
            try t["d"].mkdir()
            let options: [UInt8] = [0]
            let mounted = unsafe cps_mount_tmpfs(t["d"].terminated, options)
            try answer(mounted, "mount")
            defer { _ = unsafe cps_unmount(t["d"].terminated, 1) }
            try expectError(.resourceBusy, t["d"].rmdir())
            try expectError(.resourceBusy, t["d"].rename(to: t["e"]))
        },
        // unlink(2) of the sticky kind: only the owner of file or folder may.
        PosixCase("directories/sticky", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d"].chmod(0o1777)
            try asUser(1001) {
                try t["d/a"].create("", 0o666)
                try t["d/e"].mkdir()
            }
            try asUser(1002) {
                try expectError(.notPermitted, t["d/a"].unlink())
                try expectError(.notPermitted, t["d/e"].rmdir())
                try expectError(.notPermitted, t["d/a"].rename(to: t["d/b"]))
                try t["d/mine"].create()
                try expectError(.notPermitted, t["d/mine"].rename(to: t["d/a"]))
                try t["d/mine"].unlink()
            }
            try asUser(1001) {
                try t["d/a"].rename(to: t["d/b"])
                try t["d/b"].unlink()
                try t["d/e"].rmdir()
            }
        },
        PosixCase("directories/sticky-owner-of-the-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d"].chown(1002, 1002)
            try t["d"].chmod(0o1777)
            try asUser(1001) { try t["d/a"].create() }
            try asUser(1002) { try t["d/a"].unlink() }
        },
        PosixCase("directories/read-and-write-fail") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY)
            try expectError(.isDirectory, folder.read(1))
            try expectError(.badFileDescriptor, folder.write("x"))
            try expectError(.isDirectory, t["d"].truncate(0))
            try expectError(.invalidArgument, folder.truncate(0))
        },
        PosixCase("directories/fsync") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY)
            try folder.synchronize()
            try folder.synchronize(dataOnly: true)
        },
        PosixCase("directories/search-permission-only", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d/a"].create("text", 0o644)
            try t["d"].chmod(0o711)
            try asUser(1001) {
                try expectEqual(t["d/a"].read(), "text")
                try expectError(.permissionDenied, t["d"].open(O_RDONLY))
            }
            try t["d"].chmod(0o744)
            try asUser(1001) {
                try expectEqual(t["d"].names(), ["a"])
                try expectError(.permissionDenied, t["d/a"].status())
            }
        },
    ]
}
