// What every test that mounts needs: a folder that is left as it was.

import Glibc
import Mayfly
import MayflyTestSupport
import Testing

/// A way that requests take, as `--transport` spells it.
enum TestTransport: String, CaseIterable, CustomTestStringConvertible {
    case ring
    case device = "dev"

    var testDescription: String { rawValue }

    static let hasRing: Bool = {
        var first: UInt8 = 0
        let switchFile = unsafe open("/sys/module/fuse/parameters/enable_uring", O_RDONLY)
        defer { close(switchFile) }
        return unsafe read(switchFile, &first, 1) == 1 && first == UInt8(ascii: "Y")
    }()

    /// The faster one that this machine has.
    static var best: TestTransport { hasRing ? .ring : .device }

    /// Skips the test case where this machine has no ring.
    func require() throws {
        if self == .ring, !Self.hasRing {
            try Test.cancel("/sys/module/fuse/parameters/enable_uring is not Y")
        }
    }
}

/// A fresh folder under /tmp; whatever is mounted on it at the end is forced off.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try makeTemporaryFolder("job")
    defer {
        // Forcing aborts the connection first, so neither this nor anybody inside can hang.
        while unsafe umount2(folder, Int32(MNT_FORCE) | Int32(MNT_DETACH)) == 0 {}
        unsafe rmdir(folder)
    }
    return try body(folder)
}

/// Runs a shell script in the root of a mount that lives as long as the script.
///
/// - Parameter arguments: $1 and on.
func runInMount(
    _ transport: TestTransport, _ script: String, options: [String] = [],
    arguments: [String] = [], environment: [String: String] = [:], seconds: Int
) throws -> ChildProcess.Outcome {
    try withFolder { folder in
        let run = [BuiltCommand.path, "run", "--quiet", "--at", folder]
        let command =
            run + ["--transport", transport.rawValue] + options
            + ["--", "sh", "-ec", "cd \"$MAYFLY_ROOT\"\n" + script, "sh"] + arguments
        return try ChildProcess.run(command, environment: environment, seconds: seconds)
    }
}
