import Testing

@testable import Mayfly
@testable import MayflyRunning
@testable import MayflyServing

/// A mount that nobody uses wakes nobody: no thread of its server runs at all.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct IdleTests {
    /// `switches PID...` prints how often the threads of processes went to sleep so far, and `is_still`
    /// is true when that does not change for two seconds.
    static let functions = #"""
        switches() {
            for process in "$@"; do
                grep -H ^voluntary_ctxt_switches /proc/$process/task/*/status
            done
        }
        is_still() {
            before=$(switches "$@")
            sleep 2
            [ -n "$before" ] && [ "$before" = "$(switches "$@")" ]
        }
        server_of() { "$mayfly" stat "$1" --json | sed -n 's/.*"processID" *: *\([0-9]*\).*/\1/p'; }
        m="$folder/m"
        mkdir "$m" "$folder/f"

        """#

    @Test func theBackgroundServerAndItsForks() throws {
        let outcome = try BuiltCommand.script(
            Self.functions + #"""
                "$mayfly" mount --quiet "$m"
                server=$(server_of "$m")
                until_true 'is_still $server'
                # It wakes up for work, and rests again.
                for i in $(seq 50); do echo x > "$m/$i"; done
                rm "$m"/*
                until_true 'is_still $server'
                "$mayfly" fork "$m" "$folder/f" > /dev/null
                touch "$folder/f/x" "$m/y"
                until_true 'is_still $server'
                "$mayfly" umount "$folder/f"
                "$mayfly" umount "$m"
                """#)
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test func theServerInTheForegroundAndWithoutTheRing() throws {
        let outcome = try BuiltCommand.script(
            Self.functions + #"""
                for transport in auto dev; do
                    "$mayfly" mount --foreground --quiet --transport $transport "$m" & server=$!
                    until_true 'mountpoint -q "$m"'
                    touch "$m/x"
                    until_true 'is_still $server'
                    "$mayfly" umount "$m"
                    wait $server
                done
                """#)
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test func aRun() throws {
        let outcome = try BuiltCommand.script(
            Self.functions + #"""
                "$mayfly" run -- sh -c 'touch x; exec sleep 60' & run=$!
                until_true 'pgrep -P $run > /dev/null'
                until_true 'is_still $run $(pgrep -P $run)'
                kill -TERM $run
                wait $run || [ $? = 143 ]
                """#)
        #expect(outcome.status == 0, "\(outcome)")
    }

    @Test func theBellEndsASleepOnceItIsRung() {
        let bell = MaintenanceBell()
        defer { bell.deallocate() }
        #expect(!bell.isAsleep)
        bell.ring()
        bell.fallAsleep()
        #expect(bell.isAsleep)
        #expect(!bell.sleep(milliseconds: 1))
        bell.ring()
        #expect(!bell.isAsleep)
        #expect(bell.sleep(milliseconds: nil))
        let looks = bell.looks
        bell.noteLook()
        #expect(bell.looks == looks + 1)
        bell.end()
        bell.fallAsleep()
        #expect(bell.hasEnded)
        #expect(bell.sleep(milliseconds: nil))
    }
}
