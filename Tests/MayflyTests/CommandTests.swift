import Mayfly
import Testing

@testable import MayflyRunning

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
                ["mount", "/tmp", "--xyzzyx"], 1,
                "unknown option '--xyzzyx' (see `mayfly mount --help`)"
            ),
            (["umount", "/proc"], 1, "/proc is not a mayfly mount but proc"),
            (["umount", "/etc"], 1, "/etc is not a mountpoint"),
            (["umount", "/nonexistent"], 1, "/nonexistent does not exist"),
            (["stat"], 1, ". is not in a mayfly mount but in "),
            (["stat", "/proc"], 1, "/proc is not in a mayfly mount but in proc at /proc"),
            (["stat", "/nonexistent"], 1, "/nonexistent is not in a mayfly mount"),
            (["top", "/proc", "--interval", "0"], 1, "bad --interval '0': give 0.1 to 3600"),
            (["resize", "/proc"], 1, "nothing to change: give --size, --inodes or both"),
            (["resize", "/proc", "--size", "x"], 1, "bad --size 'x'"),
            (["list", "x"], 1, "unexpected argument 'x' (see `mayfly list --help`)"),
            (["bench", "--rounds", "0"], 1, "bad --rounds '0': give 1 to 1000"),
            (["bench", "--only", "fly"], 1, "unknown workload 'fly' in --only"),
            (["bench", "--only", ""], 1, "--only is empty"),
            (["bench", "--no-mayfly"], 1, "no folder: name one, or leave out --no-mayfly"),
            (["bench", "/nonexistent"], 1, "/nonexistent is no folder to measure in (No such"),
            (["bench", "/etc/passwd"], 1, "/etc/passwd is not a directory"),
            (["bench", "/tmp", "--plot", "x.png"], 1, "bad --plot 'x.png': name a file ending"),
            (["bench", "--plot", "x.svg"], 1, "--plot compares folders: name a directory more"),
            (["bench", "/tmp", "--size", "12x"], 1, "bad --size '12x'"),
            (
                ["bench", "--no-mayfly", "/tmp", "--json", "/nonexistent/x"], 1,
                "--json /nonexistent/x cannot be written (No such"
            ),
            (["run", "--bogus", "true"], 125, "unknown option '--bogus'"),
            (["run", "--size", "x", "--", "true"], 125, "bad --size 'x'"),
            (
                ["run", "--at", "/nonexistent", "--", "true"], 125,
                "mountpoint /nonexistent does not"
            ),
            (["run", "--at", "", "--", "true"], 125, "--at is empty"),
            (["bogus"], 1, "there is no command 'bogus': `mayfly --help` lists them"),
            (
                ["mout", "x"], 1,
                "there is no command 'mout': did you mean `mayfly mount`? `mayfly --help`"
            ),
            (
                ["fault", "lsit"], 1,
                "there is no command 'fault lsit': did you mean `mayfly fault list`?"
            ),
            (["umount"], 1, "umount needs a directory: name one, or give --all"),
            (["umount", "--all", "/tmp"], 1, "--all and directories exclude each other"),
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

    @Test(arguments: ["mount", "umount", "run", "list", "stat", "top", "resize", "bench"])
    func helpHasAnExampleAndTheExitStatuses(_ command: String) throws {
        let outcome = try BuiltCommand.run([command, "--help"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.contains("EXAMPLE:\n  mayfly \(command) "))
        #expect(outcome.output.contains("EXIT STATUS:\n"))
    }
}
