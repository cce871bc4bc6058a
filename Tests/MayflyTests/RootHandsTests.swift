import Testing

/// What a powerful caller writes and reads where others have a hand in it: files named as outputs in a
/// folder that everybody may write, and trees whose names are swapped while they are read.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct RootHandsTests {
    /// `u` is a user without rights; `$sticky` is a folder as /tmp is, and `$m` a mount of root's with a
    /// file that nobody else may read.
    private static let scene = #"""
        sticky=$folder/sticky m=$folder/m
        mkdir -m 1777 "$sticky"; mkdir "$m"; chmod 1777 "$sticky"
        u() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
        refused() { if "$@" >"$folder/out" 2>&1; then echo "not refused: $*"; return 1; fi; cat "$folder/out"; }
        mounted() {
            "$mayfly" mount "$m" "$@" >/dev/null
            trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
            (umask 077; echo secret > "$m/file")
        }
        is() { test "$1" = "$2" || { echo "'$1' is not '$2' ($3)"; return 1; }; }
        """#

    private func run(_ script: String, seconds: Int = 60) throws {
        let done = try BuiltCommand.script(Self.scene + "\n" + script, seconds: seconds)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
    }

    /// Whatever fs.protected_symlinks says: it is off in many containers.
    @Test func aPlantedLinkIsNotFollowed() throws {
        try run(
            #"""
            mounted
            echo precious > "$folder/precious"; chmod 600 "$folder/precious"
            u ln -s "$folder/precious" "$sticky/out.img"
            refused "$mayfly" save "$m" "$sticky/out.img" | grep -q 'symbolic link that another user'
            mkdir "$folder/src"; echo x > "$folder/src/x"
            refused "$mayfly" image build "$sticky/out.img" --from "$folder/src" | grep -q 'symbolic link'
            refused "$mayfly" run --report "$sticky/out.img" -- true | grep -q 'symbolic link'
            "$mayfly" image build "$folder/i.img" --from "$folder/src" --quiet
            refused "$mayfly" image export "$folder/i.img" --tar "$sticky/out.img" | grep -q 'symbolic link'
            is "$(cat "$folder/precious")" precious; is "$(stat -c %a "$folder/precious")" 600
            # A link of one's own is followed, and so is any in a folder of one's own.
            ln -s "$folder/mine.img" "$sticky/mine"; "$mayfly" save "$m" "$sticky/mine" >/dev/null
            test -L "$sticky/mine"; "$mayfly" image check "$folder/mine.img" >/dev/null
            """#)
    }

    @Test func anImageHasTheCallersMode() throws {
        try run(
            #"""
            mounted
            (umask 077; "$mayfly" save "$m" "$folder/a.img"); is "$(stat -c %a "$folder/a.img")" 600 save
            (umask 027; "$mayfly" save "$m" "$folder/b.img"); is "$(stat -c %a "$folder/b.img")" 640 save
            # What is replaced keeps its permissions, and is another file: who has it open sees nothing.
            exec 9< "$folder/a.img"; before=$(stat -L -c %i /proc/self/fd/9)
            (umask 022; "$mayfly" save "$m" "$folder/a.img"); is "$(stat -c %a "$folder/a.img")" 600 again
            test "$(stat -c %i "$folder/a.img")" != "$before"
            mkdir "$folder/src"; (umask 077; echo x > "$folder/src/x"
                "$mayfly" image build "$folder/c.img" --from "$folder/src" --quiet)
            is "$(stat -c %a "$folder/c.img")" 600 build
            # A file that somebody else has made is not written into, nor is its mode taken.
            u sh -c 'umask 0; echo planted > "$0"' "$sticky/d.img"; exec 8< "$sticky/d.img"
            (umask 077; "$mayfly" save "$m" "$sticky/d.img")
            is "$(stat -c '%a %u' "$sticky/d.img")" "600 0" planted
            is "$(cat <&8)" planted content
            """#)
    }

    @Test func onlyRegularFilesAreReplaced() throws {
        try run(
            #"""
            mounted; mkdir "$folder/src" "$folder/dir"
            mknod "$folder/null" c 1 3; mkfifo "$folder/fifo"; ln -s null "$folder/link"
            for out in null fifo link dir; do
                refused "$mayfly" save "$m" "$folder/$out" | grep -q 'not replaced'
                refused "$mayfly" image build "$folder/$out" --from "$folder/src" | grep -q 'not replaced'
            done
            test -c "$folder/null" -a -p "$folder/fifo" -a -L "$folder/link" -a -d "$folder/dir"
            # Streams are written to as streams.
            "$mayfly" save "$m" "$folder/i.img" >/dev/null
            "$mayfly" image export "$folder/i.img" --tar "$folder/null"; test -c "$folder/null"
            "$mayfly" image export "$folder/i.img" --tar /dev/stdout | tar -t | grep -q file
            "$mayfly" run --quiet --report /dev/stderr -- true 2>&1 | grep -q exitStatus
            "$mayfly" run --quiet --report /dev/fd/5 -- true 5> "$folder/r.json"; grep -q exitStatus "$folder/r.json"
            is "$(ls -A "$folder" | grep -c '^\.mayfly')" 0 leftovers
            """#)
    }

    /// Between the look at the beginning and the copy at the end the command runs, and others do.
    @Test(arguments: ["tree", "tree.tar", "tree.mayfly"])
    func whatIsKeptGoesWhereNobodyElseHasBeen(name: String) throws {
        try run(
            #"""
            out=$sticky/\#(name); echo precious > "$folder/precious"
            plant() {
                refused "$mayfly" run --keep "$out" -- sh -c \
                    "echo secret > x; setpriv --reuid=65534 --regid=65534 --clear-groups $1; exit 3"
                test ! -L "$out" || is "$(cat "$folder/precious")" precious
                if test -f "$out" -a ! -L "$out"; then is "$(cat "$out")" "" planted; fi
                if test -d "$out" -a ! -L "$out"; then is "$(ls -A "$out")" "" planted; fi
                rm -rf "$out"
            }
            plant "sh -c 'umask 0; : > $out'"
            plant "mkdir -m 777 $out"
            plant "mkfifo -m 666 $out"
            plant "ln -s $folder/precious $out"
            plant "ln -s $folder/new $out"; test ! -e "$folder/new"
            is "$(cat "$folder/precious")" precious
            # And so it is where nobody interferes.
            refused "$mayfly" run --keep "$out" -- sh -c 'echo kept > x; exit 3' | grep -q 'its tree is in'
            case $out in
            *.tar) tar -xOf "$out" ./x;; *.mayfly) "$mayfly" image list "$out" x;; *) cat "$out/x";;
            esac
            is "$(stat -c %u "$out")" 0 owner
            """#)
    }

    /// EFBIG is an error like any other; and the limit holds for what the server writes to its log too.
    @Test func aLimitOfFileSizesEndsNobody() throws {
        try run(
            #"""
            (ulimit -f 1024; "$mayfly" mount "$m" >/dev/null)
            trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
            head -c 8M /dev/zero | tr '\0' x > "$m/file"
            refused "$mayfly" snapshot "$m" | grep -q 'ulimit -f'
            refused "$mayfly" save "$m" "$folder/out.img" | grep -q 'ulimit -f'
            test ! -e "$folder/out.img"; is "$(stat -c %s "$m/file")" $((8 << 20)); "$mayfly" check "$m"
            mkdir "$folder/src"; head -c 8M /dev/zero | tr '\0' x > "$folder/src/f"
            (ulimit -f 1024; refused "$mayfly" image build "$folder/i.img" --from "$folder/src")
            test ! -e "$folder/i.img"
            # A command has the signal as it had it before.
            "$mayfly" run --quiet -- sh -c 'ulimit -f 1; head -c 1M /dev/zero > x' && exit 1 || is $? 153
            """#)
    }

    /// Swapping a folder and a link to another that only root may read, as fast as it goes.
    @Test func aTreeIsReadAsItIsAndNoOther() throws {
        try run(
            #"""
            mkdir -m 700 "$folder/private"; echo secret > "$folder/private/key"
            tree=$folder/tree; mkdir "$tree"; chown 65534 "$tree"
            u sh -c 'cd "$0"; mkdir a; echo harmless > a/key; ln -s "$1" b; echo plain > c; ln -s "$1/key" d' \
                "$tree" "$folder/private"
            cat > "$folder/swap.py" <<'END'
            import ctypes, os, sys
            os.chdir(sys.argv[1]); libc = ctypes.CDLL(None)
            while True:
                libc.renameat2(-100, b"a", -100, b"b", 2); libc.renameat2(-100, b"c", -100, b"d", 2)
            END
            u /usr/bin/python3 "$folder/swap.py" "$tree" & p=$!
            for n in $(seq 25); do
                "$mayfly" image build "$folder/$n.img" --from "$tree" --quiet 2>/dev/null || continue
                if grep -q secret "$folder/$n.img"; then echo "image $n has the secret"; exit 1; fi
                built=1
            done
            kill $p; test "$built"
            """#, seconds: 120)
    }

    @Test func aTreeMayBeDeeperThanAPath() throws {
        try run(
            #"""
            python3 - "$folder" <<'END'
            import os, sys
            os.chdir(sys.argv[1]); os.mkdir("deep"); os.chdir("deep"); name = "n" * 200
            for n in range(30):
                os.mkdir(name); os.chdir(name); open("file%d" % n, "w").write("at %d" % n)
            os.chdir(sys.argv[1]); os.mkdir("levels"); os.chdir("levels")
            for n in range(600):
                os.mkdir("d"); os.chdir("d")
            open("end", "w").write("reached")
            END
            (ulimit -n 256; "$mayfly" image build "$folder/deep.img" --from "$folder/deep" --quiet
                "$mayfly" image build "$folder/levels.img" --from "$folder/levels" --quiet)
            "$mayfly" image info "$folder/deep.img" --json | grep -q '"inodes" : 61'
            "$mayfly" image info "$folder/levels.img" --json | grep -q '"inodes" : 602'
            "$mayfly" mount "$m" --from "$folder/deep.img" >/dev/null
            trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
            cd "$m"; for n in $(seq 0 29); do cd n*; done; is "$(cat file29)" "at 29"; cd /
            """#)
    }
}
