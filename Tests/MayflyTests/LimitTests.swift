import Testing

@testable import Mayfly

/// Memory: what is taken, refused and given back.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: BuiltCommand.canMount, "needs root and /dev/fuse"))
struct LimitTests {
    /// Starts a server on `$folder/m` with its number in `$server`.
    private static func mount(_ options: String) -> String {
        #"""
        m="$folder/m"
        mkdir "$m"
        "$mayfly" mount --foreground \#(options) "$m" > "$folder/out" & server=$!
        trap 'set +e; cd /; umount -l "$m" 2> /dev/null; wait; rm -rf --one-file-system "$folder"' EXIT
        until_true 'grep -q " $m fuse.mayfly " /proc/self/mounts'
        resident() { awk '/^VmRSS/ { print int($2 / 1024) }' /proc/$server/status; }

        """#
    }

    @Test func freedMemoryGoesBackWithinASecond() throws {
        let outcome = try BuiltCommand.script(
            Self.mount("--size 1g") + #"""
                before=$(resident)
                # A machine that is busy elsewhere may be late, but not each time.
                for try in 1 2 3 4 5; do
                    dd if=/dev/zero of="$m/big" bs=1M count=512 2> /dev/null
                    [ "$(resident)" -ge $((before + 500)) ]
                    rm "$m/big"
                    sleep 1
                    left=$(($(resident) - before))
                    if [ $left -lt 32 ]; then break; fi
                done
                echo $left
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        let left = Int(outcome.output.split(separator: "\n").last ?? "")
        #expect((left ?? 1000) < 32, "\(outcome)")
    }

    @Test(arguments: ["auto", "dev"])
    func aFullMountLetsFilesBeRemoved(_ transport: String) throws {
        let outcome = try BuiltCommand.script(
            Self.mount("--size 8m --inodes 200 --transport \(transport)") + #"""
                mkdir "$m/d"
                for i in $(seq 300); do : > "$m/d/$i" || break; done 2> "$folder/full"
                grep -c 'No space left' "$folder/full"
                rm "$m/d/1" "$m/d/2"
                : > "$m/d/1"
                dd if=/dev/zero of="$m/d/1" bs=64k 2>&1 | grep -c 'No space left' || true
                df --output=avail "$m" | tail -1
                if echo x > "$m/d/3"; then echo written; fi 2> /dev/null
                rm "$m/d/1"
                echo x > "$m/d/3" && cat "$m/d/3"
                rm -r "$m/d"
                df --output=used "$m" | tail -1
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        let words = outcome.output.split(whereSeparator: \.isWhitespace)
        #expect(words == ["1", "1", "0", "x", "0"], "\(outcome)")
    }

    /// Makes a memory cgroup `$group` of 256 MiB, or ends the script with the word "none".
    private static let cgroup = #"""
            # Either hierarchy; where no cgroup may be made there is nothing to see.
            for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
                [ -e "$root/memory.limit_in_bytes" ] && limit=memory.limit_in_bytes && break
                [ -e "$root/cgroup.controllers" ] && limit=memory.max && break
                limit=
            done
            [ -n "$limit" ] || { echo none; exit 0; }
            group="$root/mayfly-test-$$"
            mkdir "$group" 2> /dev/null || { echo none; exit 0; }
            [ -e "$group/$limit" ] || { rmdir "$group"; echo none; exit 0; }
            echo 268435456 > "$group/$limit"

        """#

    @Test func theSizeFollowsTheMemoryCgroup() throws {
        let outcome = try BuiltCommand.script(
            Self.cgroup + #"""
                sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" \
                    "$mayfly" run --quiet -- sh -c '
                        df --output=size . | tail -1
                        dd if=/dev/zero of=big bs=1M 2>&1 | grep -c "No space left"' || echo "status $?"
                until_true 'rmdir "$group" 2> /dev/null'
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        let words = outcome.output.split(whereSeparator: \.isWhitespace)
        #expect(words == ["131072", "1"] || words == ["none"], "\(outcome)")
    }

    /// The size is more than there is: the client is told, and the server lives on.
    @Test func memoryThatCannotBeHadIsENOSPC() throws {
        let outcome = try BuiltCommand.script(
            Self.cgroup + #"""
                m="$folder/m"
                mkdir "$m"
                sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" \
                    "$mayfly" mount --foreground --quiet --size 1g --queue-depth 1 "$m" & server=$!
                trap 'set +e; cd /; umount -l "$m" 2> /dev/null; wait
                    until_true "rmdir $group 2> /dev/null"; rm -rf --one-file-system "$folder"' EXIT
                until_true 'grep -q " $m fuse.mayfly " /proc/self/mounts'
                dd if=/dev/zero of="$m/big" bs=1M count=1000 2>&1 | grep -c 'No space left'
                [ "$(stat -c %s "$m/big")" -gt 100000000 ] && echo much
                kill -0 $server && rm "$m/big"
                until_true 'dd if=/dev/zero of="$m/again" bs=1M count=100 2> /dev/null'
                echo again
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        let words = outcome.output.split(whereSeparator: \.isWhitespace)
        #expect(words == ["1", "much", "again"] || words == ["none"], "\(outcome)")
    }

    @Test func aReservationThatIsRefusedIsOneLine() throws {
        let outcome = try BuiltCommand.script(
            #"""
            for limit in '-v 4000000' '-n 5'; do
                (ulimit $limit; "$mayfly" mount --size 16g "$folder" || echo $?)
            done
            """#)
        #expect(outcome.output == "2\n2\n", "\(outcome)")
        let lines = outcome.errors.split(separator: "\n")
        try #require(lines.count == 2, "\(outcome)")
        #expect(lines[0].hasPrefix("mayfly: no memory for a file system of 16 GiB"), "\(outcome)")
        #expect(lines[1].hasPrefix("mayfly: the server cannot be started"), "\(outcome)")
        #expect(lines[1].hasSuffix("raise `ulimit -u` and `ulimit -n`"), "\(outcome)")
    }
}
