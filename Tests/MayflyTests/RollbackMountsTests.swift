import Testing

/// Mounts in a tree, names and inodes, after the tree was changed below the kernel.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct RollbackMountsTests {
    private static let head = #"""
        def sh(text, *words): return subprocess.run(["sh", "-euc", text, "sh", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
        def summary(*words): return json.loads(run("rollback", m, "--json", *words))
        def unshared():
            # A process in a mount namespace of its own, which ends when its input does.
            child = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; read line"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            child.stdout.readline()
            return child
        def there(child, text): return subprocess.run(["nsenter", "-m", "-t", str(child.pid), "sh", "-euc", text],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        def kept(): return os.path.ismount(m + "/d") and os.listdir(m + "/d") == ["in"]

        """#

    /// Whatever changes beside them: a bind mount, one on a file, one on another, /proc of a chroot.
    @Test(arguments: TestTransport.allCases)
    func mountsStayOnWhatIsTheSame(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            Self.head + #"""
                for path in ["/d", "/root/proc", "/old", "/twins"]: os.makedirs(m + path)
                write("on", "below"); write("old/f", "1"); write("twins/a", "a"); write("twins/b", "b"); sync("twins"); sync("old")
                write("linked", "l"); os.link(m + "/linked", m + "/twins/linked"); sync("."); sync("twins")
                x = os.path.dirname(m) + "/x"; os.makedirs(x + "/y"); os.mkdir(f + "/in")
                with open(x + "/file", "w") as file: file.write("above")
                run("snapshot", m)
                sh("mount --bind $2 $1/d; mount --bind $3/file $1/on; mount -t proc proc $1/root/proc", m, f, x)
                sh("mount --bind $2 $1/in", m + "/d", x)
                reader, writer = os.pipe(); go, gone = os.pipe(); child = os.fork()
                if child == 0:
                    os.chroot(m + "/root"); os.chdir("/"); os.write(gone, b"x"); os.read(reader, 1)
                    os._exit(0 if os.path.exists("/proc/self/stat") else 1)
                os.read(go, 1)
                def check():
                    assert kept() and os.path.exists(m + "/d/in/y") and read("on") == "above"
                    assert os.path.exists(m + "/root/proc/self/stat")
                for name in ["new", "twins/never"]: fails(errno.ENOENT, lambda: os.stat(m + "/" + name))
                # Names come, go, change places and come back as they were.
                write("new", "n"); os.unlink(m + "/old/f"); os.rename(m + "/old", m + "/moved"); os.mkdir(m + "/old")
                sh("mv $1/twins/a $1/t; mv $1/twins/b $1/twins/a; mv $1/t $1/twins/b", m)
                os.unlink(m + "/linked"); fails(errno.ENOENT, lambda: os.stat(m + "/linked"))
                assert (read("twins/a"), os.listdir(m + "/old")) == ("b", [])
                done = summary(); check()
                assert (read("twins/a"), read("twins/b"), read("old/f")) == ("a", "b", "1") and not os.path.exists(m + "/moved")
                assert not os.path.exists(m + "/new") and os.stat(m + "/linked").st_ino == os.stat(m + "/twins/linked").st_ino
                assert os.stat(m + "/linked").st_nlink == 2 and done["changedNames"] <= 8, done
                # A name that was moved and moved back is the same.
                os.rename(m + "/root", m + "/r"); os.rename(m + "/r", m + "/root"); check(); assert summary()["changedNames"] == 0
                check(); add("--op", "write", "--path", "zzz", "--errno", "EIO"); check()
                add("--op", "lookup", "--path", "on*", "--errno", "EIO"); check(); clear()
                write("new", "n"); crash(4); check(); assert not os.path.exists(m + "/new")
                os.write(writer, b"x"); assert os.waitpid(child, 0)[1] == 0
                sh("umount $1/d/in $1/d $1/on $1/root/proc", m)
                """#)
    }

    /// What would go with its folder is named, and goes with --force; also in another namespace.
    @Test func aMountIsNotTakenAway() throws {
        try MountedPython.run(
            .best, "",
            Self.head + #"""
                os.makedirs(m + "/d"); os.mkdir(f + "/in"); run("snapshot", m, "s")
                sh("mount --bind $2 $1/d", m, f)
                os.makedirs(m + "/made/a b"); sh("mount -t tmpfs none \"$1/made/a b\"; echo 1 > \"$1/made/a b/kept\"", m)
                refused("/made/a b carries a mount", "rollback", m); assert read("made/a b/kept") == "1\n" and kept()
                sh("umount \"$1/made/a b\"", m); child = unshared()
                there(child, "mount -t tmpfs none \"%s/made/a b\"; mkdir \"%s/made/a b/kept\"" % (m, m))
                refused("/made/a b carries a mount", "rollback", m)
                assert there(child, "ls \"%s/made/a b\"" % m) == "kept\n" and os.listdir(m + "/made/a b") == []
                run("rollback", m, "--force"); assert not os.path.exists(m + "/made") and kept()
                assert there(child, "grep -c made /proc/self/mountinfo || :") == "0\n"
                write("made", ""); there(child, "mount --bind /dev/null %s/made" % m); write("made", "x")
                refused("/made carries a mount", "rollback", m); there(child, "umount %s/made" % m); run("rollback", m)
                child.stdin.close(); child.wait(); assert kept(); sh("umount $1/d", m)
                """#)
    }

    /// A folder that was renamed goes back with its mounts: its own, and those below.
    @Test(arguments: TestTransport.allCases)
    func mountsMoveWithTheirFolders(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "",
            Self.head + #"""
                os.makedirs(m + "/a/b/c"); os.makedirs(m + "/here/own"); os.makedirs(m + "/d"); os.mkdir(f + "/in")
                child = unshared(); run("snapshot", m)
                there(child, "mount --bind %s %s/a/b/c; mount --bind %s %s/here/own" % (f, m, f, m))
                os.makedirs(m + "/to/x"); os.rename(m + "/a/b", m + "/to/x/b"); os.rename(m + "/here/own", m + "/to/own")
                assert there(child, "ls %s/to/x/b/c %s/to/own" % (m, m)).count("in\n") == 2
                run("rollback", m); assert sorted(os.listdir(m)) == ["a", "d", "here"], os.listdir(m)
                assert there(child, "ls %s/a/b/c %s/here/own" % (m, m)).count("in\n") == 2
                assert os.listdir(m + "/a/b/c") == [] and not os.path.exists(m + "/to")
                # Two that carry mounts and have changed places cannot both be moved.
                sh("mv $1/a $1/t; mv $1/here $1/a; mv $1/t $1/here", m); refused("carries a mount", "rollback", m)
                assert there(child, "ls %s/here/b/c %s/a/own" % (m, m)).count("in\n") == 2
                run("rollback", m, "--force"); assert os.listdir(m + "/a") == ["b"] and os.listdir(m + "/here") == ["own"]
                child.stdin.close(); child.wait()
                """#)
    }

    /// However many names are cached, no more is told than changed.
    @Test func theKernelIsToldOfChangesAlone() throws {
        try MountedPython.run(
            .best, "",
            Self.head + #"""
                os.mkdir(m + "/d")
                for n in range(4000): os.mknod(m + "/d/%d" % n)
                assert len(os.listdir(m + "/d")) == 4000 and all(e.stat() for e in os.scandir(m + "/d"))
                run("snapshot", m); summary()
                for n in range(0, 4000, 80): os.unlink(m + "/d/%d" % n); write("d/new%d" % n, "")
                done = summary(); assert done["changedNames"] == 100 and done["changedNodes"] <= 51, done
                assert sorted(os.listdir(m + "/d")) == sorted(map(str, range(4000)))
                for n in range(0, 4000, 80): os.stat(m + "/d/%d" % n); assert not os.path.exists(m + "/d/new%d" % n)
                for n in range(100): write("d/%d" % n, "x")
                done = summary(); assert (done["changedNames"], done["changedNodes"]) == (0, 100), done
                """#)
    }

    /// Numbers of inodes stay small, and are the same wherever they are told.
    @Test(arguments: TestTransport.allCases)
    func inodeNumbersHaveNoTag(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "",
            Self.head + #"""
                os.mkdir(m + "/d"); run("snapshot", m)
                for n in range(3):
                    write("d/f", ""); os.mkdir(m + "/d/g"); write("d/g/h", ""); listed = {e.name: e.inode() for e in os.scandir(m + "/d")}
                    assert listed == {name: os.stat(m + "/d/" + name).st_ino for name in ["f", "g"]}
                    numbers = [os.stat(m + "/d/" + name).st_ino for name in ["f", "g", "g/h", "g/..", "."]] + [os.fstat(os.open(m + "/d/f", os.O_RDONLY)).st_ino]
                    assert max(numbers) < 1 << 32, numbers
                    run("rollback", m)
                """#)
    }

    /// Sizes and times that the kernel keeps itself go back; a power loss would not reach them.
    @Test(arguments: TestTransport.allCases)
    func writebackGoesBack(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "-o writeback",
            Self.head + #"""
                def stale(body):
                    # Linux 7.3 says EIO of an inode that it has given up.
                    try: body()
                    except OSError as error: assert error.errno in (errno.ESTALE, errno.EIO), error
                    else: assert False, "answered"
                write("f", "x" * 5000); write("same", "s"); os.link(m + "/f", m + "/second"); os.utime(m + "/f", ns=(1, 1))
                same = os.open(m + "/same", os.O_RDWR); run("snapshot", m)
                os.truncate(m + "/f", 100); run("rollback", m)
                assert os.stat(m + "/f").st_size == 5000 == os.stat(m + "/second").st_size and read("second") == "x" * 5000
                assert os.stat(m + "/f").st_mtime_ns == 1
                held = os.open(m + "/f", os.O_RDWR); os.pwrite(held, b"y" * 9000, 0); os.fsync(held)
                run("rollback", m); stale(lambda: os.pread(held, 1, 0)); assert read("f") == "x" * 5000
                # What is not written back now does not come back later.
                try: os.pwrite(held, b"z" * 20000, 0); os.fsync(held)
                except OSError as error: assert error.errno in (errno.ESTALE, errno.EIO), error
                try: os.close(held)
                except OSError as error: assert error.errno in (errno.ESTALE, errno.EIO), error
                assert read("f") == "x" * 5000 and os.pread(same, 1, 0) == b"s"
                os.pwrite(same, b"t", 0); os.fsync(same); assert read("same") == "t"
                refused("writeback and --durability", "mount", f, "-o", "writeback", "--durability", "fsync")
                """#)
    }

    /// A removed directory that somebody holds and that is back can be written to.
    @Test func aRemovedDirectoryIsBack() throws {
        try MountedPython.run(
            .best, "--durability fsync",
            Self.head + #"""
                os.mkdir(m + "/d"); write("d/f", "f"); sync("d/f"); sync("d"); sync("."); run("snapshot", m)
                for back in [lambda: run("rollback", m), lambda: crash(0)]:
                    held = os.open(m + "/d", os.O_RDONLY); os.unlink(m + "/d/f"); os.rmdir(m + "/d"); back()
                    assert os.listdir(m + "/d") == ["f"]; write("d/new", "n"); assert read("d/new") == "n"
                    fails(errno.ESTALE, lambda: os.listdir(held)); os.close(held); os.unlink(m + "/d/new"); sync("d")
                # Names in a directory that is no more, held by who is in it.
                os.mkdir(m + "/made"); write("made/x", "x"); inside = os.open(m + "/made", os.O_RDONLY)
                os.rename(m + "/d/f", m + "/made/f"); held = open(m + "/made/f"); run("rollback", m)
                fails(errno.ESTALE, lambda: os.stat("x", dir_fd=inside)); fails(errno.ESTALE, lambda: os.stat("f", dir_fd=inside))
                assert read("d/f") == "f" == held.read()
                """#)
    }

    /// A rule about lookups is asked about names that are cached, also of what is not there.
    @Test(arguments: TestTransport.allCases)
    func cachedNamesAreLookedUpForARule(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "",
            Self.head + #"""
                os.makedirs(m + "/a/b"); write("a/b/c", "c"); write("other", "o"); os.mkdir(f + "/in")
                os.makedirs(m + "/d"); sh("mount --bind $2 $1/d", m, f)
                def look():
                    found = []
                    for path in ["a", "a/b/c", "a/none", "other", "d/in"]:
                        try: os.stat(m + "/" + path); found.append(0)
                        except OSError as error: found.append(error.errno)
                    return found
                usual = [0, 0, 2, 0, 0]
                for path, expected in [("a/b/c", [0, 28, 2, 0, 0]), ("a/none", [0, 0, 28, 0, 0]), ("a", [28, 28, 28, 0, 0]), ("d", usual),
                        ("*/b", [0, 28, 2, 0, 0]), ("zzz", usual), ("**", [28, 28, 28, 28, 0])]:
                    assert look() == usual; add("--op", "lookup", "--path", path, "--errno", "ENOSPC")
                    assert look() == expected == look(), (path, look()); clear(); assert kept()
                assert look() == usual; add("--op", "lookup", "--errno", "ENOSPC"); assert look() == [28, 28, 28, 28, 0]; clear()
                sh("umount $1/d", m)
                """#)
    }

    /// Pages of files that a power loss does not concern stay in the kernel.
    @Test func aPowerLossLeavesOtherPages() throws {
        try MountedPython.run(
            .best, "--durability fsync",
            Self.head + #"""
                def reads(): return sum(o["count"] for o in json.loads(run("stat", m, "--json"))["operations"] if o["name"] == "read")
                write("still", "s" * 100000); sync("still"); write("f", "old"); sync("f"); sync("."); read("still"); count = reads()
                write("f", "new!"); crash(0); assert read("f") == "old"; count = reads()
                assert read("still") == "s" * 100000 and reads() == count, (reads(), count)
                """#)
    }
}
