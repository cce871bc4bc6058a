import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyCommand

/// Commands that are told little: without a directory, with several, or mistyped.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct NearestMountTests {
    @Test(
        arguments: [
            ("mout", "mount"), ("snaphsot", "snapshot"), ("LIST", "list"), ("umonut", "umount"),
            ("bogus", nil), ("", nil), ("xyzzy", nil), ("ls", nil), ("mountmount", nil),
        ] as [(String, String?)])
    func aSuggestionIsNear(_ typed: String, _ wanted: String?) {
        let words = ["mount", "umount", "list", "snapshot", "run", "stat"]
        #expect(Suggestion.nearest(typed, words) == wanted)
    }

    @Test func commandsTakeTheMountThatOneIsIn() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m; "$mayfly" mount --quiet --durability fsync m; mkdir m/sub; cd m/sub
            "$mayfly" stat --json | grep -o '"mountpoint" *: *"[^"]*"' | grep -c 'm"'
            "$mayfly" snapshot > /dev/null; echo 1 > f; "$mayfly" diff | grep -c f; "$mayfly" unsynced | grep -c f
            "$mayfly" fault list > /dev/null; "$mayfly" check > /dev/null; "$mayfly" rollback > /dev/null
            [ ! -e f ]; cd "$folder"; "$mayfly" umount m
            "$mayfly" stat || echo $?
            """#)
        #expect(outcome.status == 0 && outcome.output == "1\n1\n2\n1\n", "\(outcome.report)")
        #expect(outcome.errors.hasPrefix("mayfly: . is "), "\(outcome.report)")
    }

    @Test func severalAreUnmounted() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir a b c d
            for place in a b c d; do "$mayfly" mount --quiet --size 8m $place; done
            # One that is busy keeps the others from nothing.
            exec 3> b/held; "$mayfly" umount a none b "$folder/c" || echo $?
            grep -o "$folder/[a-d] " /proc/self/mounts | grep -o '[a-d] $'
            exec 3>&-; "$mayfly" umount --all; grep -c "$folder/" /proc/self/mounts || true
            """#)
        #expect(outcome.status == 0 && outcome.output == "32\nb \nd \n0\n", "\(outcome.report)")
        let lines = outcome.errors.split(separator: "\n")
        #expect(
            lines.count == 2 && lines[0].contains("none") && lines[1].contains("/b"),
            "\(outcome.report)")
    }
}
