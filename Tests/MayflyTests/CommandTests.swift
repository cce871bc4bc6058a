import Glibc
import Mayfly
import Testing

/// The built command: one line on the standard error and the exit status for everything that ends
/// before there is a mount.
@Suite struct CommandTests {
    /// What a run of the command gave.
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

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
            (["stat"], 1, "missing expected argument"),
            (["stat", "/proc"], 1, "/proc is not in a mayfly mount but in proc at /proc"),
            (["stat", "/nonexistent"], 1, "/nonexistent is not in a mayfly mount"),
            (["top", "/proc", "--interval", "0"], 1, "bad --interval '0': give 0.1 to 3600"),
            (["resize", "/proc"], 1, "nothing to change: give --size, --inodes or both"),
            (["resize", "/proc", "--size", "x"], 1, "bad --size 'x'"),
            (["list", "x"], 1, "unexpected argument 'x' (see `mayfly list --help`)"),
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
        let outcome = try Self.mayfly(arguments)
        #expect(outcome.status == status)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("mayfly: \(start)"), "\(outcome.errors)")
        #expect(outcome.errors.hasSuffix("\n"))
        #expect(outcome.errors.dropLast().contains("\n") == false, "\(outcome.errors)")
    }

    @Test func theVersionIsPrinted() throws {
        let outcome = try Self.mayfly(["--version"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output == "mayfly \(MayflyVersion.text)\n")
    }

    @Test(arguments: ["mount", "umount", "run", "list", "stat", "top", "resize"])
    func helpHasAnExampleAndTheExitStatuses(_ command: String) throws {
        let outcome = try Self.mayfly([command, "--help"])
        #expect(outcome.status == 0 && outcome.errors.isEmpty)
        #expect(outcome.output.contains("EXAMPLE:\n  mayfly \(command) "))
        #expect(outcome.output.contains("EXIT STATUS:\n"))
    }

    /// Runs the command that stands beside this test bundle.
    static func mayfly(_ arguments: [String]) throws -> Outcome {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/exe", &path, path.count)
        try #require(length > 0)
        let runner = String(
            decoding: path[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = runner.split(separator: "/").dropLast().joined(separator: "/")
        return try start("/\(folder)/mayfly", arguments)
    }

    private static func start(_ program: String, _ arguments: [String]) throws -> Outcome {
        // Files rather than pipes: what is printed is small, and neither end can block the other.
        let output = try temporaryFile()
        let errors = try temporaryFile()
        defer {
            close(output)
            close(errors)
        }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)

        var vector = unsafe ([program] + arguments).map { unsafe strdup($0) }
        unsafe vector.append(nil)
        defer { unsafe vector.forEach { unsafe free($0) } }
        var process: pid_t = 0
        try #require(unsafe posix_spawn(&process, program, &actions, nil, vector, nil) == 0)
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        return Outcome(
            status: status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f),
            output: text(of: output), errors: text(of: errors))
    }

    private static func temporaryFile() throws -> Int32 {
        var template = Array("/tmp/mayfly-command-XXXXXX".utf8CString)
        let descriptor = unsafe mkstemp(&template)
        try #require(descriptor >= 0)
        unsafe unlink(template)
        return descriptor
    }

    private static func text(of descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
