import Mayfly
import Testing

/// The built command: one line on the standard error and the exit status for everything that ends
/// before there is a mount.
@Suite struct CommandTests {
    @Test(
        arguments: [
            (["mount"], 1, "missing expected argument '<directory>'"),
            (["mount", "/nonexistent"], 1, "mountpoint /nonexistent does not exist: make it with"),
            (["mount", "/etc/passwd"], 1, "mountpoint /etc/passwd is not a directory"),
            (["mount", "/etc/passwd/x"], 1, "mountpoint /etc/passwd/x is not a directory"),
            (["mount", ""], 1, "the mountpoint is empty"),
            (["mount", "/tmp", "--size", "12x"], 1, "bad --size '12x': give bytes"),
            (["mount", "/tmp", "--size=-1"], 1, "bad --size '-1'"),
            (["mount", "/tmp", "--mode", "999"], 1, "bad --mode '999'"),
            (
                ["mount", "/tmp", "--uid", "no-such-user"], 1,
                "bad --uid 'no-such-user': there is no"
            ),
            (["mount", "/tmp", "--queue-depth", "0"], 1, "bad --queue-depth '0': give 1 to 1024"),
            (["mount", "/tmp", "--max-payload", "9k"], 1, "bad --max-payload '9k'"),
            (
                ["mount", "/tmp", "--transport", "tcp"], 1,
                "bad --transport 'tcp': give one of auto"
            ),
            (["mount", "/tmp", "-o", "size=1m,huge"], 1, "unknown option 'huge' in -o"),
            (["mount", "/tmp", "-osize"], 1, "option size needs a value"),
            (
                ["mount", "/tmp", "--bogus"], 1,
                "unknown option '--bogus' (see `mayfly mount --help`)"
            ),
            (["umount"], 1, "missing expected argument"),
            (["umount", "/proc"], 1, "/proc is not a mayfly mount but proc"),
            (["umount", "/etc"], 1, "/etc is not a mountpoint"),
            (["umount", "/nonexistent"], 1, "/nonexistent does not exist"),
            (["run"], 125, "no command: write it after --"),
            (["run", "true"], 125, "unexpected argument 'true'"),
            (["run", "--size", "x", "--", "true"], 125, "bad --size 'x'"),
            (
                ["run", "--at", "/nonexistent", "--", "true"], 125,
                "mountpoint /nonexistent does not"
            ),
            (["run", "--at", "", "--", "true"], 125, "--at is empty"),
            (["bogus"], 1, "unexpected argument 'bogus' (see `mayfly --help`)"),
        ] as [([String], Int32, String)])
    func errorsAreOneLine(_ arguments: [String], _ status: Int32, _ start: String) throws {
        let outcome = try BuiltCommand.run(arguments)
        #expect(outcome.status == status)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("mayfly: \(start)"), "\(outcome.errors)")
        #expect(outcome.errors.hasSuffix("\n"))
        #expect(outcome.errors.dropLast().contains("\n") == false, "\(outcome.errors)")
    }

    @Test func theVersionIsPrinted() throws {
        let outcome = try BuiltCommand.run(["--version"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output == "mayfly \(MayflyVersion.text)\n")
    }

    @Test(arguments: ["mount", "umount", "run"])
    func helpHasAnExampleAndTheExitStatuses(_ command: String) throws {
        let outcome = try BuiltCommand.run([command, "--help"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.contains("EXAMPLE:\n  mayfly \(command) "))
        #expect(outcome.output.contains("EXIT STATUS:\n"))
    }
}
