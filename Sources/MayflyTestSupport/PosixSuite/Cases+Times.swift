import CMayflyTestSupport
import Glibc
import SystemPackage

/// Time stamps: utimensat(2), and what moves them.
extension PosixSuite {
    static let times: [PosixCase] = [
        PosixCase("times/explicit") { t in
            try t["a"].create()
            try t["a"].setTimes(
                access: PosixTime(1_000_000_000, 123_456_789),
                modification: PosixTime(1_111_111_111, 987_654_321))
            let status = try t["a"].status()
            try expectEqual(status.access, PosixTime(1_000_000_000, 123_456_789))
            try expectEqual(status.modification, PosixTime(1_111_111_111, 987_654_321))
        },
        PosixCase("times/now-and-omit") { t in
            try t["a"].create()
            let old = PosixTime(5, 5)
            try t["a"].setTimes(access: old, modification: old)
            try t["a"].setTimes(access: .now, modification: .omit)
            try expectTrue(try t["a"].status().access.seconds > 1_000_000_000)
            try expectEqual(t["a"].status().modification, old)
            try t["a"].setTimes(access: old, modification: .now)
            try expectEqual(t["a"].status().access, old)
            try expectTrue(try t["a"].status().modification.seconds > 1_000_000_000)
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].setTimes(access: .omit, modification: .omit)
            try expectEqual(t["a"].status().change, before.change)
        },
        PosixCase("times/setting-changes-the-change-time") { t in
            try t["a"].create()
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].setTimes(access: PosixTime(1), modification: .omit)
            try expectTrue(try t["a"].status().change > before.change)
            try expectEqual(t["a"].status().modification, before.modification)
        },
        PosixCase("times/invalid-nanoseconds") { t in
            try t["a"].create()
            for wrong in [1_000_000_000, -1] as [Int64] {
                try expectError(
                    .invalidArgument,
                    t["a"].setTimes(access: PosixTime(1, wrong), modification: .omit))
            }
        },
        // Of tmpfs, s_time_min and s_time_max are those of 64 bits; nothing is cut.
        PosixCase("times/far-past-and-future") { t in
            try t["a"].create()
            for seconds in [0, -1, -2_147_483_649, 4_294_967_296, 1 << 40, -(1 << 40)] as [Int64] {
                let time = PosixTime(seconds, 999_999_999)
                try t["a"].setTimes(access: time, modification: time)
                try expectEqual(t["a"].status().access, time)
                try expectEqual(t["a"].status().modification, time)
            }
        },
        PosixCase("times/of-a-folder-and-a-pipe") { t in
            try t["d"].mkdir()
            try t["p"].mknod(S_IFIFO | 0o644)
            for name in ["d", "p"] {
                try t[name].setTimes(access: PosixTime(7, 8), modification: PosixTime(9, 10))
                try expectEqual(t[name].status().access, PosixTime(7, 8))
                try expectEqual(t[name].status().modification, PosixTime(9, 10))
            }
        },
        // utime(2), ERRORS: explicit times are the owner's, now is also a writer's.
        PosixCase("times/permissions", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chmod(0o666)
            try t["b"].create("", 0o644)
            try asUser(1001) {
                try t["a"].setTimesToNow()
                try t["a"].setTimes(access: .now, modification: .now)
                try expectError(
                    .notPermitted, t["a"].setTimes(access: PosixTime(1), modification: .now))
                try expectError(
                    .notPermitted, t["a"].setTimes(access: .now, modification: .omit))
                try expectError(.permissionDenied, t["b"].setTimesToNow())
                try expectError(
                    .notPermitted,
                    t["b"].setTimes(access: PosixTime(1), modification: PosixTime(1)))
            }
            try t["b"].chown(1001, nil)
            try t["b"].chmod(0o400)
            try asUser(1001) {
                try t["b"].setTimes(access: PosixTime(1), modification: PosixTime(2))
            }
            try expectEqual(t["b"].status().modification, PosixTime(2))
        },
        PosixCase("times/all-equal-at-birth") { t in
            try t["a"].create()
            let status = try t["a"].status()
            try expectEqual(status.access, status.modification)
            try expectEqual(status.modification, status.change)
            if let birth = status.birth { try expectEqual(birth, status.change) }
        },
        PosixCase("times/birth-stays") { t in
            try t["a"].create()
            let birth = try t["a"].status().birth
            try expectTrue(birth != nil, "statx(2) gives no birth time")
            waitForClockTick()
            try t["a"].open(O_WRONLY).write("x")
            try t["a"].chmod(0o600)
            try t["a"].setTimes(access: PosixTime(1), modification: PosixTime(1))
            try t["a"].rename(to: t["b"])
            try expectEqual(t["b"].status().birth, birth)
        },
        PosixCase("times/creation-changes-the-folder") { t in
            try t["d"].mkdir()
            try t["x"].create()
            let makers: [(String, @Sendable (PosixPath) throws -> Void)] = [
                ("create", { try $0.create() }),
                ("mkdir", { try $0.mkdir() }),
                ("symlink", { try $0.symlink("x") }),
                ("mknod", { try $0.mknod(S_IFIFO | 0o644) }),
                ("link", { try t["x"].link(to: $0) }),
            ]
            for (name, make) in makers {
                let before = try t["d"].status()
                waitForClockTick()
                try make(t["d"] / name)
                let after = try t["d"].status()
                try expectTrue(after.modification > before.modification, name)
                try expectTrue(after.change > before.change, name)
                try expectEqual(after.modification, after.change, name)
            }
        },
        PosixCase("times/removal-changes-the-folder-and-the-victim") { t in
            try t["d"].mkdir()
            let file = try t["d/a"].create()
            try t["d/e"].mkdir()
            let before = (try t["d"].status(), try file.status())
            waitForClockTick()
            try t["d/a"].unlink()
            let after = try t["d"].status()
            try expectTrue(after.modification > before.0.modification)
            try expectTrue(after.change > before.0.change)
            try expectTrue(try file.status().change > before.1.change)
            waitForClockTick()
            try t["d/e"].rmdir()
            try expectTrue(try t["d"].status().modification > after.modification)
        },
        PosixCase("times/failed-creation-changes-nothing") { t in
            try t["d"].mkdir()
            try t["d/a"].create()
            let before = try t["d"].status()
            waitForClockTick()
            try expectError(.fileExists, t["d/a"].open(O_CREAT | O_EXCL | O_WRONLY))
            try expectError(.fileExists, t["d/a"].mkdir())
            try t["d/a"].open(O_CREAT | O_WRONLY).close()
            try expectEqual(t["d"].status().modification, before.modification)
            try expectEqual(t["d"].status().change, before.change)
        },
        PosixCase("times/write") { t in
            let file = try t["a"].create()
            let before = try file.status()
            waitForClockTick()
            try file.write("x")
            let after = try file.status()
            try expectTrue(after.modification > before.modification)
            try expectTrue(after.change > before.change)
            try expectEqual(after.modification, after.change)
            try expectEqual(after.access, before.access)
            try expectEqual(t["a"].status().modification, after.modification)
        },
        // mount(8), relatime: the access time moves when it is not after the modification time.
        // A FUSE server does not see a read that the page cache answers.
        PosixCase("times/read") { t in
            let file = try t["a"].create("text")
            waitForClockTick()
            let before = try file.status()
            _ = try file.pread(4, at: 0)
            let after = try file.status()
            try expectTrue(after.access > before.access)
            try expectEqual(after.change, before.change)
            try expectEqual(after.modification, before.modification)
            waitForClockTick()
            _ = try file.pread(4, at: 0)
            try expectEqual(file.status().access, after.access, "relatime")
        },
        // A read that the page cache cannot answer, so that a server sees it.
        PosixCase("times/direct-read") { t in
            try t["a"].create().write([UInt8](repeating: 1, count: 4096))
            waitForClockTick()
            let before = try t["a"].status()
            let file = try t["a"].open(O_RDONLY | CPS_O_DIRECT)
            try expectEqual(file.preadAligned(4096, at: 0).count, 4096)
            let after = try t["a"].status()
            try expectTrue(after.access > before.access)
            try expectEqual(after.change, before.change)
        },
        PosixCase("times/read-of-a-folder") { t in
            try t["d"].mkdir()
            try t["d/a"].create()
            waitForClockTick()
            let before = try t["d"].status()
            _ = try t["d"].entries()
            try expectTrue(try t["d"].status().access > before.access)
            try expectEqual(t["d"].status().modification, before.modification)
        },
        PosixCase("times/no-access-time-when-asked") { t in
            try t["a"].create("text")
            let before = try t["a"].status()
            waitForClockTick()
            _ = try t["a"].open(O_RDONLY | CPS_O_NOATIME).read(4)
            try expectEqual(t["a"].status().access, before.access)
        },
        PosixCase("times/explicit-one-survives-close") { t in
            // Times set after a write hold, however late the file system learns of the write.
            let file = try t["a"].create()
            try file.write([UInt8](repeating: 1, count: 100_000))
            try t["a"].setTimes(access: PosixTime(10), modification: PosixTime(20))
            try file.close()
            usleep(50_000)
            try expectEqual(t["a"].status().modification, PosixTime(20))
        },
        PosixCase("times/order-of-events") { t in
            var last = PosixTime(0)
            for index in 0..<5 {
                try t["a\(index)"].create("x")
                let time = try t["a\(index)"].status().modification
                try expectTrue(time > last)
                last = time
                waitForClockTick()
            }
        },
    ]

    /// chattr(1) through `FS_IOC_SETFLAGS`.
    static let flags: [PosixCase] = [
        PosixCase("chattr/set-and-get", needsRoot: true) { t in
            let file = try t["a"].create()
            try expectEqual(file.flags(), 0)
            for flags in [CPS_FS_NODUMP, CPS_FS_APPEND, CPS_FS_IMMUTABLE, 0] {
                try t["a"].open(O_RDONLY).setFlags(flags)
                try expectEqual(file.flags(), flags)
            }
        },
        // mm/shmem.c: the flags a user may change are SHMEM_FL_USER_MODIFIABLE.
        PosixCase("chattr/unsupported-flags", needsRoot: true) { t in
            let file = try t["a"].create()
            try expectError(.notSupported, file.setFlags(CPS_FS_COMPRESSED))
            try expectEqual(file.flags(), 0)
        },
        PosixCase("chattr/on-a-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY)
            try folder.setFlags(CPS_FS_NODUMP)
            try expectEqual(folder.flags(), CPS_FS_NODUMP)
        },
        PosixCase("chattr/immutable", needsRoot: true) { t in
            let file = try t["a"].create("text")
            try t["b"].create()
            try file.setFlags(CPS_FS_IMMUTABLE)
            defer { try? file.setFlags(0) }
            try expectError(.notPermitted, t["a"].unlink())
            try expectError(.notPermitted, t["a"].rename(to: t["c"]))
            try expectError(.notPermitted, t["b"].rename(to: t["a"]))
            try expectError(.notPermitted, t["a"].link(to: t["c"]))
            try expectError(.notPermitted, t["a"].chmod(0o600))
            try expectError(.notPermitted, t["a"].chown(1, 1))
            try expectError(.notPermitted, t["a"].truncate(0))
            try expectError(.notPermitted, t["a"].setTimes(access: .omit, modification: .now))
            try expectError(.notPermitted, t["a"].setAttribute("user.x", [1]))
            try expectEqual(t["a"].read(), "text")
            try file.setFlags(0)
            try t["a"].unlink()
        },
        PosixCase(
            "chattr/immutable-open-for-writing", needsRoot: true, mayflyOptions: "check_open"
        ) { t in
            let file = try t["a"].create("text")
            try file.setFlags(CPS_FS_IMMUTABLE)
            defer { try? file.setFlags(0) }
            try expectError(.notPermitted, t["a"].open(O_WRONLY))
            try expectError(.notPermitted, t["a"].open(O_RDWR))
            try expectError(.notPermitted, t["a"].open(O_WRONLY | O_TRUNC))
            try expectEqual(t["a"].read(), "text")
        },
        // An open descriptor keeps its right to write and to cut, but not to allocate:
        // fs/open.c, vfs_fallocate().
        PosixCase(
            "chattr/immutable-and-an-open-descriptor", needsRoot: true, mayflyOptions: "check_open"
        ) { t in
            let file = try t["a"].create("text")
            try file.setFlags(CPS_FS_IMMUTABLE)
            defer { try? file.setFlags(0) }
            try file.pwrite("T", at: 0)
            try file.truncate(3)
            try expectEqual(t["a"].read(), "Tex")
            try expectError(.notPermitted, file.allocate(0, 0, 9000))
            try expectError(.notPermitted, file.chmod(0o600))
        },
        PosixCase("chattr/immutable-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d/a"].create("text")
            try t["x"].create()
            let folder = try t["d"].open(O_RDONLY)
            try folder.setFlags(CPS_FS_IMMUTABLE)
            defer { try? folder.setFlags(0) }
            try expectError(.notPermitted, t["d/b"].create())
            try expectError(.notPermitted, t["d/e"].mkdir())
            try expectError(.notPermitted, t["d/a"].unlink())
            try expectError(.notPermitted, t["x"].link(to: t["d/x"]))
            try expectError(
                .notPermitted, t["d/a"].rename(to: t["b"]))
            try expectError(.notPermitted, t["d"].rmdir())
            try t["d/a"].open(O_WRONLY | O_APPEND).write("!")
            try expectEqual(t["d/a"].read(), "text!")
        },
        PosixCase("chattr/append-only", needsRoot: true) { t in
            let file = try t["a"].create("text")
            try file.setFlags(CPS_FS_APPEND)
            defer { try? file.setFlags(0) }
            try t["a"].open(O_WRONLY | O_APPEND).write("!")
            try expectError(.notPermitted, t["a"].truncate(0))
            try expectError(.notPermitted, t["a"].unlink())
            try expectError(.notPermitted, t["a"].rename(to: t["b"]))
            try expectError(.notPermitted, t["a"].link(to: t["b"]))
            try expectError(.notPermitted, t["a"].chmod(0o600))
            try expectEqual(t["a"].read(), "text!")
        },
        PosixCase(
            "chattr/append-only-open-without-append", needsRoot: true, mayflyOptions: "check_open"
        ) { t in
            let file = try t["a"].create("text")
            try file.setFlags(CPS_FS_APPEND)
            defer { try? file.setFlags(0) }
            try expectError(.notPermitted, t["a"].open(O_WRONLY))
            try expectError(.notPermitted, t["a"].open(O_RDWR))
            try expectError(.notPermitted, t["a"].open(O_WRONLY | O_APPEND | O_TRUNC))
            try t["a"].open(O_RDONLY).close()
        },
        PosixCase("chattr/append-only-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d/a"].create()
            let folder = try t["d"].open(O_RDONLY)
            try folder.setFlags(CPS_FS_APPEND)
            defer { try? folder.setFlags(0) }
            try t["d/b"].create()
            try t["d/e"].mkdir()
            try expectError(.notPermitted, t["d/a"].unlink())
            try expectError(.notPermitted, t["d/a"].rename(to: t["d/c"]))
        },
        PosixCase("chattr/needs-the-capability", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 1001)
            try t["b"].create()
            try asUser(1001) {
                let file = try t["a"].open(O_RDWR)
                try expectError(.notPermitted, file.setFlags(CPS_FS_IMMUTABLE))
                try expectError(.notPermitted, file.setFlags(CPS_FS_APPEND))
                try file.setFlags(CPS_FS_NODUMP)
                let other = try t["b"].open(O_RDONLY)
                try expectError(
                    .notPermitted, other.setFlags(CPS_FS_NODUMP))
            }
        },
        PosixCase("chattr/change-time", needsRoot: true) { t in
            let file = try t["a"].create()
            let before = try file.status()
            waitForClockTick()
            try file.setFlags(CPS_FS_NODUMP)
            try expectTrue(try file.status().change > before.change)
        },
    ]
}
