import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost

/// The commands that ask a server, and what documents them.
@Suite(.serialized) struct ControlCommandTests {
    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func aDeadServerIsListedAndItsSocketRemoved() throws {
        let outcome = try BuiltCommand.script(
            """
            "$mayfly" mount "$folder" --size 8m > /dev/null
            trap 'cd /; umount -l "$folder"; rmdir "$folder"' EXIT
            number=$(mountpoint -d "$folder" | cut -d: -f2)
            test -S /run/mayfly/$number.sock
            "$mayfly" list | grep -E "^$folder +serving +0 B +8 MiB +1 "
            server=$("$mayfly" list --json | tr -d ' \\n' |
                grep -o "\\"mountpoint\\":\\"$folder\\",\\"processID\\":[0-9]*" | head -1 |
                grep -o '[0-9]*$')
            kill -9 "$server"
            until_true '"$mayfly" list | grep -qE "^$folder +dead "'
            test ! -e /run/mayfly/$number.sock
            test ! -e /run/mayfly/$number.json
            status=0
            "$mayfly" stat "$folder" || status=$?
            echo "stat: $status"
            """)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.hasSuffix("stat: 32\n"), "\(outcome.output)")
    }

    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func statTopAndResizeTellOfAMountAndLeaveNothing() throws {
        let outcome = try BuiltCommand.script(
            """
            "$mayfly" mount "$folder" --size 8m > /dev/null
            trap 'cd /; umount -l "$folder" 2> /dev/null || true; rmdir "$folder"' EXIT
            number=$(mountpoint -d "$folder" | cut -d: -f2)
            head -c 1m /dev/zero > "$folder/file"
            "$mayfly" stat "$folder"
            "$mayfly" top "$folder" --once --interval 0.1
            "$mayfly" resize "$folder" --size 2m
            "$mayfly" check "$folder"
            "$mayfly" umount "$folder"
            until_true '! test -e /run/mayfly/$number.sock'
            test ! -e /run/mayfly/$number.json
            """)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("bytes      1 MiB of 8 MiB (12.5 %)"))
        #expect(outcome.output.contains("HOT FILES"))
        #expect(outcome.output.contains("has 2 MiB and"))
        #expect(outcome.output.contains("sound; 2 inodes, 1 of them directories, 0 without a name"))
        #expect(!outcome.output.contains("\u{1B}"), "colour where there is no terminal")
    }

    /// Of two mounts the larger has more inodes, unless somebody says how many.
    @Test func inodesGrowWithTheSize() throws {
        let outcome = try BuiltCommand.script(
            """
            m="$folder/m"; mkdir "$m"
            inodes() { df --output=itotal "$m" | tail -n 1 | tr -d ' '; }
            "$mayfly" mount "$m" --size 8m > /dev/null 2>&1; [ "$(inodes)" = 262144 ]
            "$mayfly" resize "$m" --size 300m > /dev/null; [ "$(inodes)" = 307200 ]
            "$mayfly" resize "$m" --size 9m > /dev/null; [ "$(inodes)" = 307200 ]
            "$mayfly" umount "$m"
            "$mayfly" mount "$m" --size 8m --inodes 9 > /dev/null 2>&1
            "$mayfly" resize "$m" --size 300m > /dev/null; [ "$(inodes)" = 9 ]
            "$mayfly" umount "$m"
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func completionsNameTheCommands(_ shell: String) throws {
        let outcome = try BuiltCommand.run(["--generate-completion-script", shell])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        for command in [
            "mount", "umount", "run", "list", "stat", "top", "resize", "check", "bench",
        ] {
            #expect(outcome.output.contains(command))
        }
    }
}
