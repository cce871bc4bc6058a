import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// The command under test, run as users run it: `MAYFLY` in the environment, or what stands beside
/// the test bundle.
enum BuiltCommand {
    typealias Outcome = ChildProcess.Outcome

    static let path: String = {
        if let path = variable("MAYFLY") { return path }
        let runner = HostFile.link(at: "/proc/self/exe") ?? ""
        return "/" + runner.split(separator: "/").dropLast().joined(separator: "/") + "/mayfly"
    }()

    /// Whether mounts can be made here.
    static let canMount =
        unsafe (geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0)
        && MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))
    static let whyNot: Comment = "mounting needs root and /dev/fuse"

    static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    static func run(_ arguments: [String], seconds: Int = 60) throws -> Outcome {
        try ChildProcess.run([path] + arguments, seconds: seconds)
    }

    /// Runs a shell script in which `$mayfly` is the command and `$folder` a fresh directory, and
    /// which is killed with its group after `seconds`. What it leaves mounted is an error.
    ///
    /// It has a mount namespace of its own: one that somebody else makes meanwhile would hold its
    /// mounts for as long as it lives, and no server would end.
    static func script(_ script: String, seconds: Int = 60) throws -> Outcome {
        try start(script: script).wait(seconds: seconds)
    }

    /// The same, to be waited for: scripts that mostly sleep run beside each other.
    static func start(script: String) throws -> ChildProcess {
        let folder = try makeTemporaryFolder("script")
        let prologue = """
            mayfly=\(path)
            folder=\(folder)
            chmod 755 "$folder"
            # Tells of a condition that does not come true within 10 s.
            until_true() {
                for _ in $(seq \(600 * Patience.factor)); do if eval "$1"; then return 0; fi; sleep 0.05; done
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
        return try ChildProcess([
            "unshare", "--mount", "--propagation", "private", "/bin/bash", "-c", around,
            prologue + script,
        ])
    }
}
