import Glibc
import Testing

@testable import Mayfly

/// The command that stands beside this test bundle, run as users run it.
enum BuiltCommand {
    /// What a run gave.
    struct Outcome {
        /// The exit status; negative: the signal it died of.
        var status: Int32
        var output: String
        var errors: String
    }

    static let path: String = {
        let runner = HostFile.link(at: "/proc/self/exe") ?? ""
        return "/" + runner.split(separator: "/").dropLast().joined(separator: "/") + "/mayfly"
    }()

    /// Whether mounts can be made here.
    static let mounts =
        unsafe (geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0)
        && MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))

    static func run(_ arguments: [String]) throws -> Outcome {
        try start(path, arguments)
    }

    /// Runs a shell script in which `$mayfly` is the command and `$folder` a fresh directory, and
    /// which is killed with its group after `seconds`. What it leaves mounted is an error.
    ///
    /// It has a mount namespace of its own: one that somebody else makes meanwhile would hold its
    /// mounts for as long as it lives, and no server would end.
    static func script(_ script: String, seconds: Int = 60) throws -> Outcome {
        var template = Array("/tmp/mayfly-script-XXXXXX".utf8CString)
        try #require(unsafe mkdtemp(&template) != nil)
        let folder = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let prologue = """
            mayfly=\(path)
            folder=\(folder)
            chmod 755 "$folder"
            # Tells of a condition that does not come true within 10 s.
            until_true() {
                for _ in $(seq 200); do if eval "$1"; then return 0; fi; sleep 0.05; done
                echo "never true: $1"; return 1
            }
            trap 'set +e; cd /; rm -rf --one-file-system "$folder"' EXIT
            set -e

            """
        let around = """
            /bin/bash -c "$0"
            status=$?
            if grep '\(folder)' /proc/self/mounts >&2; then exit 99; fi
            exit $status
            """
        return try start(
            "/usr/bin/timeout",
            [
                "-k", "5", "\(seconds)", "unshare", "--mount", "--propagation", "private",
                "/bin/bash", "-c", around, prologue + script,
            ])
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
        // The threads that tests run on block signals, and a command takes their mask over.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        var vector = unsafe ([program] + arguments).map { unsafe strdup($0) }
        unsafe vector.append(nil)
        defer { unsafe vector.forEach { unsafe free($0) } }
        var process: pid_t = 0
        try #require(unsafe posix_spawn(&process, program, &actions, &attributes, vector, nil) == 0)
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
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }

    private static func text(of descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
