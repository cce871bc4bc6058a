import Testing

/// Power losses as users have them: what was synced is there, the rest is by chance.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct CrashCommandTests {
    /// Content and sizes: nothing but old, new and torn pages, and after fsync only new ones.
    @Test(arguments: TestTransport.allCases)
    func content(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            sync(".")
            write("f", "a" * 40960); sync("f"); sync(".")
            write("other", "kept"); sync("other"); sync(".")
            seen = set()
            for seed in range(24):
                f = os.open(m + "/f", os.O_RDWR); os.pwrite(f, b"b" * 20480, 0); os.ftruncate(f, 50000)
                crash(seed)
                size = os.fstat(f).st_size; assert size in (40960, 50000), size
                data = os.pread(f, 60000, 0); assert len(data) == size
                assert data[20480:40960] == b"a" * 20480 and data[40960:].count(0) == size - 40960
                for at in range(0, 20480, 512):
                    sector = data[at:at + 512]; assert sector in (b"a" * 512, b"b" * 512), (seed, at)
                pages = [set(data[at:at + 4096]) for at in range(0, 20480, 4096)]
                seen |= {"torn" if len(p) == 2 else chr(min(p)) for p in pages} | {size}
                os.pwrite(f, b"a" * 40960, 0); os.ftruncate(f, 40960); os.fsync(f); os.close(f)
                crash(seed); assert read("f") == "a" * 40960 and read("other") == "kept"
            assert seen == {"a", "b", "torn", 40960, 50000}, seen
            # A cut is undone with what was cut, and a cut that was synced is not.
            sizes = set()
            for seed in range(12):
                os.truncate(m + "/f", 5); crash(seed); data = read("f"); sizes.add(len(data))
                assert data == "a" * len(data); write("f", "a" * 40960); sync("f")
            assert sizes == {5, 40960}, sizes
            os.truncate(m + "/f", 5); sync("f"); crash(0); assert read("f") == "a" * 5
            f = os.open(m + "/f", os.O_RDWR)
            os.posix_fallocate(f, 0, 9000); os.pwrite(f, b"c", 8000); os.fsync(f)
            crash(0); assert len(read("f")) == 9000 and read("f")[8000] == "c"
            os.chmod(m + "/f", 0o600); os.fsync(f); os.chmod(m + "/f", 0o644); crash(0)
            assert os.stat(m + "/f").st_mode & 0o777 == 0o600
            """#)
    }

    /// What fsync(2) is in other words, and what it is not.
    @Test(arguments: TestTransport.allCases)
    func waysToSync(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            for path in ["a", "b", "c", "d", "e"]: write(path, "old!" * 2048); sync(path)
            sync(".")
            lost = os.open(m + "/a", os.O_WRONLY); os.pwrite(lost, b"new!", 0); os.close(lost)
            data = os.open(m + "/b", os.O_WRONLY); os.pwrite(data, b"new!", 0); os.fdatasync(data)
            through = os.open(m + "/c", os.O_WRONLY | os.O_SYNC); os.pwrite(through, b"new!", 0)
            mapped = os.open(m + "/d", os.O_RDWR); view = mmap.mmap(mapped, 8192)
            view[0:4] = b"new!"; view.flush(); view[4096:4100] = b"lost"
            direct = os.open(m + "/e", os.O_RDWR | os.O_DIRECT | os.O_DSYNC)
            page = mmap.mmap(-1, 4096); page[:] = b"new!" * 1024; os.pwrite(direct, page, 0)
            crash(0)  # of which nothing is left that was not synced
            assert read("a") == "old!" * 2048
            for path in ["b", "c", "d"]: assert read(path) == "new!" + "old!" * 2047, path
            assert view[:] == b"new!" + b"old!" * 2047
            assert read("e") == "new!" * 1024 + "old!" * 1024
            """#)
    }

    /// Names are lost and come back; no synced file without its name, no directory in itself.
    @Test(arguments: TestTransport.allCases)
    func names(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            def tree():
                found = {}
                for path, folders, files in os.walk(m):
                    for name in folders + files:
                        at = os.path.join(path, name); found[at[len(m) + 1:]] = os.lstat(at).st_ino
                return found
            def syncall():
                for path, folders, files in os.walk(m):
                    for name in files:
                        at = os.path.join(path, name)
                        if not os.path.islink(at): sync(at[len(m) + 1:])
                    sync(path[len(m) + 1:] or ".")
            outcomes = set()
            for seed in range(40):
                for name in os.listdir(m): subprocess.run(["rm", "-rf", m + "/" + name], check=True)
                os.makedirs(m + "/x/y/z"); os.mkdir(m + "/e")
                for path in ["f", "g", "x/h", "x/y/i"]: write(path, path)
                os.link(m + "/f", m + "/x/f2"); syncall(); old = tree(); crash(seed); assert tree() == old
                write("new", "new"); os.unlink(m + "/g"); os.rename(m + "/f", m + "/x/f3")
                os.mkdir(m + "/n"); os.rename(m + "/x/h", m + "/n/h"); os.mkdir(m + "/n/n2"); write("n/n2/w", "w")
                os.rename(m + "/x/y", m + "/y"); os.rename(m + "/x", m + "/y/x"); os.rmdir(m + "/e")
                os.symlink("g", m + "/link"); os.link(m + "/y/i", m + "/i2")
                crash(seed); now = tree(); run("check", m)
                names = lambda inode: [path for path in now if now[path] == inode]
                for path in old:
                    if path not in ("g", "e"): assert names(old[path]), (seed, path, now)
                for path in ("x", "x/y", "x/y/z"): assert len(names(old[path])) == 1, (seed, path, now)
                for path in ("f", "x/h", "x/y/i"): assert read(names(old[path])[0]) == path, (seed, path)
                assert ("y/x" in now) == ("y" in now) == ("x" not in now), now
                outcomes |= {("g", "g" in now), ("e", "e" in now), ("new", "new" in now), ("y", "y" in now)}
            assert len(outcomes) == 8, outcomes
            # With the directories synced all is as it was left.
            syncall(); new = tree(); write("u", "u"); sync("."); os.rename(m + "/u", m + "/v"); sync(".")
            new = tree(); crash(0); assert tree() == new and "v" in new
            # What is open and has lost its name can be read still.
            write("w", ""); held = os.open(m + "/w", os.O_RDWR); os.write(held, b"x"); os.fsync(held)
            crash(0); fails(errno.ENOENT, lambda: os.stat(m + "/w")); assert os.pread(held, 1, 0) == b"x"
            """#)
    }

    /// The same changes and the same seed lose the same; a mount that does not know says so.
    @Test func seedsAndRefusals() throws {
        try MountedPython.run(
            .best, "--durability fsync",
            #"""
            def history(seed):
                for name in os.listdir(m): os.unlink(m + "/" + name)
                for n in range(20): write("s%d" % n, "s" * 9000); sync("s%d" % n)
                sync(".")
                for n in range(20): write("n%d" % n, "n"); os.rename(m + "/s%d" % n, m + "/t%d" % n)
                f = os.open(m + "/t3", os.O_WRONLY); os.pwrite(f, b"t" * 9000, 0); os.close(f)
                crash(seed); return {name: read(name) for name in os.listdir(m)}
            assert history(5) == history(5); assert len({str(history(n)) for n in range(6)}) > 2
            plain = os.path.dirname(m) + "/p"; os.mkdir(plain); run("mount", "--quiet", plain, "--size", "8m")
            refused("mount with --durability fsync", "crash", plain); run("umount", plain)
            refused("give none or fsync", "mount", plain, "--durability", "always")
            # After a rollback all is taken for synced.
            write("r", "1"); run("snapshot", m); write("r", "2"); run("rollback", m); crash(0)
            assert read("r") == "1"
            """#)
    }
}
