import CMayflyTestSupport
import Glibc
import SystemPackage

/// POSIX access control lists, acl(5).
extension PosixSuite {
    static let accessLists: [PosixCase] = [
        PosixCase("acl/set-and-get") { t in
            try t["a"].create("", 0o600)
            let list = PosixAccessList(0o640, users: [(1001, 6)], groups: [(2001, 4)], mask: 6)
            try t["a"].setAccessList(list)
            try expectEqual(t["a"].accessList(), list)
            try expectEqual(t["a"].attributeNames(), [PosixAccessList.access])
        },
        // acl(5): with a mask, the group bits of the mode show the mask.
        PosixCase("acl/changes-the-mode") { t in
            try t["a"].create("", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o745, users: [(1001, 7)], mask: 3))
            try expectEqual(t["a"].status().permissions, 0o735)
        },
        // A list that says no more than a mode becomes the mode: posix_acl_update_mode().
        PosixCase("acl/minimal-list-is-only-a-mode") { t in
            try t["a"].create("", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o754))
            try expectEqual(t["a"].status().permissions, 0o754)
            try expectError(.noData, t["a"].accessList())
            try expectEqual(t["a"].attributeNames(), [])
        },
        PosixCase("acl/none") { t in
            try t["a"].create()
            try t["d"].mkdir()
            try expectError(.noData, t["a"].accessList())
            try expectError(.noData, t["d"].accessList(PosixAccessList.inherited))
        },
        PosixCase("acl/chmod-changes-the-mask") { t in
            try t["a"].create("", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o660, users: [(1001, 7)], mask: 7))
            try t["a"].chmod(0o741)
            let list = PosixAccessList(0o761, users: [(1001, 7)], mask: 4)
            try expectEqual(t["a"].accessList(), list)
            try expectEqual(t["a"].status().permissions, 0o741)
        },
        PosixCase("acl/removal") { t in
            try t["a"].create("", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o660, users: [(1001, 7)], mask: 6))
            try t["a"].removeAttribute(PosixAccessList.access)
            try expectError(.noData, t["a"].accessList())
            try expectEqual(t["a"].status().permissions, 0o660)
            // Removing what is not there succeeds: set_posix_acl() with no list.
            try t["a"].removeAttribute(PosixAccessList.access)
        },
        PosixCase("acl/empty-value-removes") { t in
            try t["a"].create("", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o660, users: [(1001, 7)], mask: 6))
            try t["a"].setAttribute(PosixAccessList.access, [])
            try expectError(.noData, t["a"].accessList())
        },
        PosixCase("acl/default-only-on-folders") { t in
            try t["a"].create()
            try t["d"].mkdir()
            let list = PosixAccessList(0o750, users: [(1001, 7)], mask: 7)
            try expectError(
                .permissionDenied, t["a"].setAccessList(list, PosixAccessList.inherited))
            try t["d"].setAccessList(list, PosixAccessList.inherited)
            try expectEqual(t["d"].accessList(PosixAccessList.inherited), list)
            try expectEqual(t["d"].attributeNames(), [PosixAccessList.inherited])
            try expectEqual(t["d"].status().permissions, 0o755)
        },
        // acl(5), OBJECT CREATION: the umask is ignored, the mode given to open(2) is applied.
        PosixCase("acl/inherited-by-files") { t in
            try t["d"].mkdir()
            let list = PosixAccessList(0o775, users: [(1001, 7)], groups: [(2001, 5)], mask: 7)
            try t["d"].setAccessList(list, PosixAccessList.inherited)
            try withUmask(0o077) { try t["d/a"].create("", 0o664) }
            try expectEqual(t["d/a"].status().permissions, 0o664)
            let expected = PosixAccessList(
                0o674, users: [(1001, 7)], groups: [(2001, 5)], mask: 6)
            try expectEqual(t["d/a"].accessList(), expected)
            try expectError(.noData, t["d/a"].accessList(PosixAccessList.inherited))
        },
        PosixCase("acl/inherited-by-folders") { t in
            try t["d"].mkdir()
            let list = PosixAccessList(0o775, users: [(1001, 7)], mask: 7)
            try t["d"].setAccessList(list, PosixAccessList.inherited)
            try withUmask(0o077) { try t["d/e"].mkdir(0o750) }
            try expectEqual(t["d/e"].accessList(PosixAccessList.inherited), list)
            try expectEqual(
                t["d/e"].accessList(), PosixAccessList(0o770, users: [(1001, 7)], mask: 5))
            try expectEqual(t["d/e"].status().permissions, 0o750)
            try t["d/e/f"].mkdir(0o777)
            try expectEqual(t["d/e/f"].accessList(PosixAccessList.inherited), list)
        },
        PosixCase("acl/inherited-minimal-list") { t in
            try t["d"].mkdir()
            try t["d"].setAccessList(PosixAccessList(0o751), PosixAccessList.inherited)
            try withUmask(0o077) {
                try t["d/a"].create("", 0o666)
                try t["d/e"].mkdir(0o777)
                try t["d/p"].mknod(S_IFIFO | 0o666)
            }
            try expectEqual(t["d/a"].status().permissions, 0o640)
            try expectEqual(t["d/e"].status().permissions, 0o751)
            try expectEqual(t["d/p"].status().permissions, 0o640)
            try expectError(.noData, t["d/a"].accessList())
            try expectEqual(
                t["d/e"].accessList(PosixAccessList.inherited), PosixAccessList(0o751))
        },
        PosixCase("acl/inherited-by-special-and-temporary-files") { t in
            try t["d"].mkdir()
            let list = PosixAccessList(0o777, users: [(1001, 7)], mask: 7)
            try t["d"].setAccessList(list, PosixAccessList.inherited)
            let expected = PosixAccessList(0o676, users: [(1001, 7)], mask: 6)
            try withUmask(0o077) {
                try t["d/p"].mknod(S_IFIFO | 0o666)
                let file = try t["d"].open(CPS_O_TMPFILE | O_RDWR, 0o666)
                try file.link(to: t["d/t"])
            }
            try expectEqual(t["d/p"].accessList(), expected)
            try expectEqual(t["d/t"].accessList(), expected)
            try t["d/l"].symlink("a")
            try expectEqual(t["d/l"].status().permissions, 0o777)
            try expectEqual(t["d/l"].attributeNames(), [])
        },
        PosixCase("acl/invalid") { t in
            try t["a"].create("", 0o600)
            var unordered = PosixAccessList(0o640, users: [(1001, 6)], mask: 6)
            unordered.entries.reverse()
            var noOwner = PosixAccessList(0o640)
            noOwner.entries.removeFirst()
            let noMask = PosixAccessList(0o640, users: [(1001, 6)])
            let wide = PosixAccessList(0o640, users: [(1001, 8)], mask: 6)
            for list in [unordered, noOwner, noMask, wide] {
                try expectError(.invalidArgument, t["a"].setAccessList(list), "\(list)")
            }
            let good = PosixAccessList(0o640).bytes
            let name = PosixAccessList.access
            try expectError(.invalidArgument, t["a"].setAttribute(name, Array(good.dropLast())))
            try expectError(.invalidArgument, t["a"].setAttribute(name, [2, 0, 0]))
            // posix_acl_from_xattr(): another version is not supported.
            try expectError(.notSupported, t["a"].setAttribute(name, [1] + good.dropFirst()))
            try expectEqual(t["a"].status().permissions, 0o600)
        },
        PosixCase("acl/named-user-is-let-in", needsRoot: true) { t in
            try t["a"].create("text", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o600, users: [(1001, 4)], mask: 4))
            try asUser(1001) {
                try expectEqual(t["a"].read(), "text")
                try expectError(.permissionDenied, t["a"].open(O_WRONLY))
            }
            try asUser(1002) { try expectError(.permissionDenied, t["a"].open(O_RDONLY)) }
        },
        PosixCase("acl/mask-cuts-named-user", needsRoot: true) { t in
            try t["a"].create("text", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o604, users: [(1001, 6)], mask: 4))
            try asUser(1001) {
                try expectEqual(t["a"].read(), "text")
                try expectError(.permissionDenied, t["a"].open(O_RDWR))
            }
        },
        PosixCase("acl/named-user-is-shut-out", needsRoot: true) { t in
            try t["a"].create("text", 0o666)
            try t["a"].setAccessList(PosixAccessList(0o666, users: [(1001, 0)], mask: 7))
            try asUser(1001) { try expectError(.permissionDenied, t["a"].open(O_RDONLY)) }
            try asUser(1002) { try t["a"].open(O_RDWR).close() }
        },
        PosixCase("acl/named-group", needsRoot: true) { t in
            try t["a"].create("text", 0o600)
            try t["a"].setAccessList(PosixAccessList(0o600, groups: [(2001, 4)], mask: 4))
            try asUser(1001, groups: [2001]) { try expectEqual(t["a"].read(), "text") }
            try asUser(1001, groups: [2002]) {
                try expectError(.permissionDenied, t["a"].open(O_RDONLY))
            }
        },
        PosixCase("acl/on-the-way", needsRoot: true) { t in
            try t["d"].mkdir(0o700)
            try t["d/a"].create("text", 0o644)
            try t["d"].setAccessList(PosixAccessList(0o700, users: [(1001, 1)], mask: 1))
            try asUser(1001) { try expectEqual(t["d/a"].read(), "text") }
            try asUser(1002) { try expectError(.permissionDenied, t["d/a"].read()) }
        },
        PosixCase("acl/only-the-owner-sets", needsRoot: true) { t in
            try t["a"].create("", 0o666)
            try t["a"].chown(1002, 1002)
            let list = PosixAccessList(0o666, users: [(1001, 7)], mask: 7)
            try asUser(1001) { try expectError(.notPermitted, t["a"].setAccessList(list)) }
            try asUser(1002) { try t["a"].setAccessList(list) }
        },
        // posix_acl_update_mode(): set-gid goes when the caller is not in the group.
        PosixCase("acl/clears-set-gid", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].chown(1001, 2001)
            try t["a"].chmod(0o2755)
            try asUser(1001) {
                try t["a"].setAccessList(PosixAccessList(0o755, users: [(1002, 5)], mask: 5))
            }
            try expectEqual(t["a"].status().permissions, 0o755)
        },
        // The same with no list: simple_set_acl().
        PosixCase("acl/removal-clears-set-gid", needsRoot: true) { t in
            for (name, hasList) in [("a", true), ("b", false), ("d", true)] {
                if name == "d" { try t["d"].mkdir() } else { try t[name].create() }
                try t[name].chown(1001, 2001)
                if hasList {
                    try t[name].setAccessList(
                        PosixAccessList(0o755, users: [(1002, 5)], mask: 5))
                }
                for groups in [[2001], []] as [[UInt32]] {
                    try t[name].chmod(0o2745)
                    try asUser(1001, groups: groups) {
                        try t[name].removeAttribute(PosixAccessList.access)
                    }
                    try expectEqual(
                        t[name].status().permissions, groups == [] ? 0o745 : 0o2745, name)
                    // Who has CAP_FSETID keeps it.
                    try t[name].chmod(0o2745)
                    try t[name].removeAttribute(PosixAccessList.access)
                    try expectEqual(t[name].status().permissions, 0o2745, name)
                }
            }
        },
        PosixCase("acl/change-time") { t in
            try t["a"].create("", 0o644)
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].setAccessList(PosixAccessList(0o644, users: [(1001, 4)], mask: 4))
            try expectTrue(try t["a"].status().change > before.change)
        },
        PosixCase("acl/symlinks-have-none") { t in
            try t["l"].symlink("a")
            try expectError(.notSupported, t["l"].setAccessList(PosixAccessList(0o777)))
        },
    ]
}
