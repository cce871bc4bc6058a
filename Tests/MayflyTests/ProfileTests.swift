import Testing

@testable import Mayfly

/// One word for what a build does without.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ProfileTests {
    @Test func aBuildsProfileHasNoAttributesAndSaysSo() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m
            asked() { "$mayfly" stat m --json | python3 -ISc 'import json, sys; print(sum(o["count"] for o in json.load(sys.stdin)["operations"] if o["name"] == "getxattr"))'; }
            "$mayfly" mount --quiet m; for i in $(seq 50); do echo 1 > m/$i; done; [ "$(asked)" -ge 50 ]
            "$mayfly" stat m | grep -q '^profile    exact$'; "$mayfly" umount m
            "$mayfly" mount --quiet m --profile build; for i in $(seq 50); do echo 1 > m/$i; done; [ "$(asked)" -le 1 ]
            "$mayfly" stat m | grep -q '^profile    build: noxattr, noperm$'
            ! python3 -ISc 'import os; os.setxattr("m/1", "trusted.x", b"1")' 2> /dev/null; "$mayfly" umount m
            # What is said beside it counts for more; who lets others in has modes checked.
            "$mayfly" mount --quiet m -o profile=build,default_permissions; "$mayfly" stat m | grep -q '^profile    build: noxattr$'; "$mayfly" umount m
            "$mayfly" mount --quiet m --profile build --allow-other; "$mayfly" stat m | grep -q '^profile    build: noxattr$'; "$mayfly" umount m
            ! "$mayfly" mount m --profile fast 2> error; grep -q 'give exact or build' error
            # A run says what it would have spared, where that is something.
            "$mayfly" run -- sh -c 'for i in $(seq 1200); do echo > $i; done' 2> error; grep -q 'profile build would have spared 1[0-9]*' error
            "$mayfly" run --profile build -- sh -c 'for i in $(seq 1200); do echo > $i; done' 2> error; ! grep -q spared error
            "$mayfly" run -- true 2> error; ! grep -q spared error
            """#, seconds: 120)
        #expect(outcome.status == 0, "\(outcome.report)")
    }
}
