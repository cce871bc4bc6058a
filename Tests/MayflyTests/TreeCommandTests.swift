import Testing

@testable import Mayfly

/// Whole trees in a mount that lives: `mayfly unpack`, `copy` and `remove`.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct TreeCommandTests {
    /// - Parameter body: with a mount on `m`, beside a tmpfs on `t`.
    private func script(
        _ transport: TestTransport = .best, _ body: String, options: String = "",
        seconds: Int = 120
    ) throws {
        try transport.require()
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m t; mount -t tmpfs -o mode=1777 t t
            trap 'set +e; cd /; umount -l "$folder/t" "$folder/m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
            # Everything that can be seen of a tree, but for what every new tree has of its own.
            cat > seen.py <<'EOF'
            import hashlib, os, stat, sys
            def seen(top):
                top = os.fsencode(top); first = {}
                names = sorted(os.path.join(d, n) for d, ds, fs in os.walk(top) for n in ds + fs)
                for path in names:
                    s = os.lstat(path); name = os.path.relpath(path, top)
                    line = [name, oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev]
                    if not stat.S_ISDIR(s.st_mode):
                        line += [s.st_size, s.st_nlink, first.setdefault(s.st_ino, name)]
                    if stat.S_ISREG(s.st_mode):
                        line.append(hashlib.md5(open(path, 'rb').read()).hexdigest())
                        f = os.open(path, os.O_RDONLY); at = 0
                        while at < s.st_size:
                            try: data = os.lseek(f, at, os.SEEK_DATA)
                            except OSError: break
                            at = os.lseek(f, data, os.SEEK_HOLE); line.append((data, at))
                        os.close(f)
                    if stat.S_ISLNK(s.st_mode): line.append(os.readlink(path))
                    line.append(sorted((x, os.getxattr(path, x, follow_symlinks=False))
                                       for x in os.listxattr(path, follow_symlinks=False)))
                    print(line)
            seen(sys.argv[1])
            EOF
            seen() { python3 seen.py "$1"; }
            attribute() { python3 -ISc 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())' "$@"; }
            same() { seen "$1" > one; seen "$2" > two; cmp one two || { diff one two | head -20; return 1; }; }
            # Of a mount, when nothing that was removed waits to be freed.
            used() { df --output=iused,used -B4096 "$1" | tail -1 | tr -s ' '; }
            sound() { "$mayfly" check m > sound || { cat sound; return 1; }; grep -q ' 0 without a name' sound || { cat sound; return 1; }; }
            refused() { local what=$1 code=0; shift
                "$@" > /dev/null 2> error || code=$?
                [ $code = 1 ] || [ $code = 32 ] || { echo "not refused but $code: $*"; cat error; return 1; }
                grep -qF -- "$what" error && [ "$(wc -l < error)" = 1 ] || { cat error; return 1; }
            }
            # A tree with something of everything.
            make_tree() {
                mkdir -p "$1/a/b/c" "$1/empty" "$1/set"; printf hello > "$1/a/f"
                head -c 300000 /dev/urandom > "$1/a/b/large"; head -c 1500 /dev/urandom > "$1/a/b/c/small"
                ln "$1/a/f" "$1/a/b/link"; ln -s ../f "$1/a/b/soft"; ln -s "$(printf 'x%.0s' $(seq 200))" "$1/far"
                mkfifo "$1/fifo"; mknod "$1/null" c 1 3; : > "$1/none"; touch "$(printf "$1/n\351\n\tame")"
                truncate -s 5M "$1/hole"; printf end | dd of="$1/hole" bs=1 seek=3000000 conv=notrunc status=none
                chmod 4755 "$1/a/f"; chmod 2750 "$1/set"; chmod 1777 "$1/empty"; chown 12:34 "$1/a/b/large" "$1/a/b/c"
                long=$1; for i in $(seq 12); do long=$long/$(printf 'l%.0s' $(seq 100)); done; mkdir -p "$long"; : > "$long/f"
                touch -h -d '2001-02-03 04:05:06.789' "$1/a/f" "$1/far" "$1/hole" "$1/none"
                find "$1" -depth -type d -exec touch -d '2002-03-04 05:06:07.5' {} +
            }
            "$mayfly" mount --quiet --transport \#(transport.rawValue) m \#(options)
            \#(body)
            sound
            "$mayfly" umount m; umount t
            """#, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test(arguments: TestTransport.allCases) func aTreeIsWhatTarMakesOfIt(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            make_tree t/from; attribute t/from/a trusted.y 2
            tar -C t --xattrs --xattrs-include='*' --acls --sparse --format=pax -cf t.tar from
            [ "$("$mayfly" unpack t.tar m 2>&1 | cut -d, -f1)" = "mayfly: unpacked $(find t/from -printf x | wc -c) entries" ]
            same t/from m/from
            # Into a directory that is not there, and of a stream that is compressed.
            gzip < t.tar | "$mayfly" unpack - m/new --strip-components 1 --quiet; same t/from m/new
            "$mayfly" unpack t.tar m/part --exclude 'b' --exclude '*/l*' --exclude hole -v > listed
            [ ! -e m/part/from/a/b ] && [ ! -e m/part/from/hole ] && [ -e m/part/from/a/f ]
            grep -q '^from/a/f$' listed; ! grep -q 'from/a/b\|hole' listed; [ $(wc -l < listed) -gt 8 ]
            # As often as one likes, with the same result.
            "$mayfly" unpack --quiet t.tar m; same t/from m/from
            refused 'no archive' "$mayfly" unpack t m/new; refused 'there is no directory' "$mayfly" unpack t.tar m/x/y
            refused 'cannot be read' "$mayfly" unpack nothing.tar m; refused 'not in a mayfly mount' "$mayfly" unpack t.tar t
            """#.replacing("'no archive'", with: "'`mayfly copy` copies it'")
                .replacing(
                    "refused 'there is no directory'", with: "refused 'not in a mayfly mount'"))
    }

    @Test(arguments: TestTransport.allCases) func aCopyIsWhatCpMakesOfIt(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            make_tree t/from; attribute t/from/a/f security.x 1; attribute t/from/empty trusted.y 2
            "$mayfly" copy t/from m; same t/from m/from
            "$mayfly" copy -a t/from/ m/other; same t/from m/other
            mkdir m/into; "$mayfly" copy t/from/. m/into --quiet; same t/from m/into
            # Within the mount: files, links, directories, and what has changed since.
            "$mayfly" copy m/from m/again; same t/from m/again
            printf more >> m/again/a/f; [ "$(cat m/from/a/f m/from/a/b/link)" = hellohello ]
            "$mayfly" copy m/from/a/b/large m/from/far m/from/null m/into; cmp m/into/large t/from/a/b/large
            [ "$(readlink m/into/far)" = "$(readlink t/from/far)" ]; [ "$(stat -c %t:%T m/into/null)" = 1:3 ]
            # Single files from outside.
            "$mayfly" copy t/from/a/f m/single; [ "$(cat m/single)" = hello ]; [ "$(stat -c %a,%Y m/single)" = "$(stat -c %a,%Y t/from/a/f)" ]
            "$mayfly" copy -T t/from m/exact --exclude 'l*'; [ ! -e m/exact/a/b/large ]; [ -e m/exact/a/f ]
            "$mayfly" copy t/from m/into2 -x --json | python3 -ISc 'import json, sys; assert json.load(sys.stdin)["entries"] > 20'
            refused 'into itself' "$mayfly" copy m/from m/from/a; refused 'there is no' "$mayfly" copy t/nothing m
            refused 'is no directory' "$mayfly" copy t/from t/from/a m/single2
            """#)
    }

    /// A copy shares its pages, and reads and changes as one that does not.
    @Test(arguments: TestTransport.allCases) func aCopyWithinCostsNoContent(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            memory() { "$mayfly" stat m --json | python3 -ISc 'import json, sys; print(json.load(sys.stdin)["memory"]["arenaBytes"] >> 20)'; }
            mkdir m/a; head -c 64M /dev/urandom > m/a/large; head -c 5000 /dev/urandom > m/a/f; cp -a m/a t/a
            before=$(memory); for i in 1 2 3 4; do "$mayfly" copy -T --quiet m/a m/b$i; done
            [ $(($(memory) - before)) -le 8 ] || { echo "$before and $(memory) MiB"; exit 1; }
            [ "$(stat -c %b m/b1/large)" = "$(stat -c %b m/a/large)" ]
            same t/a m/b3; printf changed | dd of=m/b3/large bs=1 seek=1000000 conv=notrunc status=none
            printf changed | dd of=t/a/large bs=1 seek=1000000 conv=notrunc status=none
            cmp t/a/large m/b3/large; cmp m/a/large m/b4/large; if cmp -s m/a/large m/b3/large; then exit 1; fi
            # cp(1) asks for a copy of ranges, which shares pages, too.
            before=$(memory); cp m/a/large m/c; [ $(($(memory) - before)) -le 8 ]; cmp m/c m/a/large
            # An image has them once, and a mount of it goes on.
            "$mayfly" snapshot m s > /dev/null; "$mayfly" save m image > /dev/null; [ "$(stat -c %s image)" -lt 120000000 ]
            "$mayfly" image check image > /dev/null; mkdir i; "$mayfly" mount --quiet i --from image
            echo new > i/b3/large; cmp i/c m/a/large; rm i/a/large; cmp i/b2/large i/b1/large; "$mayfly" check i > /dev/null; "$mayfly" umount i
            rm -r m/a m/b1 m/c; cmp t/a/large m/b3/large; truncate -s 5 m/b4/large; "$mayfly" rollback m s > /dev/null
            cmp m/b4/large m/a/large; "$mayfly" remove m/a m/b1 m/b2 m/b3; cmp m/c m/b4/large
            """#, options: "--size 1g", seconds: 240)
    }

    /// What a program has stored in a mapping is copied, written back or not.
    @Test func whatIsMappedIsCopied() throws {
        try script(
            .best,
            #"""
            mkdir o; "$mayfly" mount --quiet o; trap 'set +e; cd /; umount -l "$folder/o" "$folder/t" "$folder/m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
            # The end of a process, and a fork, would write back what is mapped.
            mkdir m/d; mkfifo go done; python3 -ISc '
            import mmap, os
            f = os.open("m/d/f", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 8192); m = mmap.mmap(f, 8192)
            for number in range(2):
                open("go").read(); m[5000:5001] = bytes([65 + number]); open("done", "w").write("x")
            open("go").read()
            ' & holder=$!
            number=65
            for target in m/e o/e; do
                # Newer kernels begin to write back when they are asked, and do not wait for it.
                echo > go; cat done > /dev/null; "$mayfly" copy --quiet -T m/d $target-first; sleep 1; "$mayfly" copy --quiet -T m/d $target
                python3 -ISc 'import sys; sys.exit(open(sys.argv[1], "rb").read()[5000] != int(sys.argv[2]))' $target/f $number
                number=$((number + 1))
            done
            echo > go; wait $holder
            "$mayfly" umount o
            """#)
    }

    /// Between two mounts their servers pass a tree on: nothing is asked for in the source.
    @Test(arguments: TestTransport.allCases) func aCopyBetweenTwoMounts(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            mkdir o; "$mayfly" mount --quiet o; trap 'set +e; cd /; umount -l "$folder/m/from/empty" "$folder/o" "$folder/t" "$folder/m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
            asked() { "$mayfly" stat m --json | python3 -ISc 'import json, sys; print(sum(o["count"] for o in json.load(sys.stdin)["operations"] if o["name"] in ("read", "readdirplus", "getxattr", "listxattr")))'; }
            make_tree t/from; attribute t/from/a/f security.x 1; attribute t/from/empty trusted.y 2; cp -a t/from m; same t/from m/from
            "$mayfly" snapshot m s > /dev/null; "$mayfly" rollback m s > /dev/null; before=$(asked)
            "$mayfly" copy m/from o; [ "$(asked)" = "$before" ]; same t/from o/from
            "$mayfly" copy -T m/from/ o/other --exclude 'l*'; [ ! -e o/other/a/b/large ]; [ -e o/other/a/f ]
            "$mayfly" copy --quiet m/from/a/f m/from/far m/from/null o; [ "$(cat o/f)" = hello ]; [ "$(readlink o/far)" = "$(readlink t/from/far)" ]; [ "$(stat -c %t:%T o/null)" = 1:3 ]
            "$mayfly" copy --quiet -T m/from/a/b/large o/renamed; cmp o/renamed t/from/a/b/large
            # Back, into what is there; and what cannot be had changes nothing.
            printf more > o/from/a/f; "$mayfly" copy --quiet o/from/. m/from; [ "$(cat m/from/a/f)" = more ]
            "$mayfly" copy --json m/from o | python3 -ISc 'import json, sys; s = json.load(sys.stdin); assert s["entries"] > 20 and s["contentBytes"] > 300000, s'
            mkdir small; "$mayfly" mount --quiet --size 100k small; refused 'No space' "$mayfly" copy m/from small; [ -z "$(ls -A small)" ]; "$mayfly" check small > /dev/null; "$mayfly" umount small
            # What is mounted in it is read as by cp(1).
            mount -t tmpfs inner m/from/empty; echo in > m/from/empty/in; "$mayfly" copy --quiet -T m/from o/with; [ "$(cat o/with/empty/in)" = in ]
            "$mayfly" copy --quiet -x -T m/from o/without; [ ! -e o/without/empty/in ]; umount m/from/empty
            "$mayfly" check o > /dev/null; "$mayfly" umount o
            """#)
    }

    /// What comes joins what is there, and replaces files, all at one moment.
    @Test(arguments: TestTransport.allCases) func whatIsThereIsJoined(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            mkdir -p t/x/d/e m/x/d/old; echo new > t/x/d/f; echo new > t/x/d/e/g; echo old > m/x/d/f; echo kept > m/x/d/old/h
            chmod 751 t/x/d; ln m/x/d/f m/link; exec 5< m/x/d/f
            # What the kernel knows by now is not what it sees afterwards.
            [ "$(ls m/x/d)" = "$(printf 'f\nold')" ]; [ ! -e m/x/d/e ]; [ "$(stat -c %h m/link)" = 2 ]
            "$mayfly" copy --quiet t/x m
            [ "$(ls m/x/d)" = "$(printf 'e\nf\nold')" ]; [ "$(cat m/x/d/f m/x/d/e/g m/x/d/old/h)" = "$(printf 'new\nnew\nkept')" ]
            [ "$(stat -c %a m/x/d)" = 751 ]; [ "$(stat -c %h m/link)" = 1 ]; [ "$(cat <&5)" = old ]; [ "$(stat -L -c %h /proc/self/fd/5)" = 1 ]
            exec 5<&-
            # Or leaves it alone.
            echo newer > t/x/d/f; echo add > t/x/d/i; "$mayfly" copy --quiet --keep-old t/x m; [ "$(cat m/x/d/f m/x/d/i)" = "$(printf 'new\nadd')" ]
            # A file and a directory do not replace each other, and then nothing is done.
            mkdir t/x/zz; echo 1 > t/x/zz/f; rm t/x/d/f; mkdir t/x/d/f; seen m > before
            refused 'is in the way' "$mayfly" copy t/x m; seen m > after; cmp before after
            rmdir t/x/d/f; echo f > t/x/d/f; rm -r m/x/d/i; mkdir m/x/d/i; seen m > before
            refused 'is in the way' "$mayfly" copy t/x m; seen m > after; cmp before after
            rmdir m/x/d/i; chattr +i m/x/d; refused 'chattr(1)' "$mayfly" copy t/x m; chattr -i m/x/d
            [ ! -e m/x/zz ]
            """#)
    }

    /// What cannot be whole is not there, and takes nothing.
    @Test(arguments: TestTransport.allCases) func nothingIsThereByHalf(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            mkdir m/keep; echo k > m/keep/k; before=$(used m); seen m > seen.before
            unchanged() { seen m > seen.after; cmp seen.before seen.after; until_true '[ "$(used m)" = "'"$before"'" ]'; }
            # Too large, in pages and in inodes.
            mkdir t/big; for i in $(seq 40); do head -c 1M /dev/urandom > t/big/$i; done; tar -C t --format=pax -cf big.tar big
            refused 'mayfly resize' "$mayfly" unpack big.tar m; unchanged
            refused 'mayfly resize' "$mayfly" copy t/big m; unchanged
            mkdir t/many; (cd t/many; seq 3000 | xargs touch); refused 'mayfly resize' "$mayfly" copy t/many m; unchanged
            # Cut, damaged, or leading out of the tree.
            mkdir t/some; (cd t/some; for i in $(seq 200); do head -c 20000 /dev/urandom > $i; done); tar -C t --format=pax -cf some.tar some
            head -c 3000000 some.tar > cut.tar; refused 'cut.tar' "$mayfly" unpack cut.tar m; unchanged
            xz -0 < some.tar > some.txz; printf xxxx | dd of=some.txz bs=1 seek=200000 conv=notrunc status=none
            refused 'some.txz' "$mayfly" unpack some.txz m; unchanged
            tar -C t -P --transform 's,some/5,../out,' -cf out.tar some; refused 'leads out' "$mayfly" unpack out.tar m; unchanged
            # The command dies, or is stopped, in the middle.
            mkfifo pipe
            (head -c 2000000 some.tar; exec sleep 1000) > pipe & feeder=$!
            "$mayfly" unpack - m < pipe & sender=$!
            until_true '[ "$(used m)" != "'"$before"'" ]'; seen m > seen.after; cmp seen.before seen.after
            kill -KILL $sender; wait $sender || true; kill $feeder; wait $feeder || true; unchanged
            # A fault rule hits it as it hits each call.
            "$mayfly" fault add m --op create --errno EIO --path some/77 > /dev/null; refused 'EIO' "$mayfly" unpack some.tar m; unchanged
            "$mayfly" fault clear m > /dev/null; "$mayfly" unpack --quiet some.tar m; same t/some m/some
            """#.replacing("refused 'EIO'", with: "refused 'a fault rule'"),
            options: "--size 24m --inodes 1000")
    }

    /// A tree on its way is in no snapshot, fork or image; what goes back takes it away.
    @Test(arguments: TestTransport.allCases) func snapshotsHoldNoHalfTree(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            mkdir t/some fork; (cd t/some; for i in $(seq 200); do mkdir d$i; head -c 20000 /dev/urandom > d$i/$i; done); tar -C t --format=pax -cf some.tar some
            echo 1 > m/f; seen m > seen.before; before=$(used m); mkfifo pipe
            begin() {
                (head -c 3000000 some.tar; until [ -e goon ]; do sleep 0.05; done; tail -c +3000001 some.tar) > pipe & feeder=$!
                "$mayfly" unpack --quiet - m < pipe 2> error & sender=$!
                until_true '[ "$(used m)" != "'"$before"'" ]'
            }
            begin
            "$mayfly" check m > sound
            "$mayfly" snapshot m one; "$mayfly" fork m fork; seen fork > seen.fork; cmp seen.before seen.fork
            [ "$(df --output=iused fork | tail -1)" -lt 10 ]; "$mayfly" check fork | grep -q ' 0 without'; "$mayfly" umount fork
            "$mayfly" save m m.mayfly > /dev/null; "$mayfly" image check m.mayfly; [ "$("$mayfly" image list m.mayfly | wc -l)" = 2 ]
            [ -z "$("$mayfly" diff m one)" ]
            # Clients go on, and it is there whole at the end.
            echo 2 > m/g; : > goon; wait $sender; wait $feeder; same t/some m/some; [ "$(cat m/f m/g)" = "$(printf '1\n2')" ]
            "$mayfly" diff m one | grep -q some/d7/7
            "$mayfly" rollback m one > /dev/null; seen m > seen.after; cmp seen.before seen.after; [ ! -e m/some ]; "$mayfly" check m
            until_true '[ "$(used m)" = "'"$before"'" ]'
            # To a snapshot from before, and to one that was taken while the tree grew.
            for name in one two; do
                rm goon; begin; if [ $name = two ]; then "$mayfly" snapshot m two; fi
                "$mayfly" rollback m $name > /dev/null; : > goon; ! wait $sender; wait $feeder || true
                grep -q 'rolled back meanwhile' error; seen m > seen.after; cmp seen.before seen.after; "$mayfly" check m
                until_true '[ "$(used m)" = "'"$before"'" ]'
            done
            # The end of the mount does not wait for a command that waits.
            rm goon; begin; (sleep 1; : > goon) & "$mayfly" umount m; ! wait $sender; wait $feeder || true
            "$mayfly" mount --quiet m
            """#)
    }

    @Test(arguments: TestTransport.allCases) func aTreeIsGoneAtOnce(
        transport: TestTransport
    ) throws {
        try script(
            transport,
            #"""
            make_tree t/from; before=$(used m); "$mayfly" copy --quiet t/from m; "$mayfly" copy --quiet m/from m/two
            seen m/two > /dev/null; exec 5< m/two/a/f; (cd m/two/a; exec sleep 1000) & inside=$!
            until_true '[ "$(readlink /proc/'$inside'/cwd)" = "$PWD/m/two/a" ]'
            "$mayfly" remove m/two; [ ! -e m/two ]; [ "$(ls m)" = from ]; [ "$(cat <&5)" = hello ]
            until_true '[ "$(stat -L -c %h /proc/'$$'/fd/5)" = 0 ]'; exec 5<&-; kill $inside; wait $inside || true
            same t/from m/from
            "$mayfly" remove m/from/a/b/large m/from/far m/from/a; [ ! -e m/from/a ]; [ ! -L m/from/far ]
            # What must not go stays whole.
            mkdir -p m/x/y/z; echo 1 > m/x/y/z/f; chattr +i m/x/y/z/f; refused 'chattr(1)' "$mayfly" remove m/x; [ "$(cat m/x/y/z/f)" = 1 ]; chattr -i m/x/y/z/f
            mount -t tmpfs inner m/x/y/z; echo in > m/x/y/z/in; refused 'carries a mount' "$mayfly" remove m/x; [ "$(cat m/x/y/z/in)" = in ]; umount m/x/y/z
            refused 'cannot be removed' "$mayfly" remove m/x/..; refused 'root of a mount' "$mayfly" remove m/.
            refused 'there is no' "$mayfly" remove m/nothing; "$mayfly" remove -rf m/nothing; refused 'not in a mayfly mount' "$mayfly" remove t/from
            "$mayfly" remove m/x m/from; [ -z "$(ls -A m)" ]; until_true '[ "$(used m)" = "'"$before"'" ]'
            # The name is free at once.
            for i in 1 2 3 4 5; do "$mayfly" copy --quiet t/from m/again; "$mayfly" remove m/again; mkdir m/again; rmdir m/again; done
            until_true '[ "$(used m)" = "'"$before"'" ]'
            """#.replacing(
                "refused 'cannot be removed' \"$mayfly\" remove m/x/..; refused 'root of a mount' \"$mayfly\" remove m/.",
                with: "refused 'not in a mayfly mount' \"$mayfly\" remove m/.")
        )
    }

    /// Names that are linked in and taken out are changes like any other to a power loss.
    @Test func aPowerLossKnowsTrees() throws {
        try script(
            .best,
            #"""
            mkdir t/some; (cd t/some; for i in $(seq 30); do mkdir d$i; echo $i > d$i/f; done); seen t > seen.whole
            there=0; gone=0
            for seed in $(seq 12); do
                "$mayfly" copy --quiet t/some m; "$mayfly" crash m --seed $seed > /dev/null
                if [ -e m/some ]; then same t m; there=$((there + 1)); "$mayfly" remove m/some; else gone=$((gone + 1)); fi
                "$mayfly" sync m > /dev/null
            done
            [ $there -gt 0 ] && [ $gone -gt 0 ]
            "$mayfly" copy --quiet t/some m; python3 -ISc 'import os; os.fsync(os.open("m", os.O_RDONLY))'
            for seed in $(seq 4); do "$mayfly" crash m --seed $seed > /dev/null; same t m; done
            # What was removed may come back until it is synced.
            "$mayfly" sync m > /dev/null; back=0
            for seed in $(seq 6); do
                "$mayfly" remove m/some; [ ! -e m/some ]; "$mayfly" crash m --seed $seed > /dev/null
                if [ -e m/some ]; then back=$((back + 1)); fi
                "$mayfly" copy --quiet t/some m; "$mayfly" sync m > /dev/null
            done
            [ $back -gt 0 ]
            "$mayfly" remove m/some; "$mayfly" sync m > /dev/null; "$mayfly" crash m > /dev/null; [ ! -e m/some ]
            """#, options: "--durability fsync")
    }

    /// Whoever may do less does no more by the server.
    @Test func aUserDoesWhatTarWouldDoForThem() throws {
        try script(
            .best,
            #"""
            make_tree t/from; rm t/from/null; mkdir u; chmod 777 u t; chmod 755 .
            cp -a /dev/fuse fuse; chmod 666 fuse; mount --bind fuse /dev/fuse
            trap 'set +e; cd /; umount /dev/fuse; umount -l "$folder/t" "$folder/m" 2> /dev/null; rm -rf --one-file-system "$folder"' EXIT
            cat > user.sh <<'EOF'
            set -e; cd "$1"; mayfly=$2; umask 027
            mount -t tmpfs tm tm; "$mayfly" mount --quiet um
            tar -C tm -xf t.tar 2> /dev/null || true; "$mayfly" unpack --quiet t.tar um || exit 3
            python3 seen.py tm | sed 's/([0-9]*, [0-9]*)//g' > u/one; python3 seen.py um | sed 's/([0-9]*, [0-9]*)//g' > u/two
            cmp u/one u/two || { diff u/one u/two | head; exit 4; }
            "$mayfly" umount um
            EOF
            mkdir um tm
            # Root of a user namespace has no user 12, as tar has none.
            setpriv --reuid=65534 --regid=65534 --clear-groups unshare --user --map-user=65534 --map-group=65534 --mount \
                true && tar -C t --owner=0 --group=0 -cf t.tar from
            setpriv --reuid=65534 --regid=65534 --clear-groups unshare --user --map-root-user --mount \
                bash user.sh "$PWD" "$mayfly"
            """#)
    }

    @Test func theSameOverHTTP() throws {
        try script(
            .best,
            #"""
            make_tree t/from; tar -C t --sparse --format=pax -cf t.tar from
            cat > ask.py <<'EOF'
            import http.client, json, os, socket, sys
            class Unix(http.client.HTTPConnection):
                def connect(self):
                    self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(path)
            path = '/run/mayfly/%d.sock' % os.stat('m').st_dev
            def ask(route, body):
                c = Unix('x'); c.request('POST', route, json.dumps(body)); r = c.getresponse(); return r.status, json.loads(r.read())
            here = os.getcwd()
            status, answer = ask('/v1/unpack', {'archive': here + '/t.tar', 'to': 'a', 'stripComponents': 1})
            assert status == 200 and answer['entries'] > 20, answer
            status, answer = ask('/v1/copy', {'folder': here + '/t/from', 'to': '/b', 'exclude': ['hole']}); assert status == 200, answer
            status, answer = ask('/v1/copy', {'from': 'a', 'to': 'c'}); assert status == 200, answer
            status, answer = ask('/v1/remove', {'path': 'a/a'}); assert status == 200 and answer['names'] == 1, answer
            for route, body, field in [('/v1/unpack', {'to': 'a'}, 'archive'), ('/v1/unpack', {'archive': 't.tar', 'to': 'a'}, 'archive'),
                                       ('/v1/copy', {'from': 'a', 'folder': '/x', 'to': 'b'}, 'folder'), ('/v1/copy', {'from': '../x', 'to': 'b'}, 'from'),
                                       ('/v1/copy', {'from': 'a', 'to': 'b', 'exclude': 'x'}, 'exclude'), ('/v1/remove', {'pth': 'a'}, 'pth')]:
                status, answer = ask(route, body); assert status == 400 and answer['field'] == field, (route, body, answer)
            for route, body in [('/v1/unpack', {'archive': '/nothing', 'to': 'a'}), ('/v1/copy', {'from': 'nothing', 'to': 'b'}), ('/v1/remove', {'path': 'nothing'})]:
                status, answer = ask(route, body); assert status == 409, answer
            EOF
            python3 ask.py; [ ! -e m/a/a ]; [ -L m/a/far ]; [ ! -e m/b/hole ]; same t/from m/c
            """#)
    }
}
