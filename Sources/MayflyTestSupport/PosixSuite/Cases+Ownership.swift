import CMayflyTestSupport
import Glibc
import SystemPackage

/// chmod(2), chown(2), access(2) and the set-id bits.
extension PosixSuite {
    static let ownership: [PosixCase] = [
        PosixCase("chmod/every-bit", needsRoot: true) { t in
            try t["a"].create()
            try t["d"].mkdir()
            for mode in [0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o644] as [UInt32] {
                try t["a"].chmod(mode)
                try t["d"].chmod(mode)
                try expectEqual(t["a"].status().mode, S_IFREG | mode)
                try expectEqual(t["d"].status().mode, S_IFDIR | mode)
            }
        },
        PosixCase("chmod/change-time") { t in
            let file = try t["a"].create()
            let before = try file.status()
            waitForClockTick()
            try t["a"].chmod(0o600)
            try expectTrue(try file.status().change > before.change)
            try expectEqual(file.status().modification, before.modification)
        },
        PosixCase("chmod/only-by-the-owner", needsRoot: true) { t in
            try t["a"].create("", 0o666)
            try t["b"].create("", 0o400)
            try t["b"].chown(1001, 1001)
            try asUser(1001) {
                try expectError(.notPermitted, t["a"].chmod(0o600))
                try t["b"].chmod(0o600)
            }
        },
        // fs/attr.c, setattr_prepare(): set-gid stays only for members of the group.
        PosixCase("chmod/set-gid-by-a-non-member", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 2001)
            try asUser(1001) { try t["a"].chmod(0o2755) }
            try expectEqual(t["a"].status().permissions, 0o755)
            try asUser(1001, groups: [2001]) { try t["a"].chmod(0o2755) }
            try expectEqual(t["a"].status().permissions, 0o2755)
        },
        PosixCase("chmod/does-not-affect-open-files", needsRoot: true) { t in
            try t["a"].create("text", 0o666)
            let path = t["a"]
            let file = try path.open(O_RDWR)
            try path.chmod(0)
            try asUser(1001) {
                try expectError(.permissionDenied, path.open(O_RDONLY))
                try expectEqual(file.readText(4), "text")
                try file.write("!")
            }
        },
        PosixCase("chown/by-root", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 2001)
            try expectEqual([t["a"].status().uid, t["a"].status().gid], [1001, 2001])
            try t["a"].chown(nil, 2002)
            try expectEqual([t["a"].status().uid, t["a"].status().gid], [1001, 2002])
            try t["a"].chown(1003, nil)
            try expectEqual([t["a"].status().uid, t["a"].status().gid], [1003, 2002])
            try t["a"].chown(UInt32.max - 1, UInt32.max - 1)
            try expectEqual(t["a"].status().uid, UInt32.max - 1)
        },
        PosixCase("chown/by-the-owner", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 1001)
            try asUser(1001, groups: [2001]) {
                try expectError(.notPermitted, t["a"].chown(1002, nil))
                try expectError(.notPermitted, t["a"].chown(nil, 2002))
                try t["a"].chown(1001, 2001)
            }
            try expectEqual(t["a"].status().gid, 2001)
            try asUser(1002, groups: [2001]) {
                try expectError(.notPermitted, t["a"].chown(nil, 2001))
            }
        },
        // chown(2): also root's call clears the bits, but set-gid without group-execute stays.
        PosixCase("chown/clears-set-id", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chmod(0o6755)
            try t["a"].chown(1001, 1001)
            try expectEqual(t["a"].status().permissions, 0o755)
            try t["a"].chmod(0o6745)
            try t["a"].chown(1002, 1002)
            try expectEqual(t["a"].status().permissions, 0o2745)
            try t["d"].mkdir()
            try t["d"].chmod(0o6755)
            try t["d"].chown(1001, 1001)
            try expectEqual(t["d"].status().permissions, 0o6755)
        },
        PosixCase("chown/clears-set-id-for-the-owner", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 1001)
            try t["a"].chmod(0o6755)
            try asUser(1001, groups: [2001]) { try t["a"].chown(nil, 2001) }
            try expectEqual(t["a"].status().permissions, 0o755)
        },
        PosixCase("chown/change-time", needsRoot: true) { t in
            try t["a"].create()
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].chown(1001, 1001)
            try expectTrue(try t["a"].status().change > before.change)
        },
        PosixCase("chown/of-the-same-identity", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chmod(0o6755)
            try t["a"].chown(nil, nil)
            try expectEqual(t["a"].status().permissions, 0o755)
        },
        // fs/attr.c, file_remove_privs(): a write by the unprivileged clears the bits.
        PosixCase("set-id/cleared-by-write", needsRoot: true) { t in
            try t["a"].create("text")
            try t["a"].chmod(0o6777)
            try asUser(1001) { try t["a"].open(O_WRONLY).write("x") }
            try expectEqual(t["a"].status().permissions, 0o777)
        },
        PosixCase("set-id/kept-by-root's-write", needsRoot: true) { t in
            try t["a"].create("text")
            try t["a"].chmod(0o6777)
            try t["a"].open(O_WRONLY).write("x")
            try expectEqual(t["a"].status().permissions, 0o6777)
        },
        PosixCase("set-id/cleared-by-truncate", needsRoot: true) { t in
            for name in ["a", "b", "c"] {
                try t[name].create("text")
                try t[name].chmod(0o6777)
            }
            try asUser(1001) {
                try t["a"].truncate(2)
                try t["b"].open(O_WRONLY | O_TRUNC).close()
                try t["c"].open(O_WRONLY).truncate(1)
            }
            for name in ["a", "b", "c"] {
                try expectEqual(t[name].status().permissions, 0o777, name)
            }
        },
        PosixCase("set-id/cleared-by-fallocate-and-copy", needsRoot: true) { t in
            try t["from"].create("text", 0o644)
            for name in ["a", "b", "c"] {
                try t[name].create("text")
                try t[name].chmod(0o6777)
            }
            try asUser(1001) {
                try t["a"].open(O_RDWR).allocate(0, 0, 9000)
                try t["b"].open(O_RDWR).punch(0, 4096)
                let target = try t["c"].open(O_RDWR)
                _ = try t["from"].open(O_RDONLY).copyRange(at: 0, to: target, at: 0, 4)
            }
            for name in ["a", "b", "c"] {
                try expectEqual(t[name].status().permissions, 0o777, name)
            }
        },
        PosixCase("set-id/set-gid-without-execute-stays-on-write", needsRoot: true) { t in
            try t["a"].create("text")
            try t["a"].chmod(0o2767)
            try t["a"].chown(nil, 1001)
            try t["a"].chmod(0o2766)
            try asUser(1001, gid: 1001) { try t["a"].open(O_WRONLY).write("x") }
            try expectEqual(t["a"].status().permissions, 0o2766)
        },
        // fs/attr.c, setattr_should_drop_sgid(): a stranger to the group takes it even so.
        PosixCase("set-id/set-gid-without-execute-goes-with-a-stranger", needsRoot: true) { t in
            for name in ["a", "b", "c", "d"] {
                try t[name].create("text")
                try t[name].chown(nil, 1002)
                try t[name].chmod(0o6666)
            }
            try asUser(1001, gid: 1001) {
                try t["a"].open(O_WRONLY).write("x")
                try t["b"].open(O_RDWR).allocate(0, 0, 9000)
                try t["c"].truncate(2)
            }
            try asUser(1001, gid: 1001, groups: [7, 1002]) { try t["d"].open(O_WRONLY).write("x") }
            for name in ["a", "b", "c"] {
                try expectEqual(t[name].status().permissions, 0o666, name)
            }
            try expectEqual(t["d"].status().permissions, 0o2666)
        },
        // The kernel's copy of the mode must follow (xfstests generic/355).
        PosixCase("set-id/cleared-by-a-direct-write", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 1001)
            try t["a"].chmod(0o6777)
            try asUser(1001) {
                let file = try t["a"].open(O_WRONLY | CPS_O_DIRECT)
                _ = try file.pwriteAligned([UInt8](repeating: 1, count: 8192), at: 0)
            }
            try expectEqual(t["a"].status().permissions, 0o777)
        },
        PosixCase("set-id/capability-removed-by-write", needsRoot: true) { t in
            // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted.
            let capability: [UInt8] =
                [1, 0, 0, 2] + [0, 0x20, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0]
            for name in ["a", "b", "c"] {
                try t[name].create("text")
                try t[name].setAttribute("security.capability", capability)
                try expectEqual(t[name].attribute("security.capability"), capability)
            }
            try t["a"].open(O_WRONLY).write("x")
            try t["b"].truncate(0)
            try t["c"].chown(1001, 1001)
            for name in ["a", "b", "c"] {
                try expectError(.noData, t[name].attribute("security.capability"), name)
            }
        },
        // Nothing asks who stores into a mapping.
        PosixCase("set-id/mode-and-capability-outlive-a-mapped-store", needsRoot: true) { t in
            let capability: [UInt8] =
                [1, 0, 0, 2] + [0, 0x20, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0]
            let file = try t["a"].create("text", 0o666)
            try t["a"].chmod(0o6777)
            try t["a"].setAttribute("security.capability", capability)
            try asUser(1001) {
                let map = try PosixMapping(try t["a"].open(), 4096)
                map[0] = 1
                try map.synchronize()
            }
            try expectEqual(t["a"].attribute("security.capability"), capability)
            try expectEqual(t["a"].status().permissions, 0o6777)
            try asUser(1001) { try t["a"].open(O_WRONLY).write("x") }
            try expectError(.noData, t["a"].attribute("security.capability"))
            try expectEqual(file.status().permissions, 0o777)
        },
        // chown_common() spares folders.
        PosixCase("set-id/capability-of-a-folder-outlives-chown", needsRoot: true) { t in
            let capability: [UInt8] =
                [1, 0, 0, 2] + [0, 0x20, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0]
            try t["d"].mkdir()
            try t["p"].mknod(S_IFIFO | 0o644)
            for name in ["d", "p"] {
                try t[name].setAttribute("security.capability", capability)
                try t[name].chown(1001, 1001)
            }
            try expectEqual(t["d"].attribute("security.capability"), capability)
            try expectError(.noData, t["p"].attribute("security.capability"))
        },
        PosixCase("set-gid-folder/group-is-inherited", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d"].chown(0, 2001)
            try t["d"].chmod(0o2777)
            try asUser(1001) {
                try t["d/a"].create()
                try t["d/e"].mkdir()
                try t["d/p"].mknod(S_IFIFO | 0o644)
                try t["d/l"].symlink("a")
                try t["d/e/b"].create()
                try t["d"].open(CPS_O_TMPFILE | O_RDWR).link(to: t["d/t"])
            }
            for name in ["a", "e", "p", "l", "e/b", "t"] {
                try expectEqual(t["d/" + name].status().gid, 2001, name)
                try expectEqual(t["d/" + name].status().uid, 1001, name)
            }
            try expectEqual(t["d/e"].status().permissions, 0o2755)
            try expectEqual(t["d/a"].status().permissions, 0o644)
        },
        // fs/inode.c, mode_strip_sgid(): a non-member makes no set-gid program there.
        PosixCase("set-gid-folder/non-member-loses-the-bit", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d"].chown(0, 2001)
            try t["d"].chmod(0o2777)
            try asUser(1001) { try t["d/a"].open(O_CREAT | O_WRONLY, 0o2755).close() }
            try expectEqual(t["d/a"].status().permissions, 0o755)
            try asUser(1001, groups: [2001]) {
                try t["d/b"].open(O_CREAT | O_WRONLY, 0o2755).close()
            }
            try expectEqual(t["d/b"].status().permissions, 0o2755)
        },
        PosixCase("access/real-identity", needsRoot: true) { t in
            try t["a"].create("", 0o640)
            try t["a"].chown(1001, 2001)
            try t["x"].create("", 0o711)
            try t["a"].access(R_OK | W_OK)
            try expectError(.permissionDenied, t["a"].access(X_OK))
            try t["x"].access(X_OK)
            try asUser(1001) {
                try t["a"].access(R_OK | W_OK)
                try expectError(.permissionDenied, t["a"].access(X_OK))
            }
            try asUser(1002, groups: [2001]) {
                try t["a"].access(R_OK)
                try expectError(.permissionDenied, t["a"].access(W_OK))
            }
            try asUser(1003) {
                try t["a"].access(F_OK)
                try expectError(.permissionDenied, t["a"].access(R_OK))
                try expectError(.noSuchFileOrDirectory, t["none"].access(F_OK))
                try t["x"].access(X_OK)
            }
        },
        // The owner's bits count for the owner even where the group's give more.
        PosixCase("access/first-match-decides", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chmod(0o077)
            try t["a"].chown(1001, 2001)
            try t["b"].create("", 0o707)
            try t["b"].chown(1002, 2001)
            try asUser(1001, groups: [2001]) {
                try expectError(.permissionDenied, t["a"].open(O_RDONLY))
                try expectError(.permissionDenied, t["b"].open(O_RDONLY))
            }
            try asUser(1003) { try t["a"].open(O_RDWR).close() }
        },
        PosixCase("access/many-groups", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chmod(0o060)
            try t["a"].chown(nil, 3099)
            try asUser(1001, groups: Array(3000..<3100)) { try t["a"].open(O_RDWR).close() }
            try asUser(1001, groups: Array(3000..<3099)) {
                try expectError(.permissionDenied, t["a"].open(O_RDWR))
            }
        },
    ]
}
