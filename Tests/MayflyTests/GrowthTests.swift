import Testing

@testable import Mayfly

/// Whatever is done to a mount again and again, its server does not grow.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct GrowthTests {
    /// Runs `round` in a script some times, then more times, and again, and expects the server of the mount $m
    /// to hold no more after that than after the first.
    private func expectNoGrowth(
        _ options: String = "", rounds: Int, kibibytes: UInt64 = 512, _ round: String
    ) throws {
        let outcome = try BuiltCommand.script(
            IdleTests.functions + #"""
                held() {
                    # What ends does so a moment later, and memory goes back when the mount rests.
                    until_true 'is_still $server'
                    echo "$(ls /proc/$server/fd | wc -l) $(ls /proc/$server/task | wc -l)" \
                        "$(wc -l < /proc/$server/maps)" \
                        "$(awk '/^(VmSize|RssAnon)/ { print $2 }' /proc/$server/status | xargs)"
                }
                round() {
                \#(round)
                }
                "$mayfly" mount --quiet --size 64m \#(options) "$m"
                server=$(server_of "$m")
                echo x > "$m/kept"
                # What the allocator keeps for each thread is full after some twenty rounds.
                for i in $(seq 24); do round; done > /dev/null
                held
                for half in 1 2; do
                    for i in $(seq \#(rounds / 2)); do round; done > /dev/null
                    held
                done
                "$mayfly" umount "$m"
                """#, seconds: 120)
        #expect(outcome.status == 0, "\(outcome)")
        let found = outcome.output.split(separator: "\n").map { line in
            line.split(separator: " ").compactMap { UInt64($0) }
        }
        try #require(found.count == 3 && found.allSatisfy { $0.count == 5 }, "\(outcome)")
        let (before, middle, after) = (found[0], found[1], found[2])
        #expect(after[0] <= before[0], "descriptors: \(outcome)")
        #expect(after[1] <= before[1], "threads: \(outcome)")
        // The C library keeps the stacks of some threads that have ended.
        #expect(after[2] <= before[2] + 12, "mappings: \(outcome)")
        #expect(after[3] <= before[3] + 40 << 10, "address space in KiB: \(outcome)")
        // What the allocator can give back differs by some MiB from time to time: what is lost in each round grows
        // in both halves.
        #expect(
            min(middle[4], after[4]) <= before[4] + kibibytes || after[4] <= middle[4] + kibibytes,
            "memory in KiB: \(outcome)")
    }

    @Test func forksLeaveNothing() throws {
        try expectNoGrowth(
            rounds: 60, #""$mayfly" fork "$m" "$folder/f"; "$mayfly" umount "$folder/f""#)
    }

    @Test func snapshotsRollbacksAndSavesLeaveNothing() throws {
        try expectNoGrowth(
            rounds: 25,
            #"""
            "$mayfly" snapshot "$m" s
            echo y > "$m/new"
            "$mayfly" diff "$m" s || [ $? = 1 ]
            "$mayfly" rollback "$m" s
            "$mayfly" snapshots "$m" --remove s
            "$mayfly" save "$m" "$folder/image"
            "$mayfly" check "$m"
            """#)
    }

    @Test func faultsAndCrashesLeaveNothing() throws {
        try expectNoGrowth(
            "--durability fsync", rounds: 25,
            #"""
            "$mayfly" fault add "$m" --op write --errno EIO --path none
            "$mayfly" fault clear "$m"
            echo y > "$m/new"
            "$mayfly" crash "$m"
            """#)
    }

    /// A tree that comes and goes leaves its server as it was, and `stat` names what there is.
    @Test func aTreeThatIsRemovedLeavesNothing() throws {
        let outcome = try BuiltCommand.script(
            IdleTests.functions + #"""
                part() { "$mayfly" stat "$m" --json | tr -d ' ,' | sed -n "s/^\"$1\"://p" | head -n 1; }
                "$mayfly" mount --quiet "$m"
                server=$(server_of "$m")
                until_true 'is_still $server'
                part residentBytes
                mkdir "$m"/{0..79}
                for d in "$m"/*; do (cd "$d"; touch {0..249}); done
                rm -r "$m"/*
                until_true 'is_still $server'
                part residentBytes
                for name in arena tables ring snapshots program; do part $name; done
                "$mayfly" umount "$m"
                """#)
        #expect(outcome.status == 0, "\(outcome)")
        let found = outcome.output.split(separator: "\n").compactMap { UInt64($0) }
        try #require(found.count == 7, "\(outcome)")
        #expect(found[1] < found[0] + 20 << 20, "\(outcome)")
        // Each is a small part, and the rest is the program.
        #expect(found[2] < 8 << 20 && found[3] < 1 << 20 && found[5] == 0, "\(outcome)")
        #expect(found[6] > 1 << 20, "\(outcome)")
    }
}
