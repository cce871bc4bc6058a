import Testing

/// `mayfly image store`: names, what they lead to, and who may do what at the same time.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ImageStoreTests {
    private static let scene = #"""
        cd "$folder"; m=$folder/m; mkdir "$m"; export XDG_DATA_HOME=$folder/data; s=$folder/data/mayfly
        trap '"$mayfly" umount "$m" >/dev/null 2>&1 || true; set +e; cd /; rm -rf "$folder"' EXIT
        fail() { echo "$*"; return 1; }
        refused() { local what=$1; shift
            if "$mayfly" "$@" > /dev/null 2> error; then echo "not refused: $*"; return 1; fi
            grep -q "^mayfly: .*$what" error || { cat error; return 1; }
        }
        store() { "$mayfly" image store "$@"; }
        names() { store list --json | sed -n 's/.*"name":"\([^"]*\)".*/\1/p' | tr '\n' ' '; }
        digest() { echo sha256:$(head -c 4096 $1 | sha256sum | cut -d ' ' -f 1); }
        tree() { mkdir $1.d; echo "$1" > $1.d/f; head -c ${2:-100000} /dev/urandom > $1.d/large
            "$mayfly" image build $1.mayfly --from $1.d --quiet; }

        """#

    private func run(_ script: String, seconds: Int = 120) throws {
        let done = try BuiltCommand.script(Self.scene + script, seconds: seconds)
        #expect(done.status == 0, "\(done.report)")
    }

    @Test func imagesAreFoundByName() throws {
        try run(
            #"""
            [ -z "$(store list)" ]; [ "$(store path)" = "$s" ]
            tree a; tree b; store add a.mayfly > said; grep -q "a is in the store: $(digest a.mayfly)" said
            store add b.mayfly --name other > /dev/null; [ "$(names)" = "a other " ]
            [ "$(stat -c %a "$s")" = 700 ]
            "$mayfly" mount m --from a > said; diff -r a.d m; "$mayfly" umount m
            grep -q "^mayfly: a is taken from the store: sha256:" said || fail "$(cat said)"
            cmp "$(store path a)" a.mayfly; "$mayfly" image check other > /dev/null; "$mayfly" image diff a a.mayfly
            # A file here comes first; a path is never looked up.
            mkdir w; cd w; cp ../b.mayfly a
            "$mayfly" mount ../m --from a --quiet; cmp ../m/f ../b.d/f; "$mayfly" umount ../m; cd ..
            refused 'cannot be opened' mount m --from ./other
            refused 'cannot be opened' mount m --from nothing
            # A name leads elsewhere when it is given again, and what nothing needs goes.
            store add b.mayfly --name a > /dev/null; cmp "$(store path a)" b.mayfly
            [ "$(ls "$s/images" | wc -l)" = 1 ] || fail "$(ls "$s/images")"
            store remove a; [ "$(names)" = "other " ]; cmp "$(store path other)" b.mayfly
            refused 'there is no a in the store' image store remove a
            refused 'there is no a in the store' image store path a
            store remove other; [ -z "$(ls "$s/images")" ]
            for bad in -x .x a/b 'a b' ''; do
                if "$mayfly" image store add a.mayfly --name="$bad" 2> /dev/null; then fail "'$bad' is taken"; fi
            done
            head -c 1000 a.mayfly > bad; refused 'truncated\|damaged' image store add bad
            head -c 5000 a.mayfly > bad; refused 'truncated' image store add bad
            cp a.mayfly bad; printf X | dd of=bad bs=1 seek=$(($(stat -c %s bad) - 3000)) conv=notrunc status=none
            "$mayfly" image check bad > /dev/null 2>&1 || refused 'bad is damaged' image store add bad
            [ -z "$(ls -A "$s/images")" ]
            """#)
    }

    /// A layer's base comes from the store, and stays there for as long as the layer does.
    @Test func basesStay() throws {
        try run(
            #"""
            tree a; store add a.mayfly >/dev/null; "$mayfly" mount m --from a --quiet
            echo new > m/new; "$mayfly" save m l.mayfly --on a > /dev/null; "$mayfly" umount m; rm a.mayfly
            "$mayfly" mount m --from l.mayfly --quiet; [ "$(cat m/new)" = new ]; "$mayfly" umount m
            store add l.mayfly > /dev/null; store remove a; [ "$(names)" = "l " ]
            [ "$(ls "$s/images" | wc -l)" = 2 ]; rm l.mayfly
            store list | grep -q '^- .*sha256:'
            "$mayfly" mount m --from l --quiet; diff -r a.d m > differences || true
            [ "$(cat differences)" = "Only in m: new" ]; "$mayfly" umount m
            cp "$(store path l)" l.mayfly; store remove l; [ -z "$(ls "$s/images")" ]
            refused 'is a layer on' image store add l.mayfly; refused 'is a layer on' mount m --from l.mayfly
            """#)
    }

    /// What is in use is not removed, also where its name is.
    @Test func whatIsInUseStays() throws {
        try run(
            #"""
            tree a 20000000; tree b; store add a.mayfly > /dev/null; store add b.mayfly > /dev/null
            "$mayfly" mount m --from a --quiet; rm a.mayfly; echo new > m/new
            refused 'all of it is in use' image store gc --limit 0
            [ "$(names)" = "a " ]; store remove a; [ "$(ls "$s/images" | wc -l)" = 1 ] || fail "$(ls "$s/images")"
            cmp m/large a.d/large; "$mayfly" umount m
            until_true '"$mayfly" image store gc --quiet; [ -z "$(ls "$s/images")" ]'
            """#)
    }

    @Test func whatWasUsedLongAgoGoesFirst() throws {
        try run(
            #"""
            for t in a b c; do tree $t 3000000; store add $t.mayfly > /dev/null; sleep 0.02; done
            "$mayfly" mount m --from a --quiet; "$mayfly" umount m
            store gc --limit 8m > said; grep -q '^mayfly: b is removed$' said; [ "$(names)" = "a c " ]
            store gc --limit 1g --quiet; [ "$(names)" = "a c " ]
            # The server of the mount ends a little after the mount does, and holds its image until then.
            until_true 'store gc --limit 0 --quiet 2>error'; [ -z "$(names)" ]
            refused 'bad --limit' image store gc --limit x
            """#)
    }

    /// Many at once add, give names again, remove and mount: each name leads to a whole image.
    @Test func manyAtOnce() throws {
        try run(
            #"""
            tree a; tree b
            (for i in 1 2 3 4 5 6; do store add a.mayfly --name x; done) > /dev/null 2> e1 & one=$!
            (for i in 1 2 3 4 5 6; do store add b.mayfly --name x; done) > /dev/null 2> e2 & two=$!
            (for i in 1 2 3 4 5 6; do store add b.mayfly --name y; store remove y; store gc; done) > /dev/null 2> e3 & three=$!
            for i in 1 2 3 4 5 6 7 8; do
                if [ -e "$s/names/x" ]; then "$mayfly" image check x > /dev/null || fail "x is not whole"; fi
            done
            wait $one; wait $two; wait $three; cat e1 e2; [ ! -s e1 ] && [ ! -s e2 ]
            [ "$(names)" = "x " ]; "$mayfly" image check x > /dev/null; [ "$(ls -A "$s/images" | wc -l)" = 1 ]
            """#)
    }

    /// Whoever is killed while an image is written leaves nothing under a name.
    @Test func whoIsKilledLeavesNothing() throws {
        try run(
            #"""
            tree a 30000000; store add a.mayfly --name kept > /dev/null; tree b 30000000
            for wait in 0.01 0.03 0.06 0.1 0.15; do
                "$mayfly" image store add b.mayfly --name kept > /dev/null 2>&1 & p=$!
                sleep $wait; kill -9 $p 2> /dev/null || true; wait $p 2> /dev/null || true
                "$mayfly" image check kept > /dev/null || fail "half an image"
                file=$(store path kept); cmp -s $file a.mayfly || cmp -s $file b.mayfly || fail "neither"
                store add a.mayfly --name kept > /dev/null
            done
            store gc --quiet; [ "$(ls -A "$s/images" | wc -l)" = 1 ] && [ "$(ls -A "$s/names" | wc -l)" = 1 ]
            """#)
    }

    /// A folder where others may write is not the user's own.
    @Test func aStoreThatOthersWriteIsRefused() throws {
        try run(
            #"""
            tree a; mkdir -p "$s"; chmod 777 "$s"
            refused 'others may write there' image store add a.mayfly
            mkdir "$s/names" "$s/images"; cp a.mayfly "$s/images/$(digest a.mayfly | cut -c 8-)"
            ln -s "../images/$(digest a.mayfly | cut -c 8-)" "$s/names/a"; rm a.mayfly
            refused 'cannot be opened' mount m --from a
            chmod 700 "$s"; "$mayfly" mount m --from a --quiet; "$mayfly" umount m
            chown 1:1 "$s"; refused 'cannot be opened' mount m --from a
            """#)
    }
}
