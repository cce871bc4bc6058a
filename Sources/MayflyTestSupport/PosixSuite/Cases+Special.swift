import CMayflyTestSupport
import Glibc
import SystemPackage

/// Pipes, sockets and devices.
extension PosixSuite {
    static let special: [PosixCase] = [
        PosixCase("special/pipe") { t in
            try t["p"].mknod(S_IFIFO | 0o640)
            try expectEqual(t["p"].status().mode, S_IFIFO | 0o640)
            try expectEqual(t["p"].status().size, 0)
            try expectError(
                .noSuchAddressOrDevice, t["p"].open(O_WRONLY | O_NONBLOCK))
            let reader = try t["p"].open(O_RDONLY | O_NONBLOCK)
            let writer = try t["p"].open(O_WRONLY | O_NONBLOCK)
            try writer.write("through")
            try expectEqual(reader.readText(20), "through")
            try expectError(.resourceTemporarilyUnavailable, reader.read(1))
            try writer.close()
            try expectEqual(reader.read(1), [])
        },
        // FUSE has a poll operation for every file (Docs/Deviations.md).
        PosixCase("special/epoll-of-a-file") { t in
            let file = try t["a"].create()
            if t.kind.isMayfly {
                try answer(cps_epoll_takes(file.fd), "epoll_ctl")
            } else {
                try expectError(.notPermitted, answer(cps_epoll_takes(file.fd), "epoll_ctl"))
            }
        },
        PosixCase("special/pipe-between-threads") { t in
            try t["p"].mknod(S_IFIFO | 0o644)
            let writer = PosixThread { try t["p"].open(O_WRONLY).write("hello") }
            let reader = try t["p"].open(O_RDONLY)
            try expectEqual(reader.readText(5), "hello")
            try writer.join()
        },
        PosixCase("special/pipe-without-a-name") { t in
            try t["p"].mknod(S_IFIFO | 0o644)
            let both = try t["p"].open(O_RDWR)
            try t["p"].unlink()
            try both.write("x")
            try expectEqual(both.readText(1), "x")
            try expectEqual(both.status().links, 0)
        },
        PosixCase("special/socket") { t in
            let server = try t["s"].bindSocket()
            try expectEqual(t["s"].status().type, S_IFSOCK)
            try expectError(.noSuchAddressOrDevice, t["s"].open(O_RDONLY))
            let client = try t["s"].connectSocket()
            try client.close()
            try expectError(.addressInUse, t["s"].bindSocket())
            try server.close()
            try expectError(.connectionRefused, t["s"].connectSocket())
            try t["s"].unlink()
            try expectError(.noSuchFileOrDirectory, t["s"].connectSocket())
        },
        PosixCase("special/socket-by-mknod") { t in
            try t["s"].mknod(S_IFSOCK | 0o600)
            try expectEqual(t["s"].status().mode, S_IFSOCK | 0o600)
        },
        PosixCase("special/regular-file-by-mknod") { t in
            try t["a"].mknod(S_IFREG | 0o640)
            try t["a"].open(O_WRONLY).write("x")
            try expectEqual(t["a"].read(), "x")
            try t["b"].mknod(0o600)
            try expectEqual(t["b"].status().mode, S_IFREG | 0o600)
        },
        // mknod(2): EPERM for a directory, EINVAL for what is no type.
        PosixCase("special/mknod-of-wrong-types") { t in
            try expectError(.notPermitted, t["d"].mknod(S_IFDIR | 0o755))
            try expectError(.invalidArgument, t["l"].mknod(S_IFLNK | 0o777))
            try expectError(.invalidArgument, t["x"].mknod(0o170000))
        },
        PosixCase("special/devices", needsRoot: true) { t in
            try t["null"].mknod(S_IFCHR | 0o666, major: 1, minor: 3)
            try t["disk"].mknod(S_IFBLK | 0o600, major: 259, minor: 70000)
            let (null, disk) = (try t["null"].status(), try t["disk"].status())
            try expectEqual([null.deviceMajor, null.deviceMinor], [1, 3])
            try expectEqual(null.type, S_IFCHR)
            try expectEqual([disk.deviceMajor, disk.deviceMinor], [259, 70000])
            try expectEqual(disk.type, S_IFBLK)
        },
        PosixCase("special/whiteout", needsRoot: true) { t in
            try t["w"].mknod(S_IFCHR)
            try expectEqual(t["w"].status().mode, S_IFCHR)
            try expectEqual([t["w"].status().deviceMajor, t["w"].status().deviceMinor], [0, 0])
            try expectEqual(t.root.entries().first { !$0.isDot }?.type, UInt8(DT_CHR))
        },
        PosixCase("special/devices-need-root", needsRoot: true) { t in
            try t.root.chmod(0o777)
            try asUser(1001) {
                try expectError(
                    .notPermitted, t["null"].mknod(S_IFCHR | 0o666, major: 1, minor: 3))
                try t["w"].mknod(S_IFCHR)  // mknod(2), since Linux 5.8: a whiteout needs nothing.
                try t["p"].mknod(S_IFIFO | 0o600)
            }
        },
        PosixCase("special/size-of-a-device-stays-0", needsRoot: true) { t in
            try t["null"].mknod(S_IFCHR | 0o666, major: 1, minor: 3)
            try expectError(.invalidArgument, t["null"].truncate(5))
            try expectEqual(t["null"].status().size, 0)
        },
        PosixCase("special/umask") { t in
            try withUmask(0o077) { try t["p"].mknod(S_IFIFO | 0o666) }
            try expectEqual(t["p"].status().permissions, 0o600)
        },
    ]

