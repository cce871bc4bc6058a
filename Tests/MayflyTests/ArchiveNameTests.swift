import Testing

/// Names in archives are the bytes that stand there, whatever the form and whatever they mean.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ArchiveNameTests {
    private func script(_ body: String, seconds: Int = 60) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir tree
            cat > names.py <<'PY'
            \(Self.python)
            PY
            build() { "$mayfly" image build --quiet i.mayfly --from "$@"; }
            # What is in the image is what is in a folder.
            is() { "$mayfly" image list --json i.mayfly > list && python3 names.py same "$1" list; }
            python3 names.py make tree
            \(body)
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// Two forms of one word, what no encoding has, halves of pairs, and names that take a header more.
    private static let python = #"""
        import json, os, subprocess, sys, tarfile, zipfile
        names = [b"plain", b"caf\xc3\xa9", b"cafe\xcc\x81", b"\xe9raw", b"\xed\xa0\xbd\xed\xb8\x80halves",
            b"\xe2\x84\xab\xef\xa4\x80", b"d\xcc\x81" * 60, b"x" * 90 + b"\xcc\x81" * 30, b"new\nline",
            b"\xf4\x8f\xb3\xa9private"]
        def make(root):
            os.chdir(root)
            for n in names:
                with open(n, "wb") as f: f.write(n)
                os.symlink(n, b"l-" + n)
            os.link(names[2], "hard"); os.link(names[3], "hard2")
        def tar(form):
            with tarfile.open("made", "w", format=getattr(tarfile, form + "_FORMAT")) as t:
                for n in sorted(os.listdir(b"tree")): t.add(os.fsdecode(b"tree/" + n), os.fsdecode(n))
        def zip(*_):
            with zipfile.ZipFile("made", "w") as z:
                for n in names:
                    try: i = zipfile.ZipInfo(n.decode())
                    except UnicodeDecodeError: continue
                    i.create_system = 3; i.external_attr = 0o100644 << 16; z.writestr(i, n)
                    os.makedirs("ref", exist_ok=True)
                    with open(b"ref/" + n, "wb") as f: f.write(n)
        def raw(text):
            # What Docs/Control.md says of names in JSON.
            return os.fsencode("".join(
                chr(ord(c) - 0x10fc00 + 0xdc00) if 0x10fc80 <= ord(c) <= 0x10fcff else c for c in text))
        def same(root, listing):
            found, links = {}, {}
            for line in open(listing, encoding="utf-8"):
                e = json.loads(line)
                found[raw(e["path"])] = raw(e["target"]) if "target" in e else None
            for n in os.listdir(os.fsencode(root)):
                p = os.path.join(os.fsencode(root), n)
                links[n] = os.readlink(p) if os.path.islink(p) else None
            found.pop(b".")
            assert found == links, (set(found) ^ set(links), [n for n in links if found.get(n) != links[n]])
        globals()[sys.argv[1]](*sys.argv[2:])
        """#

    /// As GNU tar and cpio read them.
    @Test func tarAndCpioAsTheirOwnProgramsRead() throws {
        try script(
            #"""
            reads() {
                rm -rf ref; mkdir ref; "$@" 2> /dev/null || true
                build made && is ref
            }
            for form in GNU PAX; do python3 names.py tar $form; reads tar -C ref -xf made; done
            build - < made; is ref; cat made | build -; is ref; gzip -k made; build made.gz; is ref
            for form in gnu oldgnu pax ustar v7; do
                tar -C tree --format=$form -cf made . 2> /dev/null || true; reads tar -C ref -xf made
            done
            for form in newc odc crc bin ustar; do
                (cd tree; find . -print0 | cpio --quiet -0 -o -H $form > ../made 2> /dev/null)
                reads sh -c 'cd ref; cpio -idm --quiet < ../made'
            done
            """#, seconds: 120)
    }

    /// A zip whose flag says that names are UTF-8, and one whose extra fields say so.
    @Test func zipByItsOwnRules() throws {
        try script(
            #"""
            python3 names.py zip
            build made; is ref; cat made | build -; is ref; gzip -k made; build made.gz; is ref
            rm -rf ref; mkdir ref; printf 1 > ref/$'cafe\xcc\x81'; printf 2 > ref/$'caf\xc3\xa9'
            python3 -ISc '
            import struct, zipfile, zlib
            with zipfile.ZipFile("made", "w") as z:
                for old, new in [("caf1", b"cafe\xcc\x81"), ("caf2", b"caf\xc3\xa9")]:
                    i = zipfile.ZipInfo(old); i.create_system = 3; i.external_attr = 0o100644 << 16
                    body = struct.pack("<BI", 1, zlib.crc32(old.encode())) + new
                    i.extra = struct.pack("<HH", 0x7075, len(body)) + body; z.writestr(i, b"x")
            '
            build made; is ref; cat made | build -; is ref
            """#)
    }

    /// What the project writes itself is read back by GNU tar, and by the project.
    @Test func exportsAreRightToo() throws {
        try script(
            #"""
            python3 -ISc 'f = open(b"tree/\xed\xa0\xbd\xed\xb8\x80hole", "wb"); f.seek(1 << 20); f.write(b"x")'
            build tree; is tree; "$mayfly" image export i.mayfly --tar made
            mkdir ref; tar -C ref -xf made 2> /dev/null; diff -r --no-dereference tree ref
            build made; is tree
            for end in gz bz2 xz zst lzma; do
                "$mayfly" image export i.mayfly --tar made.tar.$end
                build made.tar.$end; is tree
                # Compressed indeed, and of nothing else.
                [ "$(head -c 2 made.tar.$end)" != "$(head -c 2 made)" ]
            done
            gzip -t made.tar.gz; xz -t made.tar.xz; tar -tf made.tar.gz > /dev/null 2>&1
            if "$mayfly" image export i.mayfly --tar made.zip 2> error; then exit 1; fi
            grep -q 'would be a tar archive' error; [ ! -e made.zip ]
            """#)
    }

    /// As GNU tar says that they are out of range.
    @Test func numbersThatNoUserHasAreRefused() throws {
        try script(
            #"""
            python3 -ISc '
            import tarfile
            for name in ["uid", "gid"]:
                for number in [99999999999, 4294967295, -1, 4294967294]:
                    with tarfile.open("%s%d.tar" % (name, number), "w", format=tarfile.PAX_FORMAT) as t:
                        i = tarfile.TarInfo("file"); setattr(i, name, number); t.addfile(i)
            '
            for name in uid gid; do
                build $name"4294967294.tar"; "$mayfly" image list i.mayfly | grep -q 4294967294
                for number in 99999999999 4294967295 -1; do
                    if build $name$number.tar 2> error; then echo "$name $number"; exit 1; fi
                    grep -q "file: its .* is number $number, which cannot be: there are 0 to 4294967294" error
                done
            done
            """#)
    }
}
