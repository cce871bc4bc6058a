import Testing

/// Layers, as users have them: `save --on`, mounts of them, and what is refused.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct LayerTests {
    /// `base` is an image of 28 MiB, which is more than what is copied whole, and `$XDG_DATA_HOME` is the
    /// test's own.
    private static let scene = #"""
        cd "$folder"; m=$folder/m; mkdir "$m"; export XDG_DATA_HOME=$folder/data
        trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
        fail() { echo "$*"; return 1; }
        refused() { local what=$1; shift
            if "$mayfly" "$@" > /dev/null 2> error; then echo "not refused: $*"; return 1; fi
            grep -q "^mayfly: .*$what" error || { cat error; return 1; }
        }
        on() { "$mayfly" mount "$m" --quiet --transport $transport --from "$@"; }
        off() { "$mayfly" umount "$m"; }
        same() { diff -r "$1" "$m" || fail "$1"; "$mayfly" check "$m" > checked || fail "$(cat checked)"; }
        save() { "$mayfly" save "$m" "$@" > /dev/null; }
        # Writes a word into a file and lets the checksum of its first page be right.
        cat > put.py <<'END'
        import struct, sys
        path, offset, value = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        f = open(path, "r+b"); page = bytearray(f.read(4096)); mask = (1 << 64) - 1
        struct.pack_into("<Q", page, offset, value); struct.pack_into("<Q", page, 32, 0)
        words = struct.unpack("<512Q", page); lanes = [1, 2, 3, 4]
        for i, word in enumerate(words):
            lane = (lanes[i % 4] ^ word) * 0x9E3779B97F4A7C15 & mask; lanes[i % 4] = lane ^ lane >> 29
        total = 1
        for lane in lanes: total = (total ^ lane) * 0xD6E8FEB86659FD93 & mask; total ^= total >> 32
        struct.pack_into("<Q", page, 32, total); f.seek(0); f.write(page)
        END
        python3 - <<'END'
        import os
        os.makedirs("src/d")
        for n in range(6):
            with open("src/d/large%d" % n, "wb") as f:
                for k in range(1024): f.write((b"%d.%d " % (n, k)).ljust(4096, b"x"))
        for n in range(200): open("src/d/small%d" % n, "w").write("small %d" % n)
        os.symlink("d/small100", "src/link"); os.link("src/d/small2", "src/d/again")
        END
        "$mayfly" image build base --from src --quiet
        attribute() { python3 -ISc 'import os, sys; os.setxattr(sys.argv[3], sys.argv[1], sys.argv[2].encode())' "$@"; }
        change() { echo "$1" > "$m/new$1"; head -c 300000 /dev/urandom > "$m/d/large1"; rm -f "$m/d/small$1"
            mv "$m/d/small1$1" "$m/moved$1"; attribute user.x "$1" "$m/d"; }
        keep() { rm -rf "$1"; cp -a "$m" "$1"; }

        """#

    private func run(
        _ script: String, transport: TestTransport = .best, seconds: Int = 120
    ) throws {
        try transport.require()
        let done = try BuiltCommand.script(
            "transport=\(transport.rawValue)\n" + Self.scene + script, seconds: seconds)
        #expect(done.status == 0, "\(done.report)")
    }

    /// Three layers on each other, and all of them on the lowest image, hold what was saved; forks,
    /// snapshots, rollback and diff are as on a plain image.
    @Test(arguments: TestTransport.allCases)
    func aChainHoldsWhatWasSaved(transport: TestTransport) throws {
        try run(
            #"""
            on base; change 1; keep one; save one.layer --on base; off
            [ "$(stat -c %s one.layer)" -lt 1000000 ] || fail "a layer of $(stat -c %s one.layer) bytes"
            on one.layer; same one
            change 2; keep two; save two.layer --on one.layer; save two.onbase --on base
            "$mayfly" diff "$m" > differences && fail "nothing differs"
            grep -q '^+ new2$' differences; grep -q '^- d/small2$' differences
            "$mayfly" snapshot "$m" later >/dev/null; rm -r "$m/d"
            "$mayfly" rollback "$m" later >/dev/null; same two
            mkdir f; "$mayfly" fork "$m" f >/dev/null; diff -r two f; "$mayfly" umount f
            "$mayfly" rollback "$m" start >/dev/null; same one
            off
            on two.layer; same two; change 3; keep three; save three.layer --on two.layer; save plain; off
            for image in two.layer two.onbase; do on $image; same two; off; "$mayfly" image check $image >/dev/null; done
            on three.layer; same three; off
            "$mayfly" image diff three.layer plain
            "$mayfly" image flatten three.layer alone --quiet; "$mayfly" image check alone > /dev/null
            "$mayfly" image diff three.layer alone
            "$mayfly" image list three.layer moved3 > /dev/null
            "$mayfly" image export three.layer --tar - | tar -tf - | grep -q moved3
            mkdir elsewhere; mv alone elsewhere; mv base one.layer two.layer three.layer elsewhere
            on elsewhere/three.layer; same three; off; rm elsewhere/base; on elsewhere/alone; same three; off
            """#, transport: transport)
    }

    @Test func whatItSaysOfItself() throws {
        try run(
            #"""
            on base; change 1; save one --on base; off; on one; change 2; save two --on one --json
            "$mayfly" save "$m" again --on one --json | tr -d ' \n' > said
            grep -q '"base":"sha256:[0-9a-f]*"' said; grep -q '"pageBytes":[0-9]' said; off
            digest() { head -c 4096 $1 | sha256sum | cut -d ' ' -f 1; }
            "$mayfly" image inspect two > told
            grep -q "^digest   sha256:$(digest two)$" told || fail "$(cat told)"
            grep -q "^base     one, sha256:$(digest one)$" told || fail "$(cat told)"
            grep -q "^base     base, sha256:$(digest base)$" told || fail "$(cat told)"
            "$mayfly" image inspect base --json | tr -d ' \n' | grep -q '"bases":\[\]'
            """#.replacing("--json\n            \"$mayfly\"", with: "\n            \"$mayfly\""))
    }

    /// A mount that has nothing to do with the base is compared with it, page by page.
    @Test func anyMountCanBeSavedOnAnyImage() throws {
        try run(
            #"""
            mkdir other; cp -a src/d other/e; echo x > other/x
            "$mayfly" mount "$m" --quiet; cp -a other/. "$m"; save o.layer --on base
            "$mayfly" snapshot "$m" >/dev/null; echo y > "$m/y"; keep now; save o2.layer --on base; off
            on o.layer; same other; save p.layer --on o2.layer; off
            on o2.layer; same now; off; on p.layer; same other; off
            "$mayfly" image build b.layer --on base --from src --quiet
            [ "$(stat -c %s b.layer)" -lt 200000 ] || fail "the same tree takes $(stat -c %s b.layer) bytes"
            on b.layer; same src; off
            "$mayfly" image build c.layer --on base --from other --quiet; on c.layer; same other; off
            """#)
    }

    /// A base that is missing, or that is not what it was, is named.
    @Test func aBaseThatIsNotThereIsNamed() throws {
        try run(
            #"""
            on base; change 1; keep one; save one.layer --on base; off
            mkdir away; mv base away/kept; refused 'layer on base (sha256:[0-9a-f]*), which is neither beside it' mount m --from one.layer
            for command in "image check" "image info" "image list"; do
                refused 'layer on base (sha256:' $command one.layer; done
            cp --preserve=timestamps away/kept under-another-name; on one.layer; same one; off; rm under-another-name
            "$mayfly" image build base --from src/d --quiet
            refused 'layer on base (sha256:[0-9a-f]*), and .*base is another' mount m --from one.layer
            # A byte of what a file holds, behind what a mount of the plain image looks at.
            cp away/kept base; on one.layer; off
            printf X | dd of=base bs=1 seek=12000000 conv=notrunc status=none
            refused 'layer on base, which is not what it was' mount m --from one.layer
            # With the time put back.
            cp away/kept base; touch -d 2001-01-01 base; on one.layer; off
            printf X | dd of=base bs=1 seek=12000000 conv=notrunc status=none; touch -d 2001-01-01 base
            refused 'layer on base, which is not what it was' mount m --from one.layer
            truncate -s 8M base; refused 'layer on base\|base is truncated' mount m --from one.layer
            : > base; refused 'layer on base (sha256' mount m --from one.layer
            rm base; mkfifo base; refused 'layer on base (sha256' mount m --from one.layer
            rm base; mkdir base; refused 'layer on base (sha256' mount m --from one.layer
            """#)
    }

    /// Layers that lie, with all checksums right where somebody can make them so.
    @Test func aDamagedLayerIsRefused() throws {
        try run(
            #"""
            on base; change 1; save good --on base; off
            put() { cp good bad; python3 put.py bad "$@"; }
            put 24 4194304; refused 'damaged layer' mount m --from bad
            put 48 2; refused 'damaged layer (.*base is not as many layers' mount m --from bad
            put 48 99; refused 'damaged layer (it says that it is layer 99' mount m --from bad
            put 40 1152921504606846976; refused 'damaged layer (its table' mount m --from bad
            put 56 18446744073709547520; refused 'damaged layer (its table' mount m --from bad
            put 8 7; refused 'layer of format 7' mount m --from bad
            put 16 0; refused 'never finished' mount m --from bad
            put 256 791555631; refused 'no name of a file' mount m --from bad
            put 64 1; refused 'layer on base (sha256' mount m --from bad
            for at in 5000 100000 $(($(stat -c %s good) - 10)); do
                cp good bad; printf '\377\376' | dd of=bad bs=1 seek=$at conv=notrunc status=none
                refused 'damaged layer\|bad is damaged' mount m --from bad
                refused 'damaged layer\|bad is damaged' image check bad
            done
            cp good bad; truncate -s 9000 bad; refused 'bad is truncated' mount m --from bad
            cp good bad; truncate -s +4096 bad; refused 'bad is too long' mount m --from bad
            head -c 100 good > bad; refused 'not a mayfly image' image check bad
            # A layer that is its own base, by name, is no way to hang.
            mkdir away; mv base away; cp good base; refused 'layer on base (sha256' mount m --from good; mv away/base base
            on good; off
            """#)
    }

    /// While it is mounted: what was not read yet is an error, and never something else.
    @Test(arguments: ["base", "one.layer"])
    func aFileThatIsChangedLaterIsAnError(file: String) throws {
        try run(
            #"""
            on base; change 1; cp src/d/large2 "$m/d/large5"; keep one; save one.layer --on base; off; on one.layer
            printf X | dd of=FILE bs=1 seek=$(($(stat -c %s FILE) / 2)) conv=notrunc status=none
            for n in 0 1 2 3 4 5; do
                if cat "$m/d/large$n" > read 2> errors; then cmp read one/d/large$n || fail "a wrong answer"
                else grep -q 'Input/output error' errors; eio=1; fi
            done
            [ "$eio" ] || fail "no error"
            diff -r --exclude='large*' one "$m"
            "$mayfly" stat "$m" | grep -q 'one.layer: changed' || fail "stat"
            refused 'was changed' save m s.img; refused 'was changed\|not what it was\|damaged' save m s.layer --on base
            off
            """#.replacing("FILE", with: file))
    }

    /// The pages of the base are in memory once, however many mounts of its layers there are, and a
    /// mount reads none of them before it is asked.
    @Test func theBaseIsReadOnceAndLate() throws {
        try run(
            #"""
            on base; change 1; save one.layer --on base; off
            on one.layer; off
            cached() { fincore --bytes --noheadings --output RES base | tr -d ' '; }
            command -v fincore > /dev/null || exit 0
            sync base; dd if=base iflag=nocache count=0 status=none
            before=$(cached); on one.layer; after=$(cached)
            [ $((after - before)) -lt 12000000 ] || fail "a mount has read $((after - before)) bytes of the base"
            off
            """#)
    }

    /// An attribute that is too long for small units lies among the pages of content, in a layer and in
    /// a plain image.
    @Test func longAttributesAreFound() throws {
        try run(
            #"""
            on base; value=$(head -c 20000 /dev/zero | tr '\0' v); attribute user.long "$value" "$m/d"
            attribute user.other "${value}w" "$m/d/large3"; save plain; save layer --on base; off
            for image in plain layer; do
                on $image; python3 -ISc 'import os, sys; assert os.getxattr("m/d", "user.long").decode() == sys.argv[1]' "$value"
                same src; off
            done
            """#)
    }

    /// What a check has found is noted, and believed for as long as no file is another than it was.
    @Test func notesAreBelievedNoFurther() throws {
        try run(
            #"""
            on base; change 1; keep one; save one.layer --on base; off
            known=$folder/data/mayfly/known; on one.layer; off; note=$(ls $known/*.maps)
            [ "$(wc -l < $note)" -gt 2 ] || fail "no maps are noted"
            # Of what is noted nothing is looked at again; of a note that was changed, nothing is believed.
            on one.layer; same one; off
            for change in 's/ /  /' '2s/^./x/' '3,$d' '$s/$/1/' '1s/^/1/'; do
                cp $note kept; sed -i "$change" $note; on one.layer; same one; off
                cmp -s kept $note || fail "the note is not made anew after $change"
            done
            : > $note; on one.layer; same one; off; head -c 100000 /dev/urandom > $note; on one.layer; same one; off
            chmod 777 $folder/data/mayfly; on one.layer; same one; off; chmod 700 $folder/data/mayfly
            # A word of a directory, behind what a layer says of it.
            at=$(python3 -ISc 'print(open("base", "rb").read().index(b"small199"))')
            cp base whole; printf X | dd of=base bs=1 seek=$at conv=notrunc status=none
            refused 'not what it was' mount m --from one.layer
            cat whole > base; on one.layer; same one; off
            cp one.layer two.layer; printf X | dd of=two.layer bs=1 seek=20000 conv=notrunc status=none
            cat two.layer > one.layer; refused 'damaged' mount m --from one.layer
            """#)
    }
}
