import Testing

/// `mayfly image`, as users have it.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ImageCommandTests {
    private func script(_ body: String, seconds: Int = 60) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"
            image() { "$mayfly" image "$@"; }
            build() { "$mayfly" image build --quiet "$@"; }
            refused() { local what=$1; shift
                if "$mayfly" "$@" > /dev/null 2> error; then echo "not refused: $*"; return 1; fi
                grep -q "^mayfly: .*$what" error || { cat error; return 1; }
            }
            \(body)
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// A tree with some of everything, and Python that compares two of them.
    private static let tree = #"""
        mkdir tree
        python3 -ISc '
        import os, struct
        os.chdir("tree"); os.makedirs("d/e/f"); os.makedirs(b"bytes-\xff\xfe")
        def write(path, data):
            with open(path, "wb") as file: file.write(data)
        write("a", b"hello\n"); write("d/big", bytes(range(256)) * 2000); write("empty", b"")
        write(b"bytes-\xff\xfe/\x01", b"x" * 2049); write("n" * 255, b"long name")
        os.link("d/big", "d/again"); os.link("d/big", "z"); os.symlink("../a", "d/link")
        os.symlink("t" * 3000, "long"); os.mkfifo("fifo"); os.mknod("null", 0o20644, os.makedev(1, 3))
        for size, path in [(1 << 30, "sparse"), (1 << 40, "hole")]:
            with open(path, "wb") as file: file.truncate(size)
        with open("sparse", "r+b") as file: file.seek(500 << 20); file.write(b"in the middle")
        os.setxattr("a", "user.x", b"1" * 500); os.setxattr("d", "user.y", b"")
        os.setxattr("d/big", "trusted.z", b"z")
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in
            [(1, 6, 2**32-1), (2, 7, 77), (4, 4, 2**32-1), (8, 4, 88), (16, 7, 2**32-1), (32, 4, 2**32-1)])
        os.setxattr("a", "system.posix_acl_access", acl); os.setxattr("d", "system.posix_acl_default", acl)
        os.chown("a", 12, 13); os.chmod("d/big", 0o4755); os.chmod("d/e", 0o3750)
        for path, time in [("a", 1234567890123456789), ("d/e", 5), (".", 10**18 + 1)]:
            os.utime(path, ns=(7, time))
        '
        cat > same.py <<'PY'
        import os, sys
        def look(root):
            found, links = {}, {}
            for folder, dirs, files in os.walk(os.fsencode(root)):
                for name in [b"."] + dirs + files:
                    path = os.path.join(folder, name); s = os.lstat(path)
                    key = os.path.relpath(path, os.fsencode(root))
                    links.setdefault(s.st_ino, key)
                    found[key] = (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev,
                        s.st_size if not os.path.isdir(path) else 0, links[s.st_ino],
                        s.st_nlink if not os.path.isdir(path) else 0,
                        os.readlink(path) if os.path.islink(path) else b"",
                        sorted((n, os.getxattr(path, n, follow_symlinks=False))
                            for n in os.listxattr(path, follow_symlinks=False)))
            return found
        a, b = look(sys.argv[1]), look(sys.argv[2])
        different = [(k, a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)]
        assert not different, different
        PY

        """#

    /// Everything that a tree can have comes back, as it was, by way of an image and of an archive.
    @Test func everythingIsKept() throws {
        try script(
            Self.tree + #"""
                build one --from tree; build two --from tree; cmp one two
                image check one > /dev/null
                mkdir m; "$mayfly" mount --quiet m --from one -o suid,dev
                python3 -IS same.py tree m
                cmp tree/sparse m/sparse; cmp tree/d/big m/z; [ "$(du -k m/sparse | cut -f 1)" -le 8 ]
                "$mayfly" umount m
                image export one --tar one.tar; [ "$(stat -c %s one.tar)" -lt 2000000 ]
                build three --from one.tar; cmp one three
                image export one --tar - | build four --from -; cmp one four
                image diff one four
                mkdir untarred; tar -xpf one.tar --xattrs --xattrs-include='*' --acls -C untarred 2> /dev/null
                cmp untarred/sparse tree/sparse; [ "$(stat -c '%a %u %g' untarred/a)" = "674 12 13" ]
                # A mount starts from a directory or an archive as well.
                for source in tree one.tar; do
                    "$mayfly" mount --quiet m --from $source -o suid,dev; python3 -IS same.py tree m
                    "$mayfly" umount m
                done
                """#)
    }

    /// Neither its size nor how many stretches it has makes a file with holes slow.
    @Test func holesTakeNoTime() throws {
        try script(
            #"""
            mkdir m; "$mayfly" mount --quiet m --size 64m
            python3 -ISc '
            import os
            with open("m/wide", "wb") as file:
                file.seek(1 << 62); file.write(b"in the middle"); file.truncate((1 << 63) - 1)
            with open("m/many", "wb") as file:
                for n in range(5000): file.seek(n << 30); file.write(b"%d" % n)
            with open("m/empty", "wb") as file: file.truncate((1 << 63) - 1)
            os.truncate("m/empty", 1 << 62)
            '
            "$mayfly" save m one > /dev/null; "$mayfly" umount m
            timeout 20 "$mayfly" image export one --tar one.tar; [ "$(stat -c %s one.tar)" -lt 30000000 ]
            build two --from one.tar; timeout 20 "$mayfly" image diff one two
            timeout 20 "$mayfly" image export two --tar - | cmp - one.tar
            """#)
    }

    @Test func everyFormOfArchive() throws {
        try script(
            #"""
            mkdir tree; echo text > tree/file; mkdir tree/d; seq 10000 > tree/d/numbers; ln tree/file tree/d/hard
            tar -C tree -cf t.tar .; build plain --from t.tar
            gzip -k t.tar; xz -k t.tar; bzip2 -k t.tar
            for form in gz xz bz2; do build packed --from t.tar.$form; cmp plain packed; done
            if command -v zstd > /dev/null; then zstd -q t.tar; build packed --from t.tar.zst; cmp plain packed; fi
            for form in ustar gnu pax v7; do
                tar -C tree --format=$form -cf f.tar .; build other --from f.tar
                [ "$(image list other | sed 's/.* //' | tr '\n' ' ')" = "$(image list plain | sed 's/.* //' | tr '\n' ' ')" ]
            done
            (cd tree && python3 -c 'import shutil; shutil.make_archive("../t", "zip", ".")')
            build zip --from t.zip; image list zip d | grep -q ' d/numbers$'
            # Names that lead elsewhere stay inside or are refused; what comes later wins.
            python3 -c '
            import io, tarfile
            def add(t, name, data, **more):
                i = tarfile.TarInfo(name); i.size = len(data)
                for k, v in more.items(): setattr(i, k, v)
                t.addfile(i, io.BytesIO(data))
            with tarfile.open("odd.tar", "w") as t:
                add(t, "/abs/./x", b"1"); add(t, "deep/er/y", b"2"); add(t, "abs/x", b"later")
                add(t, "h", b"", type=tarfile.LNKTYPE, linkname="/abs/x")
            with tarfile.open("out.tar", "w") as t: add(t, "a/../../x", b"1")
            with tarfile.open("nolink.tar", "w") as t: add(t, "h", b"", type=tarfile.LNKTYPE, linkname="no")
            '
            build odd --from odd.tar; image check odd > /dev/null
            [ "$(image list odd | grep -c ' 5 .* \(abs/x\|h\)$')" = 2 ]
            image list odd | grep -q '^drwxr-xr-x 0/0 .* 1970-01-01 00:00 deep/er$'
            refused 'leads out of the tree' image build out --from out.tar
            refused 'cannot be put into the image' image build nolink --from nolink.tar
            """#)
    }

    /// What archives of other programs do otherwise, and what tar cannot hold.
    @Test func formsWithWaysOfTheirOwn() throws {
        try script(
            #"""
            # cpio has the content of a file of two names with the last.
            python3 -c '
            def entry(name, ino, links, data):
                name = name.encode() + b"\0"
                numbers = [ino, 0o100644, 0, 0, links, 1000, len(data), 0, 0, 0, 0, len(name), 0]
                head = b"070701" + b"".join(b"%08X" % n for n in numbers) + name
                return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
            open("t.cpio", "wb").write(entry("a", 5, 2, b"") + entry("b", 5, 2, b"hello") +
                entry("TRAILER!!!", 0, 1, b""))
            '
            build cpio --from t.cpio; [ "$(image list cpio | grep -c ' 5 1970-01-01 00:16 [ab]$')" = 2 ]
            # GNU tar has names in access lists; who is unknown is left out, and told.
            python3 -c '
            import io, tarfile
            with tarfile.open("acl.tar", "w", format=tarfile.PAX_FORMAT) as t:
                for name, users in [("f", "user:root:rwx"), ("g", "user:no-such-user:rwx\nuser:root:r--")]:
                    i = tarfile.TarInfo(name)
                    i.pax_headers = {"SCHILY.acl.access": f"user::rw-\n{users}\ngroup::r--\nmask::rwx\nother::r--\n"}
                    t.addfile(i, io.BytesIO(b""))
            '
            build acl --from acl.tar 2> warned; grep -q "^mayfly: g: .*unknown" warned; [ "$(wc -l < warned)" = 1 ]
            mkdir m; "$mayfly" mount --quiet m --from acl
            python3 -c '
            import os, struct
            for name, rights in ("f", 7), ("g", 4):
                users = [e for e in struct.iter_unpack("<HHI", os.getxattr(f"m/{name}", "system.posix_acl_access")[4:])
                    if e[0] == 2]
                assert users == [(2, rights, 0)], (name, users)
            '
            "$mayfly" umount m
            # A socket is kept, but tar has no form for it.
            mkdir s; echo x > s/f; (cd s && python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")')
            build sock --from s; image list sock | grep -q '^s.* sock$'
            image export sock --tar s.tar 2> warned; grep -q '^mayfly: sock is a socket' warned
            [ "$(tar -tf s.tar | tr '\n' ' ')" = "./ f " ]
            # A tree that is deeper than a stack.
            python3 -c '
            import io, tarfile
            with tarfile.open("deep.tar", "w") as t: t.addfile(tarfile.TarInfo("d/" * 12000 + "f"), io.BytesIO(b""))
            '
            build deep --from deep.tar; image diff deep deep
            [ "$(image list deep "$(printf 'd/%.0s' $(seq 12000))f" | wc -l)" = 1 ]
            """#)
    }

    @Test func whatCannotBeBuiltLeavesNothing() throws {
        try script(
            #"""
            head -c 400000 /dev/urandom > blob; tar -czf t.tar.gz blob; head -c 100000 t.tar.gz > cut.tar.gz
            refused 'cut.tar.gz: .*runcated' image build out --from cut.tar.gz
            refused 'no archive' image build out --from blob
            refused 'no archive' image build out --from /etc/passwd
            refused 'cannot be read' image build out --from missing
            refused 'cannot be made' image build nowhere/out --from blob
            mkdir small; mount -t tmpfs -o size=24m none small; head -c 40000000 /dev/zero | tr '\0' x > large
            tar -cf large.tar large
            refused 'look for room' image build small/out --from large.tar; [ -z "$(ls -A small)" ]; umount small
            [ -z "$(ls | grep out)" ]
            # Nor does who is killed.
            mkfifo slow; sleep 60 > slow & holder=$!
            "$mayfly" image build killed --from - < slow & builder=$!
            until_true 'ls -l /proc/$builder/fd | grep -q "deleted\|killed"'
            kill -KILL "$builder"; wait "$builder" || [ $? = 137 ]; kill "$holder"
            [ -z "$(ls | grep killed)" ]
            # A file that was there stays when its successor cannot be built.
            echo old > out; refused 'no archive' image build out --from blob; [ "$(cat out)" = old ]
            """#)
    }

    @Test func whatIsDamagedIsFound() throws {
        try script(
            #"""
            mkdir tree; for n in $(seq 50); do seq $((n * 100)) > tree/$n; done; build good --from tree
            image check good | grep -q sound
            [ "$(image info good --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["inodes"])')" = 51 ]
            # A byte of content: only the checksum can tell.
            offset=$(grep -abo '^4321$' good | head -1 | cut -d : -f 1)
            cp --sparse=always good bad; printf 9 | dd of=bad bs=1 seek="$offset" conv=notrunc status=none
            if image check bad > out; then exit 1; fi; grep -q 'checksum differs' out
            refused 'is damaged' image list bad; refused 'is damaged' image export bad --tar x
            if image diff good bad 2> error; then exit 1; else [ $? = 2 ]; fi
            # What is there is not lost for an archive that cannot be written.
            echo kept > x.tar; refused 'is damaged' image export bad --tar x.tar; [ "$(cat x.tar)" = kept ]
            refused 'the image itself' image export good --tar good; image check good > /dev/null
            refused 'truncated' image check <(head -c 100000 good) || true
            head -c 4194304 good > short; refused 'truncated' image check short
            refused 'not a mayfly image' image info tree/1
            refused 'there is no nowhere' image list good nowhere
            # A first page that is right by its checksum, and says more than can be.
            python3 -c '
            import struct
            most = (1 << 64) - 1; data = open("good", "rb").read()
            for place in 200, 264:
                page = bytearray(data[:4096]); struct.pack_into("<Q", page, place, 1 << 63)
                struct.pack_into("<Q", page, 32, 0); lanes = [1, 2, 3, 4]; sum = 1
                for at, word in enumerate(struct.unpack("<512Q", page)):
                    lane = (lanes[at % 4] ^ word) * 0x9E3779B97F4A7C15 & most
                    lanes[at % 4] = lane ^ lane >> 29
                for lane in lanes:
                    sum = (sum ^ lane) * 0xD6E8FEB86659FD93 & most; sum ^= sum >> 32
                struct.pack_into("<Q", page, 32, sum); open(f"odd{place}", "wb").write(bytes(page) + data[4096:])
            '
            for place in 200 264; do refused 'first page' image info odd$place; done
            """#)
    }

    @Test func differencesAreTold() throws {
        try script(
            #"""
            mkdir tree m; echo 1 > tree/a; echo 2 > tree/b; mkdir tree/d; echo 3 > tree/d/c; ln -s a tree/l
            touch -h -d '2020-01-01' tree/* tree/d/c; build one --from tree
            echo 9 > tree/a; touch -d '2020-01-01' tree/a; chmod 600 tree/b; rm -r tree/d; mkdir tree/n
            ln -sfn b tree/l; touch -h -d '2020-01-01' tree/l; build two --from tree
            if image diff one two > out; then exit 1; fi
            printf '~ a  (content)\n~ b  (mode)\n- d\n- d/c\n~ l  (target)\n+ n\n' | diff out -
            "$mayfly" mount --quiet m --from one; "$mayfly" diff m
            echo more >> m/a; mkdir m/new; echo x > m/new/f; rm m/b; touch m/d/c
            if "$mayfly" diff m > out; then exit 1; fi
            printf '~ a  (size, time)\n- b\n~ d/c  (time)\n+ new\n+ new/f\n' | diff out -
            "$mayfly" diff m --json | head -1 | grep -q '"aspects":\["size","time"\]'
            "$mayfly" snapshot m now > /dev/null; "$mayfly" diff m now
            "$mayfly" umount m
            """#)
    }
}
