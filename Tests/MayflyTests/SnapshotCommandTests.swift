import Testing

/// Snapshots, rollbacks, forks and images as users have them.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct SnapshotCommandTests {
    /// Whatever the kernel has cached, and whoever has it open: all see the old tree.
    @Test(arguments: TestTransport.allCases)
    func aRollbackIsSeenByEverybody(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "",
            #"""
            os.makedirs(m + "/d/e"); write(m + "/d/file", "old"); write(m + "/gone", "was there")
            os.symlink("file", m + "/d/link"); os.link(m + "/d/file", m + "/second")
            os.setxattr(m + "/d/file", "user.x", b"1"); os.chmod(m + "/d/e", 0o700)
            with open(m + "/d/large", "w") as file: file.write("x" * 300000)
            held = open(m + "/d/file", "r+"); held_removed = open(m + "/gone")
            mapped = open(m + "/d/large", "r+"); view = mmap.mmap(mapped.fileno(), 300000)
            view[0:3] = b"map"                       # in the kernel only, until the snapshot
            names = sorted(os.listdir(m + "/d"))
            run("snapshot", m, "one")
            write(m + "/d/file", "newer and longer"); os.unlink(m + "/gone")
            os.unlink(m + "/d/link"); os.symlink("elsewhere", m + "/d/link")
            os.rename(m + "/d/e", m + "/moved"); os.setxattr(m + "/second", "user.x", b"2")
            os.truncate(m + "/d/large", 10); os.mkdir(m + "/made"); write(m + "/made/f", "made")
            fails(errno.ENOENT, lambda: os.stat(m + "/never"))
            for path in ["/d/file", "/second", "/made/f", "/moved"]: os.stat(m + path)
            assert os.listdir(m + "/made") == ["f"] and read(m + "/d/file") == "newer and longer"
            made = open(m + "/made/f"); inside = os.open(m + "/made", os.O_RDONLY)
            assert made.read() == "made"
            run("rollback", m)
            assert sorted(os.listdir(m)) == ["d", "gone", "second"], os.listdir(m)
            assert sorted(os.listdir(m + "/d")) == names
            assert read(m + "/d/file") == "old" == read(m + "/second") and held.read() == "old"
            assert read(m + "/gone") == "was there" == held_removed.read()
            assert os.readlink(m + "/d/link") == "file"
            assert os.getxattr(m + "/second", "user.x") == b"1"
            assert os.stat(m + "/d/e").st_mode & 0o777 == 0o700
            assert os.stat(m + "/d/large").st_size == 300000 and view[0:4] == b"mapx"
            fails(errno.ENOENT, lambda: os.stat(m + "/made"))
            fails(errno.ESTALE, lambda: os.pread(made.fileno(), 4, 0))
            fails(errno.ESTALE, lambda: os.fstat(made.fileno()))
            fails(errno.ESTALE, lambda: os.stat("f", dir_fd=inside))
            # New inodes are none of those that were never there.
            for n in range(50): write(m + "/n%d" % n, str(n))
            fails(errno.ESTALE, lambda: os.pread(made.fileno(), 4, 0))
            held.seek(0); held.write("OLD"); held.flush(); assert read(m + "/second") == "OLD"
            run("rollback", m, "one"); assert read(m + "/second") == "old"
            """#)
    }

    /// Also of a file that was only read, and is open: its access time is what it was.
    @Test(arguments: TestTransport.allCases)
    func accessTimesGoBack(transport: TestTransport) throws {
        try MountedPython.run(
            transport, "",
            #"""
            write(m + "/file", "old")
            held = os.open(m + "/file", os.O_RDONLY)
            before = os.fstat(held)
            run("snapshot", m); time.sleep(0.01)
            assert os.pread(held, 3, 0) == b"old"
            os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(held, 3, 0) == b"old"
            assert os.fstat(held).st_atime_ns > before.st_atime_ns, "reading was not noted"
            run("rollback", m)
            assert os.fstat(held).st_atime_ns == before.st_atime_ns
            assert os.pread(held, 3, 0) == b"old"
            """#)
    }

    /// A fork begins as the mount is, and then each goes its way, in one process and not longer than
    /// the last of them.
    @Test(arguments: TestTransport.allCases)
    func aForkIsAMountOfItsOwn(transport: TestTransport) throws {
        try MountedPython.script(
            transport,
            #"""
            start
            python '
            write(m + "/a", "1"); os.mkdir(m + "/d"); write(m + "/d/b", "2" * 100000)
            removed = open(m + "/removed", "w+"); removed.write("x" * 50000); removed.flush()
            os.unlink(m + "/removed")
            run("fork", m, f)
            assert read(f + "/a") == "1" and read(f + "/d/b") == "2" * 100000
            assert os.stat(m).st_dev != os.stat(f).st_dev
            write(m + "/a", "of the mount"); write(f + "/a", "of the fork"); os.unlink(f + "/d/b")
            assert read(m + "/a") == "of the mount" and read(f + "/a") == "of the fork"
            assert os.listdir(m + "/d") == ["b"] and os.listdir(f + "/d") == []
            assert os.statvfs(f).f_files - os.statvfs(f).f_ffree == 3, "an orphan was forked"
            '
            "$mayfly" check m > /dev/null; "$mayfly" check f > /dev/null
            server=$("$mayfly" stat f | sed -n 's/^server *pid \([0-9]*\).*/\1/p')
            "$mayfly" umount m
            [ "$(cat f/a)" = "of the fork" ]
            mkdir g; "$mayfly" fork f g; [ "$(cat g/a)" = "of the fork" ]
            "$mayfly" umount f; [ "$(cat g/a)" = "of the fork" ]
            kill "$server"
            until_true '! grep -q "$folder/g" /proc/self/mounts'
            until_true '! kill -0 $server 2> /dev/null'
            """#)
    }

    /// What is saved is a tree of its own, and many mounts start from it.
    @Test(arguments: TestTransport.allCases)
    func anImageIsSavedAndStartedFrom(transport: TestTransport) throws {
        try MountedPython.script(
            transport,
            #"""
            start --mode 0750
            python '
            os.makedirs(m + "/a/b"); write(m + "/a/b/c", "content" * 5000); write(m + "/s", "small")
            os.mkfifo(m + "/fifo"); os.setxattr(m + "/s", "user.k", b"v"); os.chown(m + "/s", 12, 13)
            os.utime(m + "/s", ns=(1, 999999999))
            with open(m + "/sparse", "w") as file: file.truncate(1 << 40)
            '
            "$mayfly" save m one.image; "$mayfly" save m one.image
            "$mayfly" umount m
            [ "$(du -k one.image | cut -f 1)" -lt 1000 ]
            for n in 1 2; do
                start --from one.image
                python '
            s = os.stat(m + "/s"); assert (s.st_uid, s.st_gid, s.st_mtime_ns) == (12, 13, 999999999)
            assert read(m + "/a/b/c") == "content" * 5000 and os.getxattr(m + "/s", "user.k") == b"v"
            assert os.stat(m + "/sparse").st_size == 1 << 40 and os.stat(m).st_mode & 0o777 == 0o750
            os.unlink(m + "/a/b/c"); write(m + "/s", "changed"); os.mkdir(m + "/more")
            run("rollback", m)
            assert read(m + "/a/b/c") == "content" * 5000 and not os.path.exists(m + "/more")
            write(m + "/s", "changed again")
            '
                "$mayfly" check m > /dev/null
                "$mayfly" snapshots m | grep -q '^start '
                "$mayfly" umount m
            done
            """#)
    }

    /// What is no image, or is one no longer, is refused in one line.
    @Test func whatIsNoImageIsRefused() throws {
        try MountedPython.script(
            .best,
            #"""
            start; echo x > m/file; "$mayfly" save m good > /dev/null; "$mayfly" umount m
            refused() {
                if "$mayfly" mount m --from "$1" $3 2> error; then return 1; fi
                grep -q "^mayfly: .*$2" error && [ "$(wc -l < error)" = 1 ] || { cat error; return 1; }
            }
            refused missing 'cannot be opened'
            echo text > text; refused text 'not a mayfly image'
            : > empty; refused empty 'not a mayfly image'
            cp good short; truncate -s -2M short; refused short 'truncated'
            cp good long; truncate -s +2M long; refused long 'too long'
            cp good newer; printf '\377' | dd of=newer bs=1 seek=8 conv=notrunc status=none
            refused newer 'use a newer mayfly'
            cp good older; printf '\001' | dd of=older bs=1 seek=8 conv=notrunc status=none
            refused older 'build it anew'
            cp good damaged; printf '\377' | dd of=damaged bs=1 seek=1024 conv=notrunc status=none
            refused damaged 'is damaged'
            refused good '--mode goes with an empty tree' '--mode 0700'
            start --from good; [ "$(cat m/file)" = x ]; "$mayfly" umount m
            """#)
    }

    @Test func namesOfSnapshots() throws {
        try MountedPython.script(
            .best,
            #"""
            start
            if "$mayfly" rollback m 2> error; then exit 1; fi; grep -q 'no snapshot yet' error
            "$mayfly" snapshot m; echo 1 > m/f; "$mayfly" snapshot m; "$mayfly" snapshot m named
            [ "$("$mayfly" snapshots m | cut -d ' ' -f 1 | tr '\n' ' ')" = "SNAPSHOT 1 2 named $folder/m: " ]
            if "$mayfly" snapshot m named 2> error; then exit 1; fi; grep -q 'already' error
            echo 2 > m/f; "$mayfly" snapshot m named --replace
            "$mayfly" rollback m 1; [ ! -e m/f ]
            "$mayfly" rollback m; [ "$(cat m/f)" = 2 ]
            "$mayfly" snapshots m --remove named > /dev/null
            if "$mayfly" rollback m named 2> error; then exit 1; fi; grep -q "there are 1, 2" error
            "$mayfly" umount m
            """#)
    }
}
