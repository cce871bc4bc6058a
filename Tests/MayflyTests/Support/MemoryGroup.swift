import Glibc
import Testing

@testable import Mayfly

/// A memory cgroup for the programs of a shell script.
enum MemoryGroup {
    /// Whether one can be made here, of whichever version.
    static let isPossible: Bool = {
        guard BuiltCommand.canMount else { return false }
        let outcome = try? BuiltCommand.script(prologue(mebibytes: 64) + "\nin_group true")
        return outcome?.status == 0
    }()
    static let whyNot: Comment = "memory cgroups cannot be made here"

    /// Makes the group. In it runs what `in_group` begins; `killed` tells how many processes of it were
    /// killed for memory. Mounts on folders of `$folder`, and the group, go with the script.
    static func prologue(mebibytes: Int) -> String {
        """
        if test -d /sys/fs/cgroup/memory; then
            group=/sys/fs/cgroup/memory/mayfly-test-$$ limits="memory.limit_in_bytes memory.memsw.limit_in_bytes"
            events=memory.oom_control
        else
            echo +memory > /sys/fs/cgroup/cgroup.subtree_control
            group=/sys/fs/cgroup/mayfly-test-$$ limits=memory.max events=memory.events
        fi
        mkdir "$group"
        in_group() { (echo $BASHPID > "$group/cgroup.procs"; exec "$@"); }
        killed() { sed -n 's/^oom_kill //p' "$group/$events"; }
        used() { echo $(($(cat "$group/memory.usage_in_bytes" "$group/memory.current" 2> /dev/null) >> 20)); }
        leave() {
            set +e; cd /
            for one in "$folder"/*/; do if mountpoint -q "$one"; then "$mayfly" umount "$one"; fi; done
            for _ in $(seq 100); do if rmdir "$group" 2> /dev/null; then break; fi; sleep 0.05; done
            rm -rf --one-file-system "$folder"
        }
        trap leave EXIT
        for limit in $limits; do
            if test -e "$group/$limit"; then echo $((\(mebibytes) << 20)) > "$group/$limit"; fi
        done
        cd "$folder"; mkdir m
        # So many MiB that are no zeros.
        fill() { in_group dd if=/dev/urandom of="$1" bs=1M count="$2" conv=notrunc status=none; }
        # That it comes to an end, with an error of one line that has a text in it.
        refused() {
            text=$1; shift
            if "$@" 2> "$folder/error"; then echo "not refused: $*"; return 1; fi
            grep -q "$text" "$folder/error" || { cat "$folder/error"; return 1; }
            test "$(wc -l < "$folder/error")" = 1
        }
        """
    }

    /// Runs a script in which the group has so much memory, and in the end nobody of it was killed.
    static func script(
        mebibytes: Int, _ body: String, seconds: Int = 120,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let outcome = try BuiltCommand.script(
            """
            \(prologue(mebibytes: mebibytes))
            \(body)
            test "$(killed)" = 0
            """, seconds: seconds)
        #expect(outcome.status == 0, "\(outcome.report)", sourceLocation: sourceLocation)
    }
}
