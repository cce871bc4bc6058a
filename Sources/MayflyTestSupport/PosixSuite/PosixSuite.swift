import CMayflyTestSupport
import Glibc

/// The cases, and how one of them is run.
package enum PosixSuite {
    package static let all: [PosixCase] =
        open + names + directories + links + special + nameless + renames + renameFlags + sizes
        + allocation + transfers + copies + mappings + attributes + accessLists + ownership
        + times + flags + limits + listings + handles + locks + storms

    /// How long a case may take before it counts as hanging.
    package static var usualTimeoutSeconds: Int { scaled(60, 1800) * Patience.factor }

    /// Runs a case in a new directory of the mount, on a thread of its own.
    ///
    /// - Parameter abort: ends whatever the case waits for; called when the time is over.
    package static func run(
        _ posixCase: PosixCase, _ context: PosixContext,
        timeoutSeconds: Int = PosixSuite.usualTimeoutSeconds,
        abort: () -> Void
    ) throws {
        if posixCase.needsRoot && geteuid() != 0 { throw PosixSkip(reason: "needs root") }
        let thread = PosixThread {
            try answer(cps_unshare_fs(), "unshare(CLONE_FS)")
            umask(0o022)
            try context.root.mkdir()
            try posixCase.body(context)
        }
        if try thread.join(timeoutSeconds: timeoutSeconds) { return }
        abort()
        if (try? thread.join(timeoutSeconds: 10)) == false { thread.abandon() }
        throw PosixFailure("\(posixCase.name) was stopped after \(timeoutSeconds) s")
    }

    /// The larger number when the environment asks for long runs.
    static func scaled(_ usual: Int, _ long: Int) -> Int {
        unsafe getenv("MAYFLY_POSIX_LONG") == nil ? usual : long
    }
}
