// Memory that ends, with `mount --survive`: the program that grows dies, the mount and its content stay.

import Testing

@testable import Mayfly

@Suite(.serialized, .enabled(if: MemoryGroup.isPossible, MemoryGroup.whyNot))
struct SurvivalMemoryTests {
    /// Who mounts.
    enum Mounter: String, CaseIterable {
        case root
        /// Without the right to be the last that the OOM killer takes.
        case limited
    }

    @Test(arguments: [96, 160, 256], Mounter.allCases)
    func theProgramDies(_ mebibytes: Int, _ mounter: Mounter) throws {
        let limited = "setpriv --bounding-set=-sys_resource"
        let outcome = try BuiltCommand.script(
            """
            \(MemoryGroup.prologue(mebibytes: mebibytes))
            in_group \(mounter == .limited ? limited : "") "$mayfly" mount --quiet --survive \\
                --size \(mebibytes / 4)m --inodes 1000 m
            fill m/file \(mebibytes / 8); sum=$(md5sum < m/file)
            cat > grow.py <<'PROGRAM'
            grown = []
            while True: grown.append(b"x" * (1 << 20))
            PROGRAM
            for _ in 1 2 3; do
                status=0; in_group python3 "$PWD/grow.py" 2> /dev/null || status=$?
                test $status = 137
                # Where a server was killed there is another one at once.
                until_true 'test "$(md5sum 2> /dev/null < m/file)" = "$sum"'
            done
            test "$(killed)" -ge 3
            "$mayfly" stat m | grep 'survives   guardian pid'
            deaths=$("$mayfly" stat m --json | sed -n 's/.*"deaths" : \\([0-9]*\\).*/\\1/p')
            if \(mounter == .root) && (echo -999 > /proc/self/oom_score_adj) 2> /dev/null; then
                test "$deaths" = 0
            fi
            echo new > m/new; test "$(cat m/new)" = new
            until_true '"$mayfly" check m'
            """, seconds: 240)
        #expect(outcome.status == 0, "\(outcome.report)")
        print(
            "\(mebibytes) MiB, \(mounter): \(outcome.output.split(separator: "\n").first { $0.contains("survives") } ?? "")"
        )
    }
}
