import Testing

@testable import Mayfly
@testable import MayflyRunning

/// Errors say the same to programs and to people, each in their words.
@Suite struct ErrorTextTests {
    @Test func aSettingHasTheNameThatItsReaderKnows() {
        let error = MountError(
            .usage, code: .badSize, "it is \(3) MiB: give a larger \(setting: .size)")
        #expect(error.message == "it is 3 MiB: give a larger size")
        #expect(error.line == "it is 3 MiB: give a larger --size")
        #expect(error.code.rawValue == "bad-size")
        let queues: ErrorText = "lower \(setting: .queueDepth)" + " or " + "\(setting: .maxPayload)"
        #expect(MountError(.system, queues).line == "lower --queue-depth or --max-payload")
        #expect(MountError(.system, "no \(queues)").message == "no lower queueDepth or maxPayload")
    }

    @Test func linesAreEqualHoweverTheyWereMade() {
        let text = "three"
        #expect(MountError(.busy, "one two three") == MountError(.busy, "one " + "two \(text)"))
        #expect(("one " + "two \(text)" as ErrorText) == ErrorText("one two three"))
        #expect(("a size" as ErrorText) != "a \(setting: .size)")
    }

    /// As they go over the socket.
    @Test func partsAreTheLineAgain() {
        let text: ErrorText = "give a larger \(setting: .size) or \(setting: .inodes)"
        #expect(text.parts == ["give a larger ", "size", " or ", "inodes", ""])
        #expect(text.parts.map(ErrorText.init(parts:)) == text)
        #expect(ErrorText("plain").parts == nil)
        #expect(ErrorText(parts: ["a ", "newer", " one"]).description == "a newer one")
    }

    @Test(arguments: [
        (MountError.Kind.usage, MountError.Code.badArgument), (.system, .noResources),
        (.mount, .failed),
        (.busy, .busy),
    ])
    func aKindHasACode(_ kind: MountError.Kind, _ code: MountError.Code) {
        #expect(MountError(kind, "x").code == code)
    }
}

@Suite(
    .serialized, .timeLimit(.minutes(2)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ErrorCodeTests {
    /// Over the socket the code comes along; the command says the options that its user types.
    @Test func codesComeOverTheSocket() throws {
        let outcome = try BuiltCommand.script(
            #"""
            cd "$folder"; mkdir m
            "$mayfly" mount m --size 100t || echo "status $?"
            socket=$("$mayfly" mount m --size 8m --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["socket"])')
            head -c 1m /dev/zero > m/f; "$mayfly" snapshot m a > /dev/null
            ask() { curl --silent --show-error --unix-socket "$socket" -d "$2" "http://m/v1/$1" | python3 -c 'import json, sys
            answer = json.load(sys.stdin); print(answer["code"], "|", answer["error"])'; }
            ask rollback '{"name": "nosuch"}'
            ask snapshots '{"name": "a"}'
            "$mayfly" snapshot m a || true
            "$mayfly" resize m --size 4k || true
            ask limits '{"sizeBytes": 4096}'
            ask crash '{}'
            ask faults '{"operation": "write", "crash": "before"}'
            ask remove '{"path": "nosuch"}'
            "$mayfly" umount m > /dev/null
            """#)
        #expect(
            outcome.output == """
                status 1
                no-such-snapshot | there is no snapshot 'nosuch': there are a
                name-taken | there is a snapshot 'a' already: give another name, or replace
                bad-size | 1048576 bytes (1 MiB) are in use: remove files first, or give a larger size
                unsupported | the mount does not know what was synced: mount with durability fsync
                unsupported | the mount does not know what was synced, and so cannot lose the rest: mount with durability fsync
                no-such-path | there is no nosuch in the mount (No such file or directory): name what is there

                """, "\(outcome.report)")
        #expect(
            outcome.errors == """
                mayfly: a size of 100 TiB is more than a mount can have: give a --size below 64t
                mayfly: there is a snapshot 'a' already: give another name, or --replace
                mayfly: 1048576 bytes (1 MiB) are in use: remove files first, or give a larger --size

                """, "\(outcome.report)")
    }
}
