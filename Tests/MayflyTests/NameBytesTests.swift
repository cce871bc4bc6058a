import InodeStore
import MayflyHost
import MayflyTestSupport
import Testing

@testable import Mayfly

/// Names, arguments and paths are bytes, from the command line to the kernel and back.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct NameBytesTests {
    @Test func textIsReversible() {
        var random = SeededGenerator(seed: 5)
        let pieces: [[UInt8]] = [
            [0xE9], Array("é".utf8), Array("e\u{301}".utf8), [0xF4, 0x8F, 0xB3, 0xA9],
            [0xED, 0xA0, 0x80],
            [0xC0, 0x80], [0xF4, 0x90, 0x80, 0x80], Array("a/".utf8), [0xF0, 0x9F], Array("😀".utf8),
            [0xFF],
        ]
        for _ in 0..<5000 {
            let bytes = (0..<random.below(6)).flatMap { _ in pieces[random.below(pieces.count)] }
            let path = PathBytes(bytes: bytes)
            #expect(PathBytes(path.text) == path)
            #expect(PathBytes(ByteText.separated(bytes)) == path)
            let isPlain = String(validating: bytes, as: UTF8.self) != nil && !bytes.contains(0xF4)
            #expect(path.text.utf8.elementsEqual(bytes) == isPlain)
        }
        #expect(PathBytes("é") != PathBytes("e\u{301}"))
        #expect(PathBytes(bytes: [0xE9]).text == "\u{10FCE9}")
    }

    /// Arguments and variables of a command are what they were.
    @Test func argumentsAndVariablesArrive() throws {
        try script(
            #"""
            export V=$'\xe9\xcc\x81=\n' E=
            args=($'\xe9' $'=\xcc\x81' $'caf\xc3\xa9' $'cafe\xcc\x81' '' $'\xf4\x8f\xb3\xa9' $'--\xff')
            show='printf "%s\0" "$@" "$V" "${E-none}" | od -An -tx1; export -p | grep -ac "^export V"'
            sh -c "$show" sh "${args[@]}" > want
            for one in run "run --report $PWD/r.json"; do
                "$mayfly" $one --quiet -- sh -c "$show" sh "${args[@]}" > got; diff want got
            done
            python3 names.py argv r.json "${args[@]}"
            printf '#!/bin/sh\nexit 7\n' > $'c\xe9'; chmod 755 $'c\xe9'
            "$mayfly" run --quiet -- "$PWD/"$'c\xe9' || [ $? = 7 ]
            PATH="$PWD:$PATH" "$mayfly" run --quiet -- $'c\xe9' || [ $? = 7 ]
            if "$mayfly" run --quiet -- $'no\xe9' 2> error; then exit 1; fi
            grep -qF "'no'\$'\\351' was not found" error
            """#)
    }

    /// Every path that a command takes, with names that are not UTF-8 or only look alike.
    @Test(arguments: [
        #"$'\xe9'"#, #"$'cafe\xcc\x81'"#, #"$'\xcc\x81 \n'"#, #"$'\xf4\x8f\xb3\xa9'"#,
    ])
    func everyPathOfEveryCommand(_ name: String) throws {
        try script(
            #"""
            n=\#(name)
            # Of another file, if names are taken for text.
            o=$'caf\xc3\xa9'; echo no > "$o.img"; echo no > "$o.tar"; mkdir "f$o" "k$o"
            mkdir "$n" "f$n" "t$n"; echo 1 > "t$n/$n"; ln -s "$n" "t$n/l"
            "$mayfly" mount --quiet "$n" -o "fsname=s$n"
            python3 names.py mounted "$n" "s$n"
            "$mayfly" list --json > list; python3 names.py listed list "$PWD/$n"
            "$mayfly" stat "$n" > /dev/null; "$mayfly" check "$n" > /dev/null; "$mayfly" resize "$n" --size 64m > /dev/null
            cp -a "t$n/." "$n/"; s=$(printf %s "$n" | tr -d ' \n')
            "$mayfly" snapshot "$n" "$s" > /dev/null; "$mayfly" snapshots "$n" --json > list; python3 names.py snapshot list "$s"
            rm "$n/$n"; "$mayfly" diff -z "$n" "$s" > got || [ $? = 1 ]; printf -- "- $n\0" > want; cmp want got
            "$mayfly" diff --json "$n" "$s" > list || [ $? = 1 ]; python3 names.py path list "$n"
            "$mayfly" rollback "$n" "$s" > /dev/null; [ "$(cat "$n/$n")" = 1 ]
            "$mayfly" snapshots "$n" --remove "$s" > /dev/null
            p=$(printf %s "$n" | tr '\n' '?')
            for path in "$n" "$PWD/$n/$n" "$n/"../"$n/$p"; do
                case $path in *..*) path="$PWD/$path";; esac
                "$mayfly" fault add "$n" --op write --path "$path" --errno EIO > /dev/null
                if echo 2 > "$n/$n"; then echo "no fault at $path"; exit 1; fi 2> /dev/null
                "$mayfly" fault list --json "$n" > list; "$mayfly" fault clear "$n" > /dev/null; echo 1 > "$n/$n"
            done
            "$mayfly" fork "$n" "f$n" > /dev/null; [ "$(cat "f$n/$n")" = 1 ]
            (cd "f$n"; "$mayfly" stat . > /dev/null); "$mayfly" umount "f$n"
            "$mayfly" save "$n" "$n.img" > /dev/null; "$mayfly" umount "$n"
            "$mayfly" image build --quiet "b$n.img" --from "t$n"
            "$mayfly" image info "$n.img" > /dev/null; "$mayfly" image check "$n.img" > /dev/null
            "$mayfly" image list -z "$n.img" "$n" | grep -qzF " $n"
            "$mayfly" image export "$n.img" --tar "$n.tar"; mkdir ref; tar -C ref -xf "$n.tar" 2> /dev/null
            diff -r --no-dereference ref "t$n"
            "$mayfly" image build --quiet "a$n.img" --from "$n.tar"
            "$mayfly" image diff --null "a$n.img" "b$n.img" | tr '\n\0' '?\n' | LC_ALL=C grep -av -e '^~ .*  (time)$' -e '^~ \.  ' && exit 1
            "$mayfly" mount --quiet "$n" --from "$n.img"; [ "$(cat "$n/$n")" = 1 ]; (cd "$n"; exec "$mayfly" umount .)
            "$mayfly" run --quiet --at "$n" --from "b$n.img" --report "$n.json" --keep "k$n" -- sh -c '
                cd "$TMPDIR" && [ "$PWD" = "$0" ] && [ "$TMPDIR" = "$0" ] && [ "$MAYFLY_ROOT" = "$0" ] && [ -e "$1" ] && exit 5' \
                "$PWD/$n" "$n" || [ $? = 5 ]
            diff -r --no-dereference "k$n" "t$n"; python3 names.py kept "$n.json" "$PWD/k$n"
            for end in tar mayfly; do
                "$mayfly" run --quiet --from "b$n.img" --keep "$n.$end" -- false || true; [ -s "$n.$end" ]
            done 2> /dev/null
            [ "$(cat "$o.img" "$o.tar")" = "$(printf 'no\nno')" ]; [ -z "$(ls "f$o" "k$o" | grep -v :)" ]
            """#)
    }

    /// Two names that a String takes for one are two.
    @Test func namesThatLookAlikeAreTwo() throws {
        try script(
            #"""
            mkdir m; "$mayfly" mount --quiet m; a=$'caf\xc3\xa9' b=$'cafe\xcc\x81'
            "$mayfly" snapshot m "$a" > /dev/null; echo 1 > m/f; "$mayfly" snapshot m "$b" > /dev/null
            "$mayfly" rollback m "$a" > /dev/null; [ ! -e m/f ]; "$mayfly" rollback m "$b" > /dev/null; [ -e m/f ]
            "$mayfly" snapshots m --remove "$b" > /dev/null; if "$mayfly" rollback m "$b" 2> /dev/null; then exit 1; fi
            "$mayfly" fault add m --op write --path "$a" --errno EIO > /dev/null; echo 1 > "m/$b"
            "$mayfly" umount m
            """#)
    }

    /// Names in lists are those of ls(1) with --quoting-style=shell-escape.
    @Test func outputIsQuotedAsLsDoes() throws {
        try script(
            #"""
            mkdir m; "$mayfly" mount --quiet m; "$mayfly" snapshot m empty > /dev/null
            python3 names.py strange m
            "$mayfly" diff m empty > diff || [ $? = 1 ]
            "$mayfly" save m i.img > /dev/null; "$mayfly" image list i.img > list; "$mayfly" image list -z i.img > null
            python3 names.py quoted m diff list null
            "$mayfly" umount m
            """#)
    }

    private func script(_ body: String, seconds: Int = 120) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"
            cat > names.py <<'PY'
            \(Self.python)
            PY
            \(body)
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    private static let python = #"""
        import json, os, random, subprocess, sys
        def raw(text):
            # What Docs/Control.md says of names in JSON.
            return os.fsencode("".join(
                chr(ord(c) - 0x10fc00 + 0xdc00) if 0x10fc80 <= ord(c) <= 0x10fcff else c for c in text))
        def read(path):
            with open(path, encoding="utf-8") as f: return f.read()
        def argv(report, *words):
            assert [raw(w) for w in json.loads(read(report))["command"]][4:] == [os.fsencode(w) for w in words]
        def kept(report, path): assert raw(json.loads(read(report))["kept"]) == os.fsencode(path)
        def mounted(path, source):
            line = [l for l in open("/proc/self/mounts", "rb") if l.split()[2] == b"fuse.mayfly"][-1].split()
            plain = lambda b: __import__("re").sub(rb"\\(\d\d\d)", lambda m: bytes([int(m[1], 8)]), b)
            assert plain(line[1]) == os.fsencode(os.path.abspath(path)), line
            assert plain(line[0]) == os.fsencode(source), line
        def listed(path, mountpoint):
            found = [raw(m["mountpoint"]) for m in json.loads(read(path))]
            assert os.fsencode(mountpoint) in found, found
        def snapshot(path, name): assert raw(json.loads(read(path))["snapshots"][0]["name"]) == os.fsencode(name)
        def path(listing, name): assert raw(json.loads(read(listing))["path"]) == os.fsencode(name)
        def strange(folder):
            random.seed(1); pieces = [bytes([b]) for b in range(1, 256) if b != 47]
            pieces += ["é".encode(), b"e\xcc\x81", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xef\xbf\xbf", b"\xf4\x8f\xb3\xa9", b"it's"] * 4
            for p in pieces:
                for n in (p, b"a" + p, p + b"a"):
                    if n not in (b".", b".."): open(os.path.join(os.fsencode(folder), n), "w").close()
            for _ in range(300):
                n = b"".join(random.choice(pieces) for _ in range(random.randint(1, 8)))
                if n not in (b".", b".."): open(os.path.join(os.fsencode(folder), n), "w").close()
        def quoted(folder, diff, listing, null):
            names = sorted(os.listdir(os.fsencode(folder)))
            ls = subprocess.run([b"ls", b"-d1U", b"--quoting-style=shell-escape", b"--", *names], check=True,
                cwd=folder, env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}, stdout=subprocess.PIPE).stdout
            want = ls.split(b"\n")[:-1]; assert len(want) == len(names)
            told = {l[2:] for l in open(diff, "rb").read().split(b"\n")[:-1] if l.startswith(b"+ ")}
            told2 = {l.split(b" ", 5)[5] for l in open(listing, "rb").read().split(b"\n")[:-1]} - {b"."}
            assert told == told2 and len(told) == len(names)
            # Of one with both an escape and a single quote ls has other words for the same.
            for name, w in zip(names, want):
                if not (b"'" in name and b"$'" in w): assert w in told, (name, w)
            sh = subprocess.run([b"bash", b"-c", b"printf '%s\\0' " + b" ".join(sorted(told))], stdout=subprocess.PIPE).stdout
            assert sorted(sh.split(b"\0")[:-1]) == names
            plain = [l.split(b" ", 5)[5] for l in open(null, "rb").read().split(b"\0")[:-1]]
            assert sorted(plain) == sorted(names + [b"."])
        globals()[sys.argv[1]](*sys.argv[2:])
        """#
}
