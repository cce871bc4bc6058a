import Testing

@testable import Mayfly
@testable import MayflyHost

/// A process that nobody can look at, which any user can make, holds up no command.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ProcessScanTests {
    /// The process hangs in execve(2), as that closes a file on a mount whose server is stopped. No
    /// time limit may end the script before it has let the server go on.
    @Test func aProcessThatHangsInExecHoldsUpNobody() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir a b
            "$mayfly" mount --quiet a --size 16m --faults --transport dev
            "$mayfly" mount --quiet b --size 16m
            server=$("$mayfly" stat a --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["processID"])')
            python3 -ISc 'import os, sys, time
            kept = os.open("a/file", os.O_RDWR | os.O_CREAT)
            print(os.getpid(), flush=True)
            while not os.path.exists("go"): time.sleep(0.01)
            os.execv("/bin/true", ["true"])' > pid & hangs=$!
            trap 'kill -CONT $server; wait $hangs; cd /; "$mayfly" umount "$folder/a"
                rm -rf --one-file-system "$folder"' EXIT
            until_true '[ -s pid ]'
            kill -STOP $server; touch go
            # From now on it cannot be looked at.
            until_true '! timeout 1 readlink /proc/$(cat pid)/exe > /dev/null'
            (cd b; exec sleep 100) & holder=$!
            until_true '[ "$(readlink /proc/$holder/cwd)" = "$folder/b" ]'
            if timeout 20 "$mayfly" umount b 2> error; then exit 4; fi
            grep -q "is busy, kept so by $holder (sleep)" error
            kill $holder; wait $holder || true
            timeout 20 "$mayfly" list > /dev/null
            timeout 20 "$mayfly" run --quiet -- sh -c 'sleep 100 & exit 7' 2> /dev/null && exit 5
            timeout 20 "$mayfly" umount b
            """#, seconds: 240)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test func looksThatHangAreLeftAlone() {
        let outcome = ProcessScan.of([1, 2, 3, 4], seconds: 2) { number -> Int32? in
            while number == 2 { _ = poll(seconds: 1) { false } }
            return number == 3 ? nil : number * 10
        }
        #expect(outcome.found.map(\.processID) == [1, 4])
        #expect(outcome.found.map(\.value) == [10, 40])
        #expect(!outcome.isComplete)
        let first = ProcessScan.of(Array(1...100), most: 1) { $0 }
        #expect(first.found.map(\.value) == [1])
        #expect(first.isComplete)
        #expect(ProcessScan.of([], { $0 }).isComplete)
    }
}
