import Testing

@testable import Mayfly

/// What a command line says is what is done, or is refused with what there is.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct CommandMeaningTests {
    private func script(_ body: String, seconds: Int = 120) throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m
            start() { "$mayfly" mount --quiet m "$@"; }
            # Ends with one line that has a text in it.
            refused() { local what=$1 code=0; shift
                "$@" > /dev/null 2> error || code=$?
                [ $code != 0 ] || { echo "not refused: $*"; return 1; }
                grep -qF -- "$what" error && [ "$(wc -l < error)" = 1 ] || { cat error; return 1; }
            }
            \(body)
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// The end of a name says what is in the file.
    @Test func keptArchivesAreWhatTheirNamesSay() throws {
        try script(
            #"""
            for end in tar tar.gz tgz tar.bz2 tar.xz tar.zst; do
                case $end in *gz) p=gzip;; *bz2) p=bzip2;; *xz) p=xz;; *zst) p=zstd;; *) p=tar;; esac
                if ! command -v $p > /dev/null; then
                    refused "takes the program $p" "$mayfly" run --keep k.$end -- true; continue
                fi
                "$mayfly" run --quiet --keep k.$end -- sh -c 'echo 1 > f; exit 3' 2> error || [ $? = 3 ]
                [ -f k.$end ]; [ "$(tar -xOf k.$end ./f)" = 1 ]
                if [ $p != tar ]; then $p -t < k.$end; fi
            done
            for end in zip 7z cpio tar.Z tar.lzo; do
                refused 'would be a tar archive, not what .' "$mayfly" run --keep k.$end -- true
                [ ! -e k.$end ]
            done
            refused 'no stream' "$mayfly" run --keep - -- true; [ ! -e - ]
            start; refused 'no stream' "$mayfly" save m -; "$mayfly" umount m
            refused 'no stream' "$mayfly" image build - --from m; [ ! -e - ]
            refused 'takes the program gzip' env PATH=/nowhere "$mayfly" run --keep k2.tar.gz -- /bin/true
            """#)
    }

    /// "-" is the standard output, which is neither opened anew nor cut.
    @Test func aReportGoesToTheStandardOutput() throws {
        try script(
            #"""
            echo before > out
            "$mayfly" run --quiet --report - -- echo hello >> out
            [ "$(head -2 out)" = "$(printf 'before\nhello')" ]; [ ! -e - ]
            tail -n +3 out | python3 -ISc 'import json, sys; assert json.load(sys.stdin)["exitStatus"] == 0'
            "$mayfly" run --quiet --report - -- true | python3 -ISc 'import json, sys; json.load(sys.stdin)'
            """#)
    }

    /// A remount changes what it names, or says that it cannot.
    @Test func aRemountChangesOrRefuses() throws {
        try script(
            #"""
            ln -s "$mayfly" mount.mayfly; helper() { ./mount.mayfly none m -o "$1"; }
            size() { df --output=size -B1 m | tail -1 | tr -d ' '; }
            start --size 64m --inodes 1000 -o faults
            helper remount,size=128m; [ "$(size)" = $((128 << 20)) ]
            helper remount,nr_blocks=16k,nr_inodes=2k; [ "$(size)" = $((64 << 20)) ]
            [ "$(df --output=itotal m | tail -1 | tr -d ' ')" = 2048 ]
            helper remount,ro,size=32m; [ "$(size)" = $((32 << 20)) ]; grep " $PWD/m " /proc/self/mounts | grep -q ' ro,'
            helper remount,rw; : > m/f
            # What /etc/fstab says beside what is asked for.
            helper remount,rw,faults,mode=1777,transport=auto,durability=none,x-gvfs-hide,defaults,user_id=0
            for option in transport=dev durability=fsync writeback mode=0700 allow_other uid=5; do
                refused "option $option cannot be changed by a remount" helper remount,$option
            done
            refused 'unknown option' helper remount,nosuch; refused "bad option size=" helper remount,size=big
            dd if=/dev/zero of=m/f bs=1M count=8 status=none; refused 'in use' helper remount,size=4m
            refused 'bad option' helper remount,nr_blocks=x
            "$mayfly" umount m; refused 'not in a mayfly mount' helper remount,size=1m
            """#)
    }

    @Test func syncIsNotPassedOver() throws {
        try script(
            #"""
            for option in sync dirsync async,sync; do
                refused 'sync and dirsync' "$mayfly" mount m -o $option --durability fsync
                refused 'sync and dirsync' "$mayfly" mount m -o durability=fsync,$option
            done
            start -o sync,dirsync; "$mayfly" umount m
            start -o sync,async --durability fsync; "$mayfly" umount m
            """#)
    }

    /// An error names the help of the command that was given, and the option.
    @Test func errorsPointAtTheirOwnHelp() throws {
        try script(
            #"""
            start
            refused '(see `mayfly image export --help`)' "$mayfly" image export i
            refused "'--tar <tar>'" "$mayfly" image export i
            refused '(see `mayfly fault add --help`)' "$mayfly" fault add m --probability 30%
            refused "'30%' is invalid for '--probability" "$mayfly" fault add m --probability 30%
            refused '(see `mayfly fault clear --help`)' "$mayfly" fault clear m x
            refused 'did you mean `mayfly image build`? `mayfly image --help` lists all' "$mayfly" image biuld x
            refused '(see `mayfly mount --help`)' "$mayfly" mount m --nosuch
            refused '`mayfly run --help` lists those' "$mayfly" run -o nosuch -- true
            refused '`mayfly mount --help` lists those' "$mayfly" mount m -o nosuch
            refused '--errno' "$mayfly" fault add m --errno EWHAT; refused '--op' "$mayfly" fault add m --op wrote --errno EIO
            refused '--full-at' "$mayfly" fault add m --op read --full-at 1; refused '--nth' "$mayfly" fault add m --errno EIO --nth 0
            for what in directory archive 'standard input'; do
                refused "$what" "$mayfly" image build x --from nosuch
                refused "$what" "$mayfly" run --from nosuch -- true
            done
            refused 'name an image' "$mayfly" run --from nosuch -- true
            "$mayfly" umount m
            """#)
    }

    /// The command that unmounts does not keep the mount busy itself, and finds it where it was mounted.
    @Test func unmountingFromWithinAndByALink() throws {
        try script(
            #"""
            start; (cd m; exec "$mayfly" umount .)
            start; mkdir m/d; (cd m/d; exec "$mayfly" umount ..)
            start; (cd m; exec "$mayfly" umount "../m")
            start; echo 1 > m/f; refused "this command's own input or output" sh -c 'exec "$0" umount m < m/f' "$mayfly"
            sleep 60 < m/f & holder=$!
            until_true 'test -e /proc/$holder/fd/0'; until_true 'readlink /proc/$holder/exe | grep -q sleep'
            refused "kept so by $holder (sleep)" "$mayfly" umount m; kill $holder; wait $holder || true
            "$mayfly" umount m
            ln -s m l; ln -s l l2; mkdir real; ln -s "$PWD/real" abs
            for link in l l2 abs l/ ./l; do "$mayfly" mount --quiet $link; "$mayfly" umount $link; done
            # A link in a mount, to a directory in it.
            start; mkdir m/d; ln -s d m/k; "$mayfly" mount --quiet m/k; mountpoint -q m/d; "$mayfly" umount m/k
            if mountpoint -q m/d; then exit 1; fi
            "$mayfly" umount m; "$mayfly" list 2>&1 | grep -qF "$PWD" && exit 1 || true
            """#)
    }

    /// Runs within runs, more than there are empty directories for.
    @Test func runsWithinRuns() throws {
        try script(
            #"""
            cat > nest <<'END'
            echo "$PWD"; echo $1 > depth; [ "$1" = 0 ] || "$0" run --quiet -- sh nest.sh $(($1 - 1))
            END
            sed "s,\"\$0\",$mayfly,; s,nest.sh,$PWD/nest," nest > n; mv n nest
            "$mayfly" run --quiet -- sh "$PWD/nest" 8 > places 2> error || { cat error; exit 1; }
            [ "$(wc -l < places)" = 9 ]; [ "$(sort -u places | wc -l)" = 9 ]; [ ! -s error ]
            if mount | grep -q mayfly-run; then exit 1; fi
            """#)
    }

    /// A rule that is written as a path from outside hits what that path names.
    @Test func patternsFromOutside() throws {
        try script(
            #"""
            start; mkdir -p m/db other; echo > m/db/a; ln -s m l; mkdir b; mount --bind m/db b
            hits() { "$mayfly" fault add m --op write --path "$1" --errno EIO > /dev/null
                if echo 1 > m/db/a; then echo "no fault: $1"; exit 1; fi 2> /dev/null; "$mayfly" fault clear m > /dev/null; }
            for path in "$PWD/m/db/*" "$PWD/l/db/?" "$PWD/b/a" "$PWD/other/../m/db/**" "/db/a" "./db/a" "db//a" "$PWD//m/./db/*"; do
                hits "$path"
            done
            refused 'is not in the mount' "$mayfly" fault add m --path "$PWD/other/*" --errno EIO
            refused 'is not in the mount' "$mayfly" fault add m --path "$PWD/m2/*" --errno EIO
            refused "'..' in --path" "$mayfly" fault add m --path 'db/../db/*' --errno EIO
            umount b; "$mayfly" umount m
            """#)
    }

    /// Paths that no system call takes as a whole.
    @Test func pathsOfMoreThanFourKibibytes() throws {
        try script(
            #"""
            cat > deep.py <<'PY'
            import os, sys
            name = "d" * 200
            def down(root, levels, make):
                here = os.open(root, os.O_RDONLY)
                for _ in range(levels):
                    if make: os.mkdir(name, dir_fd=here)
                    there = os.open(name, os.O_RDONLY, dir_fd=here); os.close(here); here = there
                return here
            if sys.argv[1] == "make":
                here = down(sys.argv[2], 40, True)
                with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here), "w") as f: f.write("deep")
                os.utime("file", ns=(5, 1234567890123456789), dir_fd=here)
            else:
                here = down(sys.argv[2], 40, False)
                with os.fdopen(os.open("file", os.O_RDONLY, dir_fd=here)) as f:
                    assert f.read() == "deep" and os.fstat(f.fileno()).st_mtime_ns == 1234567890123456789
            PY
            mkdir tree; python3 deep.py make tree
            "$mayfly" image build --quiet i.mayfly --from tree
            start --from i.mayfly; python3 deep.py look m; "$mayfly" umount m
            "$mayfly" run --quiet --from i.mayfly --keep kept -- sh -c 'ln -s x l; mkfifo p; exit 1' 2> error || true
            grep -q 'its tree is in' error && [ "$(wc -l < error)" = 1 ] || { cat error; exit 1; }
            python3 deep.py look kept; [ "$(readlink kept/l)" = x ]; [ -p kept/p ]
            "$mayfly" run --quiet --from i.mayfly --keep kept.tar.gz -- false 2> error || true
            "$mayfly" image export i.mayfly --tar e.tar
            # tar itself reads such an archive and cannot unpack it.
            for made in kept.tar.gz e.tar; do
                tar -tf $made 2> /dev/null | grep -q '/file$'
                "$mayfly" image build --quiet k.mayfly --from $made
                start --from k.mayfly; python3 deep.py look m; "$mayfly" umount m
            done
            # An error has its reason, however long the path.
            python3 -ISc '
            import tarfile
            with tarfile.open("bad.tar", "w", format=tarfile.PAX_FORMAT) as t:
                i = tarfile.TarInfo(("d" * 200 + "/") * 40 + "file"); i.uid = 99999999999; t.addfile(i)
            '
            refused 'ddd/file: its owner is number 99999999999' "$mayfly" image build --quiet j.mayfly --from bad.tar
            [ "$(wc -c < error)" -lt 1000 ]; [ ! -e j.mayfly ]
            """#)
    }
}
