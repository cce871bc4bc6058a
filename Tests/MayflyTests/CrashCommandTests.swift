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
            for seed in range(12):
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

    /// A directory that was made, synced itself, and removed before the directory above it was synced: what was moved
    /// out of it has no place to go back to.
    @Test(arguments: TestTransport.allCases)
    func movedOutOfWhatIsGone(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            sync(".")
            for depth in (1, 2):
                for kind in ("directory", "file"):
                    for inner in (False, True):
                        for seed in range(8):
                            a = "/".join([m] + ["a"] * depth)
                            os.makedirs(a + "/d")
                            moved = a + "/d" if kind == "directory" else a + "/d/f"
                            if kind == "file": open(moved, "w").close()
                            if inner: os.mkdir(a + "/d/e"); sync(os.path.relpath(a + "/d", m))
                            sync(os.path.relpath(a, m))
                            os.rename(moved, m + "/x")
                            for top, folders, files in os.walk(m + "/a", topdown=False): os.rmdir(top)
                            if kind == "directory": os.mkdir(m + "/x/new"); open(m + "/x/new/f", "w").close()
                            crash(seed)
                            run("check", m)
                            assert seed % 4 or os.listdir(m) == [], os.listdir(m)
                            subprocess.run(["rm", "-rf", m + "/x", m + "/a"], check=True); sync(".")
            """#)
    }

    /// A sector of 512 bytes is old or new, never a part of each, wherever the file was cut.
    @Test(arguments: TestTransport.allCases)
    func sectorsAreWhole(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            sync(".")
            found = set()
            # Of what is synced the first number is cut off, then the third written from the second on.
            cases = [(0, 0, 100), (3000, 2900, 200), (0, 700, 50), (1000, 1000, 600)]
            for seed in range(24):
                for cut, start, count in cases[:2] if seed % 4 else cases[2:]:
                    write("f", "A" * 8192); sync("f"); sync(".")
                    f = os.open(m + "/f", os.O_RDWR); os.ftruncate(f, cut); os.pwrite(f, b"B" * count, start)
                    end = max(cut, start + count)
                    new = bytearray(8192); new[:cut] = b"A" * cut; new[start:start + count] = b"B" * count
                    crash(seed); data = os.pread(f, 9000, 0); os.close(f)
                    assert len(data) in (end, 8192), (seed, cut, len(data))
                    for at in range(0, len(data), 512):
                        sector = data[at:at + 512]
                        kind = "old" if sector == b"A" * len(sector) else "new"
                        assert kind == "old" or sector == new[at:at + 512][:len(sector)], (seed, cut, start, at, sector)
                        found.add((kind, len(data) == 8192))
            assert len(found) == 4, found
            """#)
    }

    /// What an fsync of a directory syncs: the groups of names in it, and not the directory's own name.
    @Test func groupsOfNames() throws {
        try MountedPython.run(
            .best, "--durability fsync",
            #"""
            def there(*names): return [os.path.lexists(m + "/" + name) for name in names]
            def clear():
                subprocess.run("rm -rf " + m + "/*", shell=True, check=True); run("sync", m)
            # Out of a directory: its name is not synced by it.
            os.mkdir(m + "/d"); write("d/x", "x"); sync("d/x")
            os.rename(m + "/d/x", m + "/x"); sync("d"); crash(0)
            assert there("d", "x") == [False, True], os.listdir(m); clear()
            # Into one: its name goes with what was moved, as do those above it.
            write("x", "x"); sync("x"); sync("."); os.makedirs(m + "/d/e"); os.rename(m + "/x", m + "/d/e/x")
            sync("."); crash(0); assert there("d/e/x", "x") == [True, False]; clear()
            # An exchange goes into both.
            os.mkdir(m + "/p"); write("p/a", "a"); sync("p/a"); sync("p"); sync("."); os.mkdir(m + "/q"); write("q/b", "b")
            subprocess.run([sys.executable, "-ISc", "import ctypes, sys; l = ctypes.CDLL(None, use_errno=True);"
                "sys.exit(l.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2))", m + "/p/a", m + "/q/b"], check=True)
            sync("p"); crash(0); assert there("q/b", "p/a") == [True, True]; clear()
            # A directory that is replaced by another goes with what was removed from it.
            for seed in range(16):
                os.mkdir(m + "/v"); write("v/f", "f"); os.mkdir(m + "/n"); write("n/g", "g"); sync("v/f"); sync("n/g")
                sync("v"); sync("n"); sync("."); os.unlink(m + "/v/f"); os.rename(m + "/n", m + "/v"); crash(seed)
                assert there("v/f", "n/g", "v/g") in ([True, True, False], [False, False, True]), (seed, os.listdir(m))
                run("check", m); clear()
            """#)
    }

    /// sync(2) and syncfs(2) are not told of; `mayfly sync` and HTTP stand in for them.
    @Test(arguments: TestTransport.allCases)
    func syncOfEverything(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "--durability fsync",
            #"""
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            def change():
                write("f", "new"); os.mkdir(m + "/d"); write("d/g", "g"); os.chmod(m + "/d/g", 0o600)
                f = os.open(m + "/h", os.O_RDWR | os.O_CREAT); os.pwrite(f, b"h" * 8192, 0)
                view = mmap.mmap(f, 8192); view[4096:4100] = b"view"; return f, view
            f, view = change()
            top = os.open(m, os.O_RDONLY); assert libc.syncfs(top) == 0; os.close(top)
            crash(0); assert os.listdir(m) == [], os.listdir(m)
            view.close(); os.close(f)
            f, view = change(); done = json.loads(run("sync", m, "--json")); assert done["names"] == 4, done
            crash(0); assert sorted(os.listdir(m)) == ["d", "f", "h"] and read("f") == "new" and read("d/g") == "g"
            assert read("h") == "h" * 4096 + "view" + "h" * 4092 and os.stat(m + "/d/g").st_mode & 0o777 == 0o600
            view[0:4] = b"lost"; crash(0); assert view[0:4] == b"hhhh"
            assert json.loads(run("sync", m, "--json")) == {"files": 0, "names": 0}
            plain = os.path.dirname(m) + "/p"; os.mkdir(plain); run("mount", "--quiet", plain, "--size", "8m")
            refused("mount with --durability fsync", "sync", plain); run("umount", plain)
            said = subprocess.run([mayfly, "mount", plain, "--size", "8m", "--durability", "fsync"], check=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            run("umount", plain); assert "`mayfly sync DIR` does" in said, said
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
            for seed in range(16):
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
