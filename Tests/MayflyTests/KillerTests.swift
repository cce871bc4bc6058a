import Testing

@testable import Mayfly

/// The OOM killer takes a client, as on tmpfs.
@Suite(.serialized, .enabled(if: MemoryGroup.isPossible, MemoryGroup.whyNot))
struct KillerTests {
    /// A full mount and a program that grows without end, both under one limit.
    @Test(arguments: [96, 128, 256], ["mount", "run"])
    func theProgramDiesAndTheMountStays(mebibytes: Int, way: String) throws {
        let outcome = try BuiltCommand.script(
            """
            \(MemoryGroup.prologue(mebibytes: mebibytes))
            cat > grow.py <<'EOF'
            held = []
            while True: held.append(bytearray(b'x' * (1 << 20)))
            EOF
            if [ \(way) = mount ]; then
                in_group "$mayfly" mount --quiet --size \(mebibytes / 2)m m
                fill m/file \(mebibytes / 2 - 4); sum=$(md5sum < m/file)
                status=0; in_group /usr/bin/python3 -IS grow.py 2> /dev/null || status=$?
                [ $status = 137 ]; [ "$(md5sum < m/file)" = "$sum" ]
            else
                in_group "$mayfly" run --quiet --size \(mebibytes / 2)m --at m -- sh -ec '
                    dd if=/dev/urandom of=m.file bs=1M count=\(mebibytes / 2 - 8) status=none; sum=$(md5sum < m.file)
                    status=0; /usr/bin/python3 -IS "$0" 2> /dev/null || status=$?
                    [ $status = 137 ]; [ "$(md5sum < m.file)" = "$sum" ]; [ "$(cat /proc/self/oom_score_adj)" = 0 ]
                ' "$PWD/grow.py"
            fi
            [ "$(killed)" -ge 1 ]
            """, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// Whoever may not have that is told so where it matters, and not elsewhere.
    @Test func whoMayNotIsTold() throws {
        let outcome = try BuiltCommand.script(
            """
            \(MemoryGroup.prologue(mebibytes: 96))
            limited() { in_group setpriv --bounding-set=-sys_resource "$@"; }
            limited "$mayfly" mount --quiet m 2> error; grep -q 'the OOM killer may end this server' error; "$mayfly" umount m
            limited "$mayfly" mount --quiet --size 8m --inodes 1000 m 2> error; [ ! -s error ]; "$mayfly" umount m
            in_group "$mayfly" mount --quiet m 2> error; [ ! -s error ]; "$mayfly" umount m
            setpriv --bounding-set=-sys_resource "$mayfly" mount --quiet m 2> error; [ ! -s error ]; "$mayfly" umount m
            """, seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
