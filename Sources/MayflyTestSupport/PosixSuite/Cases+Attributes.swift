import CMayflyTestSupport
import Glibc
import SystemPackage

/// Extended attributes, xattr(7).
extension PosixSuite {
    static let attributes: [PosixCase] = [
        PosixCase("xattr/set-get-list-remove") { t in
            try t["a"].create()
            try t["a"].setAttribute("user.one", [1, 2, 3])
            try t["a"].setAttribute("user.two", [0, 255])
            try expectEqual(t["a"].attribute("user.one"), [1, 2, 3])
            try expectEqual(t["a"].attributeNames(), ["user.one", "user.two"])
            try t["a"].removeAttribute("user.one")
            try expectEqual(t["a"].attributeNames(), ["user.two"])
            try expectError(.noData, t["a"].attribute("user.one"))
            try expectError(.noData, t["a"].removeAttribute("user.one"))
        },
        PosixCase("xattr/none") { t in
            try t["a"].create()
            try expectEqual(t["a"].attributeNames(), [])
            try expectEqual(t["a"].attributeNamesLength(), 0)
            try expectError(.noData, t["a"].attribute("user.x"))
        },
        PosixCase("xattr/create-and-replace") { t in
            try t["a"].create()
            try expectError(.noData, t["a"].setAttribute("user.x", [1], CPS_XATTR_REPLACE))
            try t["a"].setAttribute("user.x", [1], CPS_XATTR_CREATE)
            try expectError(.fileExists, t["a"].setAttribute("user.x", [2], CPS_XATTR_CREATE))
            try t["a"].setAttribute("user.x", [3, 4], CPS_XATTR_REPLACE)
            try expectEqual(t["a"].attribute("user.x"), [3, 4])
            try expectError(.invalidArgument, t["a"].setAttribute("user.x", [1], 4))
        },
        PosixCase("xattr/empty-value") { t in
            try t["a"].create()
            try t["a"].setAttribute("user.empty", [])
            try expectEqual(t["a"].attribute("user.empty"), [])
            try expectEqual(t["a"].attributeNames(), ["user.empty"])
            try expectError(.fileExists, t["a"].setAttribute("user.empty", [], CPS_XATTR_CREATE))
        },
        PosixCase("xattr/lengths-and-short-buffers") { t in
            try t["a"].create()
            try t["a"].setAttribute("user.x", [1, 2, 3, 4])
            try expectEqual(t["a"].attributeLength("user.x"), 4)
            try expectError(.outOfRange, t["a"].attribute("user.x", capacity: 3))
            try expectEqual(t["a"].attribute("user.x", capacity: 4), [1, 2, 3, 4])
            try expectEqual(t["a"].attributeNamesLength(), 7)
            try expectError(.outOfRange, t["a"].attributeNames(capacity: 6))
            try expectEqual(t["a"].attributeNames(capacity: 7), ["user.x"])
        },
        PosixCase("xattr/replacement-of-another-length") { t in
            try t["a"].create()
            for count in [10, 4000, 0, 3, 60_000, 5] {
                let value = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                try t["a"].setAttribute("user.x", value)
                try expectTrue(try t["a"].attribute("user.x") == value, "\(count) bytes")
            }
        },
        // XATTR_SIZE_MAX is 65536: fs/xattr.c, setxattr_copy().
        PosixCase("xattr/64-KiB-value") { t in
            try t["a"].create()
            let value = (0..<65536).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try t["a"].setAttribute("user.big", value)
            try expectTrue(try t["a"].attribute("user.big") == value)
            try expectError(.argListTooLong, t["a"].setAttribute("user.big", value + [0]))
        },
        PosixCase("xattr/255-byte-name") { t in
            try t["a"].create()
            let name = "user." + String(repeating: "n", count: 250)
            try t["a"].setAttribute(name, [1])
            try expectEqual(t["a"].attribute(name), [1])
            try expectEqual(t["a"].attributeNames(), [name])
            try expectError(.outOfRange, t["a"].setAttribute(name + "n", [1]))
            try expectError(.outOfRange, t["a"].setAttribute("", [1]))
        },
        PosixCase("xattr/unknown-name-spaces") { t in
            try t["a"].create()
            try expectError(.notSupported, t["a"].setAttribute("foo.x", [1]))
            try expectError(.notSupported, t["a"].setAttribute("nodot", [1]))
            try expectError(.notSupported, t["a"].attribute("foo.x"))
            try expectError(.notSupported, t["a"].removeAttribute("foo.x"))
            try expectError(.notSupported, t["a"].setAttribute("system.x", [1]))
            try expectError(.invalidArgument, t["a"].setAttribute("user.", [1]))
        },
        PosixCase("xattr/many") { t in
            try t["a"].create()
            let names = (100..<300).map { "user.attribute-\($0)" }
            for name in names { try t["a"].setAttribute(name, Array(name.utf8)) }
            try expectEqual(t["a"].attributeNames(), names)
            for name in names { try expectEqual(t["a"].attribute(name), Array(name.utf8)) }
            for name in names where name.hasSuffix("7") { try t["a"].removeAttribute(name) }
            try expectEqual(t["a"].attributeNames(), names.filter { !$0.hasSuffix("7") })
        },
        // listxattr(2), ERRORS: a list beyond XATTR_LIST_MAX, 64 KiB, cannot be had.
        PosixCase("xattr/list-too-long") { t in
            try t["a"].create()
            for index in 0..<300 {
                let name = "user." + String(repeating: "n", count: 240) + "\(1000 + index)"
                try t["a"].setAttribute(name, [])
            }
            try expectError(.argListTooLong, t["a"].attributeNames())
        },
        PosixCase("xattr/on-a-folder") { t in
            try t["d"].mkdir()
            try t["d"].setAttribute("user.x", [1])
            try expectEqual(t["d"].attribute("user.x"), [1])
        },
        // xattr(7): user attributes belong to regular files and directories alone.
        PosixCase("xattr/user-on-other-kinds", needsRoot: true) { t in
            try t["l"].symlink("a")
            try t["p"].mknod(S_IFIFO | 0o644)
            try t["null"].mknod(S_IFCHR | 0o666, major: 1, minor: 3)
            for name in ["l", "p", "null"] {
                try expectError(.notPermitted, t[name].setAttribute("user.x", [1]), name)
                try expectError(.noData, t[name].attribute("user.x"), name)
            }
        },
        PosixCase("xattr/trusted-on-other-kinds", needsRoot: true) { t in
            try t["l"].symlink("a")
            try t["p"].mknod(S_IFIFO | 0o644)
            for name in ["l", "p"] {
                try t[name].setAttribute("trusted.x", [1])
                try expectEqual(t[name].attribute("trusted.x"), [1], name)
                try expectEqual(t[name].attributeNames(), ["trusted.x"], name)
            }
        },
        PosixCase("xattr/trusted-is-for-root", needsRoot: true) { t in
            try t["a"].create("", 0o666)
            try t["a"].chown(1001, 1001)
            try t["a"].setAttribute("trusted.x", [1])
            try asUser(1001) {
                try expectError(.noData, t["a"].attribute("trusted.x"))
                try expectError(.notPermitted, t["a"].setAttribute("trusted.x", [2]))
                try expectError(.notPermitted, t["a"].removeAttribute("trusted.x"))
                try expectEqual(t["a"].attributeNames(), [])
            }
            try expectEqual(t["a"].attributeNames(), ["trusted.x"])
        },
        PosixCase("xattr/security", needsRoot: true) { t in
            try t["a"].create()
            try t["a"].setAttribute("security.x", [1])
            try expectEqual(t["a"].attribute("security.x"), [1])
            try expectEqual(t["a"].attributeNames(), ["security.x"])
            try t["a"].removeAttribute("security.x")
        },
        PosixCase("xattr/permissions", needsRoot: true) { t in
            try t["a"].create("", 0o644)
            try t["secret"].create("", 0o600)
            try t["a"].setAttribute("user.x", [1])
            try asUser(1001) {
                try expectEqual(t["a"].attribute("user.x"), [1])
                try expectError(.permissionDenied, t["a"].setAttribute("user.x", [2]))
                try expectError(.permissionDenied, t["a"].removeAttribute("user.x"))
                try expectError(.permissionDenied, t["secret"].attribute("user.x"))
            }
        },
        // fs/xattr.c, xattr_permission(): in a sticky directory only the owner writes.
        PosixCase("xattr/on-a-sticky-folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d"].chmod(0o1777)
            try asUser(1001) {
                try expectError(.notPermitted, t["d"].setAttribute("user.x", [1]))
            }
        },
        PosixCase("xattr/times") { t in
            try t["a"].create()
            let before = try t["a"].status()
            waitForClockTick()
            try t["a"].setAttribute("user.x", [1])
            let set = try t["a"].status()
            try expectTrue(set.change > before.change)
            try expectEqual(set.modification, before.modification)
            waitForClockTick()
            try t["a"].removeAttribute("user.x")
            try expectTrue(try t["a"].status().change > set.change)
        },
        PosixCase("xattr/through-a-descriptor-and-a-link") { t in
            let file = try t["a"].create()
            try t["l"].symlink("a")
            try file.setAttribute("user.x", [1])
            try expectEqual(t["l"].attribute("user.x", follow: true), [1])
            try t["l"].setAttribute("user.y", [2], follow: true)
            try expectEqual(file.attribute("user.y"), [2])
            try t["a"].link(to: t["b"])
            try expectEqual(t["b"].attribute("user.x"), [1])
            try t["a"].rename(to: t["c"])
            try expectEqual(t["c"].attribute("user.x"), [1])
        },
        PosixCase("xattr/name-bytes-are-exact") { t in
            try t["a"].create()
            try t["a"].setAttribute("user.X", [1])
            try t["a"].setAttribute("user.x", [2])
            try t["a"].setAttribute("user.ü.…", [3])
            try expectEqual(t["a"].attribute("user.X"), [1])
            try expectEqual(t["a"].attribute("user.ü.…"), [3])
            try expectError(.noData, t["a"].attribute("user.xx"))
        },
        PosixCase("xattr/do-not-pass-to-a-successor") { t in
            try t["a"].create()
            try t["a"].setAttribute("user.x", [1])
            try t["a"].unlink()
            try t["a"].create()
            try expectEqual(t["a"].attributeNames(), [])
        },
    ]
}
