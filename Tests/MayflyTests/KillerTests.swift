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
            may_be_last() { (echo -999 > /proc/self/oom_score_adj) 2> /dev/null; }
            if [ \(way) = mount ]; then
                in_group "$mayfly" mount --quiet --size \(mebibytes / 2)m m 2> error
                fill m/file \(mebibytes / 2 - 4); sum=$(md5sum < m/file)
                # Where nothing can be done about clients, it says what may come.
                if ! may_be_last; then grep -q 'the OOM killer may end this server' error; exit 0; fi
                [ ! -s error ]; status=0; in_group /usr/bin/python3 -IS grow.py 2> /dev/null || status=$?
                [ $status = 137 ]; [ "$(md5sum < m/file)" = "$sum" ]
            else
                in_group "$mayfly" run --quiet --size \(mebibytes / 2)m --at m -- sh -ec 'cd m
                    dd if=/dev/urandom of=m.file bs=1M count=\(mebibytes / 2 - 8) status=none; sum=$(md5sum < m.file)
                    status=0; /usr/bin/python3 -IS "$0" 2> /dev/null || status=$?
                    [ $status = 137 ]; [ "$(md5sum < m.file)" = "$sum" ]
                ' "$PWD/grow.py"
                # The command is as it was where the server is the last, and the first where it is not.
                wanted=1000; if may_be_last; then wanted=0; fi
                [ "$("$mayfly" run --quiet -- cat /proc/self/oom_score_adj)" = $wanted ]
            fi
            [ "$(killed)" -ge 1 ]
            """, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// Whoever may not have that is told so where it matters, and not elsewhere.
    @Test func whoMayNotIsTold() throws {
        let outcome = try BuiltCommand.script(
            """
            \(MemoryGroup.prologue(mebibytes: 512))
            limited() { in_group setpriv --bounding-set=-sys_resource "$@"; }
            limited "$mayfly" mount --quiet m 2> error; grep -q 'the OOM killer may end this server' error; "$mayfly" umount m
            limited "$mayfly" mount --quiet --size 8m --inodes 1000 m 2> error; [ ! -s error ]; "$mayfly" umount m
            if (echo -999 > /proc/self/oom_score_adj) 2> /dev/null; then
                in_group "$mayfly" mount --quiet m 2> error; [ ! -s error ]; "$mayfly" umount m
            fi
            setpriv --bounding-set=-sys_resource "$mayfly" mount --quiet m 2> error; [ ! -s error ]; "$mayfly" umount m
            """, seconds: 60)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
