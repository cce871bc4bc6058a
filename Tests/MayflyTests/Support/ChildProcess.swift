// Programs that tests run apart from themselves: a mount that hangs then hangs a child, which has a
// time limit, and not the run.

import Glibc
import MayflyTestSupport
import Testing

/// A running program; its output goes to files, so that neither end can block the other.
final class ChildProcess {
    /// What a program left when it ended.
    struct Outcome {
        /// The exit status, or minus the signal that ended it.
        var status: Int32
        var output: String
        var errors: String
        /// Whether it was killed because its time was over.
        var timedOut = false

        /// For people: how it ended, and the last of what it printed.
        var report: String {
            "\(timedOut ? "time over" : "status \(status)")\n\(output.suffix(2000))\n\(errors.suffix(4000))"
        }
    }

    let processID: pid_t
    private let output: Int32
    private let errors: Int32
    private var status: Int32?

    /// Starts `arguments`, the first looked for in PATH, as the head of a process group.
    ///
    /// - Parameter environment: is added to ours.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        output = try Self.temporaryFile()
        errors = try Self.temporaryFile()
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)
        // Tests run on threads that block most signals.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        unsafe posix_spawnattr_setsigmask(&attributes, &none)

        let variables = Self.environment(adding: environment)
        var process: pid_t = 0
        let failure = unsafe Self.withVector(arguments) { vector in
            unsafe Self.withVector(variables) { variables in
                unsafe posix_spawnp(
                    &process, arguments[0], &actions, &attributes, vector, variables)
            }
        }
        processID = process
        // There is no process then, and number 0 would be our own group.
        if failure != 0 { status = -1 }
        try #require(failure == 0, "\(arguments[0]) did not start: errno \(failure)")
    }

    deinit {
        if status == nil { _ = try? wait(seconds: 0) }
        close(output)
        close(errors)
    }

    /// Runs a program to its end.
    static func run(
        _ arguments: [String], environment: [String: String] = [:], seconds: Int = 60
    ) throws -> Outcome {
        try ChildProcess(arguments, environment: environment).wait(seconds: seconds)
    }

    func send(_ signal: Int32) { if status == nil { kill(processID, signal) } }

    /// Whether it has not ended yet.
    var isRunning: Bool {
        var information = unsafe siginfo_t()
        guard status == nil else { return false }
        unsafe waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT | WNOHANG)
        return unsafe information.si_signo == 0
    }

    /// Waits for the end; kills it and its group when `seconds` are over.
    func wait(seconds: Int) throws -> Outcome {
        let timedOut = !poll(seconds: seconds) { !isRunning }
        if status == nil {
            // Not reaped yet, so the number of the group is still ours.
            kill(-processID, SIGKILL)
            var raw: Int32 = 0
            while unsafe waitpid(processID, &raw, 0) < 0, errno == EINTR {}
            status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : -(raw & 0x7f)
        }
        return Outcome(
            status: status!, output: Self.text(of: output), errors: Self.text(of: errors),
            timedOut: timedOut)
    }

    /// What it has printed so far.
    var outputSoFar: String { Self.text(of: output) }
    var errorsSoFar: String { Self.text(of: errors) }

    private static func environment(adding additions: [String: String]) -> [String] {
        var all: [String] = []
        var next = unsafe environ
        while let entry = unsafe next.pointee {
            let text = unsafe String(cString: entry)
            if additions[String(text.prefix { $0 != "=" })] == nil { all.append(text) }
            unsafe next += 1
        }
        return all + additions.map { "\($0)=\($1)" }
    }

    private static func withVector(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Int32
    ) -> Int32 {
        var vector = unsafe strings.map { unsafe strdup($0) }
        unsafe vector.append(nil)
        defer { unsafe vector.forEach { unsafe free($0) } }
        return unsafe vector.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
    }

    private static func temporaryFile() throws -> Int32 {
        var template = Array("/tmp/mayfly-job-XXXXXX".utf8CString)
        let descriptor = unsafe mkstemp(&template)
        try #require(descriptor >= 0)
        unsafe unlink(template)
        // No other child is to keep it.
        try #require(fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0)
        return descriptor
    }

    private static func text(of descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 4 << 20)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}

/// Asks again every 5 ms until `condition` holds; false when `seconds`, times the patience, are over.
func poll(seconds: Int, _ condition: () -> Bool) -> Bool {
    for _ in 0..<max(1, seconds * 200 * Patience.factor) {
        if condition() { return true }
        usleep(5000)
    }
    return condition()
}
