import Testing

@testable import Mayfly

/// Memory that ends, in a real cgroup: an error, nobody is killed, the mount answers, and what is
/// removed can be filled again.
@Suite(.serialized, .enabled(if: MemoryGroup.isPossible, MemoryGroup.whyNot))
struct MemoryEndTests {
    private static let group = 128

    @Test func aFileSystemLargerThanMemory() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 200m m
            refused "No space left" fill m/file 200
            test "$(stat -c %s m/file)" -ge $((70 << 20)); ls -l m > /dev/null
            rm m/file
            until_true 'test "$(used)" -lt 40'
            fill m/again 60
            """)
    }

    @Test func snapshots() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 40m m
            count=0
            while test $count -lt 8; do
                fill m/file 24 || break
                "$mayfly" snapshot m "s$count" > /dev/null 2> error || break
                count=$((count + 1))
            done
            test $count -ge 2 -a $count -lt 8
            grep -q "a snapshot takes 2.* MiB of memory and .* is left: .*--remove NAME" error
            ls -l m > /dev/null; rm m/file
            # What the file system took of its own is back, and not what snapshots keep.
            until_true 'fill m/again 12 2> /dev/null'
            "$mayfly" snapshots m --remove s1 > /dev/null
            until_true 'fill m/again 30 2> /dev/null'
            "$mayfly" rollback m s0 > /dev/null
            test "$(stat -c %s m/file)" = $((24 << 20)) && cat m/file > /dev/null
            """)
    }

    /// The first takes little beside what there is: it becomes the base piece by piece.
    @Test func theFirstSnapshotDoublesNothing() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 100m m
            fill m/file 70; sum=$(md5sum < m/file)
            "$mayfly" snapshot m first > /dev/null
            echo 3 > /proc/sys/vm/drop_caches
            test "$(md5sum < m/file)" = "$sum"
            """)
    }

    @Test func saves() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 60m m
            fill m/file 50
            "$mayfly" save m "$folder/one" > /dev/null
            fill m/file 50 2> /dev/null || true
            refused "a save takes .* MiB of memory and .* is left" "$mayfly" save m "$folder/two"
            test ! -e two; ls -l m > /dev/null; rm m/file
            until_true 'fill m/again 40 2> /dev/null'
            """)
    }

    /// What was allocated and never written is a hole of the base, which nobody reads in the mapping.
    @Test func savingWhatWasAllocated() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 100m m
            in_group fallocate -l 60M m/one; fill m/file 5; sum=$(md5sum < m/file)
            "$mayfly" save m "$folder/image" > /dev/null
            "$mayfly" image check image > /dev/null
            rm m/one; until_true 'fill m/two 10 2> /dev/null'
            "$mayfly" snapshot m > /dev/null; in_group fallocate -l 30M m/three
            "$mayfly" save m "$folder/image" > /dev/null
            "$mayfly" image check image > /dev/null
            test "$(md5sum < m/file)" = "$sum"
            "$mayfly" umount m; "$mayfly" mount --quiet --from image m
            test "$(md5sum < m/file)" = "$sum" -a "$(stat -c %s m/three)" = $((30 << 20))
            """)
    }

    @Test func anImageThatIsOverwritten() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            mkdir tree; for n in $(seq 15); do dd if=/dev/urandom of=tree/$n bs=1M count=10 status=none; done
            sum=$(md5sum < tree/15); "$mayfly" image build --quiet --from tree image; rm -r tree
            in_group "$mayfly" mount --quiet --from image --size 200m m
            count=0
            for n in $(seq 14); do fill m/$n 10 2> /dev/null || break; count=$n; done
            test $count -ge 6 -a $count -lt 14
            test "$(in_group md5sum < m/15)" = "$sum"
            echo more | in_group tee m/small > /dev/null || true
            in_group rm m/*
            test "$(ls m | wc -l)" = 0
            until_true 'fill m/again 60 2> /dev/null'
            """)
    }

    @Test func forksThatAreOverwritten() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 20m m
            fill m/file 10; sum=$(md5sum < m/file); count=0
            for n in $(seq 31); do
                mkdir f$n
                "$mayfly" fork m f$n > /dev/null 2> error || { rmdir f$n; break; }
                fill f$n/file 10 2> error || break
                count=$n
            done
            test $count -ge 2 -a $count -lt 31
            cat error; test "$(wc -l < error)" = 1
            test "$(md5sum < m/file)" = "$sum"; ls -l f1 > /dev/null
            for n in $(seq $((count + 1))); do
                if mountpoint -q f$n; then "$mayfly" umount f$n; fi
            done
            until_true 'fill m/file 10 2> /dev/null'
            """)
    }

    /// The limits that were asked for hold while a source is unpacked, and memory is asked for.
    @Test func unpacking() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            mkdir in
            head -c 400M /dev/zero > in/large; tar -C in -czf bomb.tgz large; rm in/large
            refused "large cannot be put into the image .*give a larger --size" \\
                in_group "$mayfly" mount --quiet --from bomb.tgz --size 10m m
            refused "large cannot be put into the image .*there is no memory for more" \\
                in_group "$mayfly" mount --quiet --from bomb.tgz m
            for n in $(seq 60); do touch in/$n; done
            refused "more --inodes" in_group "$mayfly" mount --quiet --from in --inodes 40 m
            in_group "$mayfly" mount --quiet --from in --inodes 64 --size 10m m
            ls m | wc -l; refused "No space left" fill m/new 12
            """)
    }

    /// What was allocated and is not written yet is promised to nobody else.
    @Test func whatWasAllocatedIsThere() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 400m m
            in_group fallocate -l 60M m/one
            refused "No space left" in_group fallocate -l 60M m/two
            # It has given back all that it took.
            test "$(stat -c %b m/two)" = 0
            test "$(df --output=used -k m | tail -1)" -le $((61 << 10))
            fill m/one 60
            refused "No space left" fill m/three 60
            rm m/*; until_true 'in_group fallocate -l 60M m/two 2> /dev/null'
            """)
    }

    /// What was synced is kept aside while it is overwritten, and that is memory too.
    @Test func whatIsNotSynced() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            in_group "$mayfly" mount --quiet --size 100m --durability fsync m
            fill m/file 60; sync m/file; sync -f m
            refused "No space left" fill m/file 60
            ls -l m > /dev/null; sync m/file; fill m/file 20
            rm m/file; sync m
            until_true 'fill m/again 40 2> /dev/null'
            """)
    }

    /// Several servers in one group, all at once.
    @Test func severalServers() throws {
        try MemoryGroup.script(
            mebibytes: Self.group,
            """
            mkdir a b c
            for one in m a b c; do in_group "$mayfly" mount --quiet --size 200m $one; done
            for round in 1 2; do
                fillers=
                for one in m a b c; do fill $one/file 200 2> /dev/null & fillers="$fillers $!"; done
                for filler in $fillers; do if wait $filler; then echo "not refused"; exit 1; fi; done
                for one in m a b c; do ls -l $one > /dev/null; rm $one/file; done
                until_true 'test "$(used)" -lt 60'
            done
            """)
    }
}
