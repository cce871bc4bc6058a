import CMayflyTestSupport
import Glibc
import SystemPackage

/// open(2): flags, modes and what they fail with.
extension PosixSuite {
    static let open: [PosixCase] = [
        PosixCase("open/creates-a-regular-file") { t in
            try withUmask(0o027) { try t["a"].open(O_CREAT | O_WRONLY, 0o666).close() }
            let status = try t["a"].status()
            try expectEqual(status.mode, S_IFREG | 0o640)
            try expectEqual(status.size, 0)
            try expectEqual(status.blocks, 0)
            try expectEqual(status.links, 1)
            try expectEqual(status.uid, geteuid())
        },
        PosixCase("open/exclusive-on-an-existing-file") { t in
            try t["a"].create()
            try expectError(.fileExists, t["a"].open(O_CREAT | O_EXCL | O_WRONLY))
        },
        // open(2): O_CREAT | O_EXCL does not follow a symbolic link, not even a dangling one.
        PosixCase("open/exclusive-on-a-dangling-symlink") { t in
            try t["link"].symlink("nowhere")
            try expectError(.fileExists, t["link"].open(O_CREAT | O_EXCL | O_WRONLY))
            try expectTrue(!t["nowhere"].exists)
        },
        PosixCase("open/creates-through-a-dangling-symlink") { t in
            try t["link"].symlink("target")
            try t["link"].open(O_CREAT | O_WRONLY).write("x")
            try expectEqual(t["target"].read(), "x")
        },
        PosixCase("open/truncates") { t in
            try t["a"].create("hello")
            try t["a"].open(O_WRONLY | O_TRUNC).close()
            try expectEqual(t["a"].status().size, 0)
            try expectEqual(t["a"].status().blocks, 0)
        },
        PosixCase("open/truncate-changes-times") { t in
            try t["a"].create("hello")
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].open(O_WRONLY | O_TRUNC).close()
            let after = try t["a"].status()
            try expectTrue(after.modification > before.modification)
            try expectTrue(after.change > before.change)
        },
        PosixCase("open/directory-flag") { t in
            try t["a"].create()
            try t["d"].mkdir()
            try expectError(.notDirectory, t["a"].open(O_RDONLY | O_DIRECTORY))
            try t["d"].open(O_RDONLY | O_DIRECTORY).close()
        },
        // Since Linux 6.4 the two flags together are refused: fs/open.c, build_open_flags().
        PosixCase("open/directory-flag-with-creation") { t in
            try expectError(.invalidArgument, t["d"].open(O_RDONLY | O_CREAT | O_DIRECTORY))
            try expectTrue(!t["d"].exists)
        },
        PosixCase("open/nofollow") { t in
            try t["a"].create()
            try t["link"].symlink("a")
            try expectError(.tooManySymbolicLinkLevels, t["link"].open(O_RDONLY | O_NOFOLLOW))
            try t["a"].open(O_RDONLY | O_NOFOLLOW).close()
        },
        PosixCase("open/a-directory-for-writing") { t in
            try t["d"].mkdir()
            try expectError(.isDirectory, t["d"].open(O_WRONLY))
            try expectError(.isDirectory, t["d"].open(O_RDWR))
            try expectError(.isDirectory, t["d"].open(O_RDONLY | O_CREAT))
            try expectError(.isDirectory, t["d"].open(O_WRONLY | O_TRUNC))
        },
        // open(2): the mode applies to later opens, not to the descriptor that creates.
        PosixCase("open/read-only-mode-is-writable-by-its-creator", needsRoot: true) { t in
            try t.root.chmod(0o777)
            try asUser(1001) {
                let file = try t["a"].open(O_CREAT | O_RDWR, 0o444)
                try file.write("text")
                try expectEqual(t["a"].read(), "text")
                try expectError(.permissionDenied, t["a"].open(O_WRONLY))
            }
        },
        PosixCase("open/mode-0-is-usable-by-its-creator", needsRoot: true) { t in
            try t.root.chmod(0o777)
            try asUser(1001) {
                let file = try t["a"].open(O_CREAT | O_EXCL | O_RDWR, 0)
                try file.write("text")
                try expectEqual(file.pread(9, at: 0), Array("text".utf8))
                try expectError(.permissionDenied, t["a"].open(O_RDONLY))
            }
        },
        PosixCase("open/append-ignores-the-position") { t in
            let file = try t["a"].create("hello")
            let appending = try t["a"].open(O_WRONLY | O_APPEND)
            try file.write(" world")
            try appending.seek(0)
            try appending.write("!")
            try expectEqual(t["a"].read(), "hello world!")
            try expectEqual(appending.seek(0, SEEK_CUR), 12)
        },
        // pwrite(2), BUGS: on Linux data is appended whatever the offset.
        PosixCase("open/append-and-pwrite") { t in
            try t["a"].create("hello")
            let file = try t["a"].open(O_WRONLY | O_APPEND)
            try file.pwrite("X", at: 0)
            try expectEqual(t["a"].read(), "helloX")
            try expectEqual(file.seek(0, SEEK_CUR), 0)
        },
        PosixCase("open/append-set-later") { t in
            let file = try t["a"].create("hello")
            try file.seek(0)
            try file.setStatusFlags(O_APPEND)
            try file.write("X")
            try file.setStatusFlags(0)
            try file.pwrite("Y", at: 0)
            try expectEqual(t["a"].read(), "YelloX")
        },
        PosixCase("open/access-modes") { t in
            try t["a"].create("hello")
            try expectError(.badFileDescriptor, t["a"].open(O_RDONLY).write("x"))
            try expectError(.badFileDescriptor, t["a"].open(O_WRONLY).read(1))
            try expectError(
                .invalidArgument,
                t["a"].open(O_RDONLY).truncate(0))
        },
        PosixCase("open/missing-names") { t in
            try expectError(.noSuchFileOrDirectory, t["a"].open(O_RDONLY))
            try expectError(.noSuchFileOrDirectory, t["d/a"].open(O_CREAT | O_WRONLY))
            try expectError(.noSuchFileOrDirectory, PosixPath("").open(O_RDONLY))
        },
        PosixCase("open/a-file-as-a-folder") { t in
            try t["a"].create()
            try expectError(.notDirectory, t["a/b"].open(O_RDONLY))
            try expectError(.notDirectory, t["a/b"].open(O_CREAT | O_WRONLY))
            try expectError(.notDirectory, t["a/"].open(O_RDONLY))
            try expectError(.notDirectory, t["a/."].status())
        },
        PosixCase("open/creation-with-a-trailing-slash") { t in
            try expectError(.isDirectory, t["new/"].open(O_CREAT | O_WRONLY))
            try t["d/"].mkdir()
            try expectEqual(t["d"].status().type, S_IFDIR)
        },
        PosixCase("open/path-only") { t in
            try t["a"].create("hello", 0o000)
            let file = try t["a"].open(CPS_O_PATH)
            try expectEqual(file.status().size, 5)
            try expectError(.badFileDescriptor, file.read(1))
        },
        PosixCase("open/relative-to-a-folder") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY | O_DIRECTORY)
            try t["d"].rename(to: t["e"])
            try PosixPath("a").open(O_CREAT | O_WRONLY, at: folder).write("x")
            try expectEqual(t["e/a"].read(), "x")
        },
        // A folder that was removed takes no new names: fs/namei.c, may_create().
        PosixCase("open/in-a-removed-folder") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY | O_DIRECTORY)
            try t["d"].rmdir()
            try expectError(
                .noSuchFileOrDirectory, PosixPath("a").open(O_CREAT | O_WRONLY, at: folder))
            try expectEqual(folder.status().links, 0)
        },
        PosixCase("open/permissions-of-the-parent", needsRoot: true) { t in
            try t["d"].mkdir(0o755)
            try t["closed"].mkdir(0o700)
            try t["closed/a"].create("", 0o666)
            try asUser(1001) {
                try expectError(.permissionDenied, t["d/a"].open(O_CREAT | O_WRONLY))
                try expectError(.permissionDenied, t["closed/a"].open(O_RDONLY))
                try expectError(.permissionDenied, t["closed/missing"].status())
            }
        },
        PosixCase("open/no-access-time", needsRoot: true) { t in
            try t["a"].create("hello", 0o666)
            try t["a"].open(O_RDONLY | CPS_O_NOATIME).close()
            try asUser(1001) {
                try expectError(.notPermitted, t["a"].open(O_RDONLY | CPS_O_NOATIME))
            }
        },
        PosixCase("open/new-file-belongs-to-the-caller", needsRoot: true) { t in
            try t.root.chmod(0o777)
            try asUser(1001, gid: 1002) {
                try t["a"].create()
                try t["d"].mkdir()
                try t["l"].symlink("a")
                try t["p"].mknod(S_IFIFO | 0o644)
            }
            for name in ["a", "d", "l", "p"] {
                try expectEqual(t[name].status().uid, 1001, name)
                try expectEqual(t[name].status().gid, 1002, name)
            }
        },
    ]
}
