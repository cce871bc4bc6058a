import MayflyHost
import Testing

/// Mounts that are made before all of their image is here.
@Suite(.serialized, .enabled(if: RegistryScene.canRun, RegistryScene.whyNot))
struct LazyMountTests {
    /// Sixty files in an image of 28 MiB, so that most of it is to come when it is mounted.
    private static let scene = #"""
        many() { mkdir -p t/d; python3 -c '
        import random
        for n in range(60): open("t/d/f%d" % n, "wb").write(random.Random(n).randbytes(450000))'
            "$mayfly" image build many.mayfly --from t --quiet; "$mayfly" image store add many.mayfly > /dev/null; }
        content() { "$mayfly" stat m | sed -n 's/^content *//p'; }
        state() { "$mayfly" stat m --json | field state; }
        until_state() { until_true "[ \"\$(state)\" = $1 ]"; }
        fetchers() { pgrep -x mayfly-fetch > /dev/null; }

        """#

    private func run(_ script: String) throws { try RegistryScene.run(Self.scene + script) }

    /// Names at once, content when it comes, EIO when the registry is away, and all of it in the end.
    @Test func contentComesWhenItIsRead() throws {
        try run(
            #"""
            many; registry; proxy; mode none; "$mayfly" image push many localhost:$port/a:v --quiet; elsewhere
            mode rate 8000
            "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --lazy-timeout 1 > said
            [ "$(ls m/d | wc -l)" = 60 ]; grep -q 'content comes' said || fail "$(cat said)"
            content | grep -q 'are here, and more comes' || fail "$(content)"
            # What is read comes before what nobody waits for, and who reads one thing keeps nobody from another.
            cmp t/d/f50 m/d/f50
            mode refuse
            ( cat m/d/f9 m/d/f8 > read 2> errors || true ) & reader=$!
            sleep 0.4; before=$(date +%s%N); ls -lR m > /dev/null; cmp t/d/f50 m/d/f50; : > m/new
            [ $((($(date +%s%N) - before) / 1000000)) -lt 800 ] || fail "others waited"
            # A write of a part of a page needs what is there.
            if printf X | dd of=m/d/f9 bs=1 seek=5000 conv=notrunc 2> wrote; then fail "it was written"; fi
            grep -q 'Input/output error' wrote || fail "$(cat wrote)"
            wait $reader; grep -q 'Input/output error' errors || fail "$(cat errors)"
            until_state away; content | grep -q 'no more comes .*reading the rest answers EIO' || fail "$(content)"
            refused 'a save takes all content' save m x.mayfly; refused 'a comparison takes all content' diff m
            [ ! -e x.mayfly ]; "$mayfly" snapshot m s > /dev/null; "$mayfly" check m > /dev/null
            mkdir g; "$mayfly" fork m g > /dev/null; cmp t/d/f50 g/d/f50
            mode none
            cmp t/d/f9 m/d/f9; cmp t/d/f8 g/d/f8; "$mayfly" umount g
            printf X | dd of=m/d/f9 bs=1 seek=5000 conv=notrunc 2> /dev/null
            cp t/d/f9 f30; printf X | dd of=f30 bs=1 seek=5000 conv=notrunc 2> /dev/null; cmp f30 m/d/f9
            until_state complete; content | grep -q '^all of the image is here'; ! fetchers
            "$mayfly" rollback m s > /dev/null; rm m/new; diff -r t m
            "$mayfly" save m x.mayfly > /dev/null; "$mayfly" image check x.mayfly > /dev/null
            [ -z "$(ls "$s/partial")" ]; for i in "$s"/images/*; do cmp "$i" "$folder/data/mayfly/images/$(basename $i)"; done
            # It is an image of the store now, and a change of it is noticed.
            for i in "$s"/images/*; do printf X | dd of=$i bs=1 seek=20000000 conv=notrunc 2> /dev/null; done
            until_true '"$mayfly" stat m | grep -q "changed since it was mounted"'; "$mayfly" umount m
            """#)
    }

    /// Nothing hangs at the end, and what has come is there the next time.
    @Test func theEndWaitsForNothing() throws {
        try run(
            #"""
            many; registry; proxy; mode none; "$mayfly" image push many localhost:$port/a:v --quiet; elsewhere
            mode rate 6000; "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --quiet
            cat m/d/f0 > /dev/null; before=$(date +%s%N); "$mayfly" umount m
            mode rate 100; "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --quiet
            ( cat m/d/f9 > /dev/null 2>&1 || true ) & reader=$!
            sleep 0.2; timeout 10 "$mayfly" umount --force m || fail "it is not unmounted"; wait $reader
            [ $((($(date +%s%N) - before) / 1000000000)) -lt 6 ] || fail "it took long"
            until_true '! fetchers'; [ -z "$(ls "$s/images")" ]; [ -n "$(ls "$s/partial")" ]
            # Whoever brings it is killed: what is not here never comes, and that is said.
            "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --foreground --transport dev > /dev/null 2> log & server=$!
            until_true '[ -e m/d/f1 ]'
            kill -9 $(pgrep -x mayfly-fetch)
            if cat m/d/f9 > /dev/null 2> error; then fail "it was read"; fi; grep -q 'Input/output error' error
            [ "$(state)" = ended ]; until_true 'grep -q "comes no more, as the process that brought it was killed" log'
            "$mayfly" umount m; wait $server
            mode none; "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --quiet --transport dev; diff -r t m; until_state complete
            "$mayfly" umount m; "$mayfly" mount m --from oci://localhost:$other/a:v --lazy --quiet
            [ -z "$(content)" ]; diff -r t m
            """#)
    }

    /// Layers and folders, what goes with it and what does not, and content that is not what it should be.
    @Test func layersAndRefusals() throws {
        try run(
            #"""
            many; "$mayfly" mount m --from many --quiet; echo new > m/new; cp t/d/f1 m/d/f2; "$mayfly" save m l.mayfly --on many > /dev/null
            "$mayfly" umount m; "$mayfly" image store add l.mayfly --name layer > /dev/null
            "$mayfly" image push layer oci:o:v --quiet; elsewhere
            "$mayfly" mount m --from oci:o:v --lazy --quiet; [ "$(cat m/new)" = new ]; cmp t/d/f1 m/d/f2; cmp t/d/f3 m/d/f3
            until_state complete; "$mayfly" umount m; [ "$(ls "$s/images" | wc -l)" = 2 ]
            refused '--lazy goes with an image that comes from elsewhere' mount m --from many --lazy
            refused '--lazy goes with an image that comes from elsewhere' mount m --lazy
            refused '--lazy-timeout goes with --lazy' mount m --from oci:o:v --lazy-timeout 3
            refused "bad --lazy-timeout 'x'" mount m --from oci:o:v --lazy --lazy-timeout x
            refused '--lazy goes without --survive' mount m --from oci:o:v --lazy --durability fsync
            refused 'there is no image at' mount m --from oci:o:w --lazy; refused 'is no folder of' mount m --from oci:n:v --lazy
            # One blob is damaged: what it holds is EIO, and the rest is right.
            XDG_DATA_HOME=$folder/data "$mayfly" image push many oci:p:v --quiet; elsewhere
            blob=$(ls -S p/blobs/sha256/* | sed -n 3p); printf X | dd of=$blob bs=1 seek=100000 conv=notrunc 2> /dev/null
            "$mayfly" mount m --from oci:p:v --lazy --lazy-timeout 1 --quiet
            bad=0; for f in t/d/f*[05]; do cat m/d/$(basename $f) > read 2> error && { cmp $f read; continue; }
                grep -q 'Input/output error' error; bad=$((bad + 1)); done
            [ $bad -gt 0 ] && [ $bad -lt 6 ] || fail "$bad files are EIO"
            [ "$(state)" = away ]; content | grep -q 'is damaged' || fail "$(content)"; [ -z "$(ls "$s/images")" ]
            """#)
    }
}
