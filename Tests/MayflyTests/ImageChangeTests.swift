import Testing

/// An image belongs to whoever may write its file: what a mount of it does when somebody does.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ImageChangeTests {
    /// `$folder/i.img` is an image of 24 MiB, which is more than what is copied whole, and mounted on
    /// `$m`. `other.img` is another of the same size.
    private static let scene = #"""
        m=$folder/m; mkdir "$m"; cd "$folder"
        trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
        fail() { echo "$*"; return 1; }
        python3 - <<'END'
        import os
        for tree in ("src", "other"):
            os.mkdir(tree); os.mkdir(tree + "/d"); letter = tree[0].encode()
            for n in range(6):
                with open("%s/d/large%d" % (tree, n), "wb") as f:
                    for k in range(1024): f.write((b"%s%d.%d " % (letter, n, k)).ljust(4096, letter))
            for n in range(50): open("%s/d/small%d" % (tree, n), "w").write("%s %d" % (tree, n))
            os.symlink("d/small1", tree + "/link")
        END
        "$mayfly" image build i.img --from src --quiet; "$mayfly" image build other.img --from other --quiet
        mount_it() { "$mayfly" mount "$m" --from i.img >/dev/null; }
        # What is still whole, and what is not, once the file is another.
        judge() {
            diff -r --exclude='large*' src "$m" || fail "small files and names"
            cmp private "$m/d/large0" || fail "what was private"
            for n in 1 2 3 4 5; do
                if cat "$m/d/large$n" > read 2> errors; then cmp read "src/d/large$n" || fail "a wrong answer"
                else grep -q 'Input/output error' errors || fail "$(cat errors)"; eio=1; fi
            done
            test "$eio" || fail "no error at all"
            "$mayfly" stat "$m" | grep -q 'i.img: changed' || fail "stat"
            "$mayfly" stat "$m" --json | tr -d ' \n' | grep -q '"isChanged":true' || fail "stat --json"
            if "$mayfly" check "$m" > checked; then fail "sound"; fi
            grep -q 'image .*i.img was changed' checked || fail "check: $(cat checked)"
            if "$mayfly" save "$m" s.img 2> refused; then fail "saved"; fi; grep -q 'was changed' refused
            if dd if=/dev/zero of="$m/d/large3" bs=100 count=1 conv=notrunc 2> refused; then fail "written"; fi
            head -c 4194304 /dev/zero > "$m/d/large3"; head -c 4194304 /dev/zero | cmp - "$m/d/large3"
            echo new > "$m/new"; test "$(cat "$m/new")" = new; rm "$m/d/large4"
            "$mayfly" umount "$m"
        }
        begin() { mount_it; head -c 4194304 /dev/urandom > private; cp private "$m/d/large0"; }
        """#

    private func run(_ script: String) throws {
        let done = try BuiltCommand.script(Self.scene + "\n" + script, seconds: 120)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
    }

    @Test(arguments: [
        "truncate -s 4M i.img", "truncate -s 0 i.img", "cp other.img i.img",
        "cat other.img > i.img",
        // In place, and with the old time put back.
        "touch -r i.img t; dd if=other.img of=i.img bs=1M conv=notrunc status=none; touch -r t i.img",
        "fallocate -p -o 4M -l 16M i.img",
        // Through a mapping of the file.
        "python3 -c 'import mmap; f = open(\"i.img\", \"r+b\"); mmap.mmap(f.fileno(), 0)[4 << 20:20 << 20] = b\"z\" * (16 << 20)'",
    ])
    func aChangedImageIsAnErrorAndNoWrongAnswer(change: String) throws {
        try run("begin\n\(change)\njudge")
    }

    /// While it is read all the time: whatever is answered is from before, or an error.
    @Test func noReadSeesTheChange() throws {
        try run(
            #"""
            begin
            (while :; do for n in 1 2 3 4 5; do
                dd if="$m/d/large$n" of=read bs=1M iflag=direct status=none 2>/dev/null || continue
                cmp -s read "src/d/large$n" || { echo "large$n" > wrong; exit; }
            done; done) & p=$!
            sleep 0.5; dd if=other.img of=i.img bs=64k conv=notrunc status=none; sleep 0.5
            kill $p; wait $p || true; test ! -e wrong || fail "a wrong answer: $(cat wrong)"
            judge
            """#)
    }

    @Test func aReplacedImageIsAnotherFile() throws {
        try run(
            #"""
            begin; "$mayfly" save "$m" i.img >/dev/null; mv i.img moved.img; cp other.img i.img
            chmod 600 moved.img; mv other.img i.img
            for n in 1 2 3 4 5; do cmp "src/d/large$n" "$m/d/large$n"; done
            "$mayfly" stat "$m" --json | tr -d ' \n' | grep -q '"isChanged":false'; "$mayfly" check "$m"
            "$mayfly" rollback "$m" >/dev/null; diff -r src "$m"; "$mayfly" check "$m"
            "$mayfly" save "$m" again.img >/dev/null; "$mayfly" image check again.img; "$mayfly" umount "$m"
            """#)
    }

    /// Of an image up to 16 MiB all is copied.
    @Test func aSmallImageIsTheMountsOwn() throws {
        try run(
            #"""
            rm src/d/large[1-5]; "$mayfly" image build i.img --from src --quiet; mount_it
            cat other.img > i.img; diff -r src "$m"; "$mayfly" check "$m"
            "$mayfly" rollback "$m" >/dev/null; diff -r src "$m"; "$mayfly" umount "$m"
            """#)
    }

    /// Forks and rollbacks have the same image below them.
    @Test func forksNoteItToo() throws {
        try run(
            #"""
            begin; mkdir f; "$mayfly" fork "$m" f >/dev/null
            truncate -s 4M i.img
            if cat f/d/large5 > read 2> errors; then fail "the fork reads"; fi
            cmp private f/d/large0; "$mayfly" umount f
            "$mayfly" rollback "$m" >/dev/null; diff -r --exclude='large*' src "$m"
            if cat "$m/d/large5" > read; then fail "the mount reads"; fi; "$mayfly" umount "$m"
            """#)
    }

    /// Words of every kind are changed, with the first page's checksum right: refused, or served.
    @Test(arguments: [1, 2])
    func aDamagedImageIsRefusedOrServed(seed: Int) throws {
        try run(
            #"""
            cat > mutate.py <<'END'
            import random, struct, sys
            random.seed(int(sys.argv[1])); data = bytearray(open("i.img", "rb").read())
            pages = [p for p in range(0, len(data), 4096) if any(data[p:p + 4096]) and p // 4096 > 0]
            meta = [p for p in pages if data[p + 100:p + 110] not in (b"s" * 10, b"o" * 10)]
            for k in range(random.choice([1, 2, 8])):
                page = random.choice(meta); at = page + 8 * random.randrange(512)
                value = random.choice([0, 2**64 - 1, 2**63, random.getrandbits(64), random.choice(pages),
                    struct.unpack_from("<Q", data, at)[0] ^ 1 << random.randrange(64)])
                struct.pack_into("<Q", data, at, value)
            open("bad.img", "wb").write(data)
            END
            refused=0
            for n in $(seq 12); do
                python3 mutate.py $((n + 1000 * \#(seed)))
                if "$mayfly" mount "$m" --from bad.img > out 2>&1; then
                    timeout 20 find "$m" -ls > /dev/null 2>&1 || true
                    timeout 20 cat "$m"/d/* > /dev/null 2>&1 || true
                    (cd "$m/d"; timeout 20 rm -f small1* large2; echo x > new; mkdir -p e; mv small2 e/) 2>/dev/null || true
                    "$mayfly" stat "$m" >/dev/null || fail "the server has ended, $n"; "$mayfly" umount "$m"
                else
                    grep -q 'is damaged\|mayfly: bad.img' out || fail "$n: $(cat out)"; refused=$((refused + 1))
                fi
            done
            test $refused -gt 0 || fail "none was refused"
            """#)
    }
}
