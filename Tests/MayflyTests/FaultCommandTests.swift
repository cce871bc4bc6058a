import Testing

@testable import Mayfly

/// Faults as users have them: what the command returned from is in force, for everybody.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct FaultCommandTests {
    @Test(arguments: TestTransport.allCases)
    func everyEffect(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults",
            #"""
            write("f", "x" * 10000); os.mkdir(m + "/d")
            assert read("f") == "x" * 10000 and os.stat(m + "/d")
            held = os.open(m + "/f", os.O_RDWR)
            # Cached names, attributes and pages notwithstanding.
            for op, body in [
                ("write", lambda: os.pwrite(held, b"y", 0)), ("read", lambda: os.pread(held, 10, 0)),
                ("fsync", lambda: os.fsync(held)), ("open", lambda: os.open(m + "/f", os.O_RDONLY)),
                ("stat", lambda: os.stat(m + "/d")), ("mkdir", lambda: os.mkdir(m + "/e")),
                ("create", lambda: write("new", "")), ("unlink", lambda: os.unlink(m + "/f")),
                ("rename", lambda: os.rename(m + "/f", m + "/g")), ("list", lambda: os.listdir(m)),
                ("setattr", lambda: os.truncate(m + "/f", 3)), ("statfs", lambda: os.statvfs(m)),
                ("xattr", lambda: os.setxattr(m + "/f", "user.a", b"")),
                ("fsyncdir", lambda: os.fsync(os.open(m + "/d", os.O_RDONLY)))]:
                number = add("--op", op, "--errno", "EDQUOT")
                # A read into the page cache says EIO since Linux 7, whatever the answer was.
                is_new = int(os.uname().release.split(".")[0]) >= 7
                fails(errno.EIO if op == "read" and is_new else errno.EDQUOT, body)
                rule = listed()[0]; assert rule["fired"] >= 1 and rule["number"] == number, (op, rule)
                clear(); assert listed() == []
            assert os.stat(m + "/f").st_size == 10000 and sorted(os.listdir(m)) == ["d", "f"]
            assert read("f") == "x" * 10000, "what failed was done"

            add("--op", "write", "--delay", "150ms"); start = time.monotonic()
            os.pwrite(held, b"x", 0); assert time.monotonic() - start >= 0.15
            clear(); start = time.monotonic(); os.pwrite(held, b"x", 0)

            add("--op", "write", "--short"); assert os.pwrite(held, b"z" * 1000, 0) == 500
            clear(); assert read("f")[:501] == "z" * 500 + "x"
            add("--op", "read", "--path", "f", "--short")
            opened = os.open(m + "/f", os.O_RDONLY)
            assert len(os.pread(opened, 1000, 0)) == 500 == len(os.pread(opened, 1000, 0))
            clear(); assert len(read("f")) == 10000

            add("--op", "write", "--full-at", "12000")
            assert os.pwrite(held, b"w" * 5000, 10000) == 2000
            fails(errno.ENOSPC, lambda: os.pwrite(held, b"w", 12000))
            fails(errno.ENOSPC, lambda: os.posix_fallocate(held, 0, 12001))
            assert os.fstat(held).st_size == 12000
            """#)
    }

    @Test(arguments: TestTransport.allCases)
    func everySelector(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults",
            #"""
            write("f", ""); f = os.open(m + "/f", os.O_WRONLY)
            once = lambda: os.pwrite(f, b"x", 0)
            add("--op", "write", "--errno", "EIO", "--nth", "3")
            assert codes(6, once) == [0, 0, 5, 0, 0, 0]
            record = listed()[0]; assert (record["matched"], record["fired"]) == (6, 1), record
            clear(); add("--op", "write", "--errno", "5", "--every", "2")
            assert codes(6, once) == [0, 5, 0, 5, 0, 5]
            def chosen(seed):
                clear(); add("--op", "write", "--errno", "EIO", "--probability", "0.3", "--seed", seed)
                return codes(200, once)
            first = chosen("1")
            assert first == chosen("1") != chosen("2") and 30 < first.count(5) < 90, first.count(5)
            # Two rules: the first error, and both count; each is cleared by its number.
            clear(); a = add("--op", "write", "--errno", "EIO"); b = add("--errno", "ENXIO", "--op", "write")
            assert codes(1, once) == [5]
            clear(str(a)); assert codes(1, once) == [6]
            refused("there is no fault %d" % a, "fault", "clear", m, str(a))
            clear(str(b)); assert codes(1, once) == [0]
            """#)
    }

    /// Rules follow files through renames, links and new directories.
    @Test(arguments: TestTransport.allCases)
    func pathsFollowNames(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults",
            #"""
            os.makedirs(m + "/db/sub"); write("db/a", "a"); write("b", "b"); write("db/sub/c", "c")
            os.link(m + "/b", m + "/second")
            def hit(path):
                f = os.open(m + "/" + path, os.O_WRONLY)
                try: return codes(1, lambda: os.write(f, b"x")) == [errno.EIO]
                finally: os.close(f)
            add("--op", "write", "--path", "db/*", "--errno", "EIO")
            assert hit("db/a") and not hit("b") and not hit("db/sub/c")
            os.rename(m + "/b", m + "/db/b"); assert hit("db/b") and hit("second"), "by either name"
            os.unlink(m + "/db/b"); assert not hit("second")
            os.link(m + "/second", m + "/db/third"); assert hit("second")
            os.rename(m + "/db/sub", m + "/other"); os.rename(m + "/other/c", m + "/db/c")
            assert hit("db/c"); os.rename(m + "/db", m + "/da"); assert not hit("da/c")
            os.mkdir(m + "/db"); write("db2", ""); os.rename(m + "/db2", m + "/db/n"); assert hit("db/n")
            clear(); add("--op", "write", "--path", "**/*.log", "--errno", "EIO")
            for path in ["x.log", "db/y.log", "db/x.txt"]: open(m + "/" + path, "w").close()
            assert hit("x.log") and hit("db/y.log") and not hit("db/x.txt")
            clear(); add("--op", "create", "--path", "db/new*", "--errno", "EACCES")
            fails(errno.EACCES, lambda: os.mkdir(m + "/db/new1")); os.mkdir(m + "/new1")
            fails(errno.EACCES, lambda: write("db/new", "")); os.rename(m + "/new1", m + "/db/new1")
            clear(); add("--op", "rename", "--path", "db/to", "--errno", "EXDEV")
            fails(errno.EXDEV, lambda: os.rename(m + "/x.log", m + "/db/to")); os.rename(m + "/x.log", m + "/to")
            # After a rollback the names are those of the snapshot.
            run("snapshot", m); os.rename(m + "/db", m + "/gone")
            clear(); add("--op", "write", "--path", "db/*", "--errno", "EIO"); assert not hit("gone/n")
            run("rollback", m); assert hit("db/n")
            """#)
    }

    @Test func whatCannotBeIsRefused() throws {
        try MountedPython.run(
            .best, "",
            #"""
            add_ = lambda text, *words: refused(text, "fault", "add", m, *words)
            add_("mount with --faults", "--op", "fsync", "--errno", "EIO")
            add_("mount with --faults", "--op", "open", "--errno", "EIO")
            add_("mount with --faults", "--op", "read", "--short")
            add_("does nothing", "--op", "write")
            add_("no operation", "--op", "wrote", "--errno", "EIO")
            add_("bad errno", "--errno", "EWHAT"); add_("bad errno", "--errno", "134")
            add_("ENOSYS", "--errno", "ENOSYS"); add_("bad --delay", "--delay", "20")
            add_("too long", "--delay", "61s"); add_("exclude", "--errno", "1", "--nth", "1", "--every", "2")
            add_("from 1", "--errno", "1", "--nth", "0"); add_("bad probability", "--errno", "1", "--probability", "2")
            add_("seed goes", "--errno", "1", "--seed", "2"); add_("only reads", "--op", "mkdir", "--short")
            add_("only writes", "--op", "read", "--full-at", "1k")
            assert listed() == []
            add("--op", "write", "--errno", "EROFS"); write_ = lambda: write("f", "x")
            fails(errno.EROFS, write_); clear(); write_()
            """#)
    }

    /// What a rule asked for is over when it is cleared: a delay that is waited for as well.
    @Test(arguments: TestTransport.allCases)
    func aDelayEndsWithItsRule(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--faults",
            #"""
            # In a process that shares no descriptor with the others: a close is a request, too.
            add("--op", "write", "--delay", "60s"); start = time.monotonic()
            writer = subprocess.Popen(["dd", "if=/dev/zero", "of=" + m + "/f", "count=1", "status=none"])
            while listed()[0]["fired"] == 0: time.sleep(0.01)
            clear(); assert writer.wait() == 0 and time.monotonic() - start < 50
            """#)
    }
}