    /// Files that have no name.
    static let nameless: [PosixCase] = [
        PosixCase("nameless/unlinked-file-lives") { t in
            let file = try t["a"].create("before")
            try t["a"].unlink()
            try expectEqual(file.status().links, 0)
            try expectEqual(file.pread(6, at: 0), Array("before".utf8))
            try file.pwrite("after!", at: 0)
            try file.truncate(5)
            try expectEqual(file.pread(9, at: 0), Array("after".utf8))
            try file.chmod(0o600)
            try expectEqual(file.status().permissions, 0o600)
            try t["a"].create("other")
            try expectEqual(file.pread(9, at: 0), Array("after".utf8))
        },
        PosixCase("nameless/unlinked-file-is-not-linkable") { t in
            let file = try t["a"].create("x")
            try t["a"].unlink()
            try expectError(.noSuchFileOrDirectory, file.link(to: t["b"]))
        },
        PosixCase("nameless/reopened-through-proc") { t in
            let file = try t["a"].create("x")
            try t["a"].unlink()
            try file.procPath.open(O_WRONLY | O_APPEND).write("y")
            try expectEqual(file.pread(5, at: 0), Array("xy".utf8))
            try expectEqual(file.procPath.status(follow: true).links, 0)
        },
        PosixCase("nameless/replaced-by-rename") { t in
            let old = try t["a"].create("old")
            try t["b"].create("new")
            try t["b"].rename(to: t["a"])
            try expectEqual(old.status().links, 0)
            try expectEqual(old.pread(5, at: 0), Array("old".utf8))
            try expectEqual(t["a"].read(), "new")
        },
        PosixCase("nameless/unlinked-attributes") { t in
            let file = try t["a"].create()
            try t["a"].unlink()
            try file.setAttribute("user.x", [1, 2])
            try expectEqual(file.attribute("user.x"), [1, 2])
        },
        PosixCase("nameless/temporary-file") { t in
            let file = try t.root.open(CPS_O_TMPFILE | O_RDWR, 0o640)
            try expectEqual(file.status().links, 0)
            try expectEqual(file.status().mode, S_IFREG | 0o640)
            try expectEqual(t.root.names(), [])
            try expectEqual(t.root.status().size, 40)
            try file.write("text")
            try file.link(to: t["a"])
            try expectEqual(t["a"].read(), "text")
            try expectEqual(file.status().links, 1)
            try expectEqual(t["a"].status().inode, file.status().inode)
        },
        PosixCase("nameless/temporary-file-by-empty-path", needsRoot: true) { t in
            let file = try t.root.open(CPS_O_TMPFILE | O_WRONLY)
            try file.linkEmptyPath(to: t["a"])
            try expectTrue(t["a"].exists)
        },
        // open(2): O_EXCL with O_TMPFILE forbids a later name.
        PosixCase("nameless/exclusive-temporary-file") { t in
            let file = try t.root.open(CPS_O_TMPFILE | O_EXCL | O_RDWR)
            try expectError(.noSuchFileOrDirectory, file.link(to: t["a"]))
        },
        PosixCase("nameless/temporary-file-linked-twice") { t in
            let file = try t.root.open(CPS_O_TMPFILE | O_RDWR)
            try file.link(to: t["a"])
            try t["a"].link(to: t["b"])
            try expectEqual(file.status().links, 2)
            try t["a"].unlink()
            try t["b"].unlink()
            try expectError(.noSuchFileOrDirectory, file.link(to: t["c"]))
        },
        PosixCase("nameless/temporary-file-over-a-name") { t in
            try t["a"].create("old")
            let file = try t.root.open(CPS_O_TMPFILE | O_RDWR)
            try expectError(.fileExists, file.link(to: t["a"]))
        },
        PosixCase("nameless/temporary-file-flags") { t in
            try t["a"].create()
            try expectError(.invalidArgument, t.root.open(CPS_O_TMPFILE | O_RDONLY))
            try expectError(.notDirectory, t["a"].open(CPS_O_TMPFILE | O_RDWR))
            try expectError(.noSuchFileOrDirectory, t["d"].open(CPS_O_TMPFILE | O_RDWR))
        },
        PosixCase("nameless/temporary-file-needs-write-permission", needsRoot: true) { t in
            try asUser(1001) {
                try expectError(.permissionDenied, t.root.open(CPS_O_TMPFILE | O_RDWR))
            }
        },
    ]
}
