// KillerPreference: whom the OOM killer ends first. On tmpfs no process's end frees the files, so it is
// always a client. A server is a process like any other to it, and with the files the largest of all.

import Glibc
import Mayfly
import MayflyHost

enum KillerPreference {
    private static let path = "/proc/self/oom_score_adj"
    /// All but -1000, with which the kernel would rather end nobody and hang.
    private static let last = "-999"
    private static let first = "1000"

    /// Has the OOM killer take every other process before this one, as far as that is permitted.
    ///
    /// Lowering takes CAP_SYS_RESOURCE in the first user namespace, and who has given that up may not.
    ///
    /// - Returns: whether it is so.
    /// - Source: proc_pid_oom_score_adj(5); fs/proc/base.c, `__set_oom_adj()`.
    static func beLast() -> Bool {
        if let now = current.flatMap({ Int($0) }), now <= -999 { return true }
        return set(last)
    }

    /// Calls `body`, which starts a client that the killer is to take before this process. Where this
    /// process may not be the last, the client becomes the first, with all that it starts.
    static func startingClient<Result>(
        _ body: () throws(MountError) -> Result
    ) throws(MountError) -> Result {
        guard let before = current else { return try body() }
        let mayBeLast = beLast()
        // Back to what it was is always permitted.
        _ = set(mayBeLast ? before : first)
        defer { _ = set(before) }
        return try body()
    }

    private static var current: String? {
        HostFile.text(at: path).map { String($0.prefix { $0 != "\n" }) }
    }

    private static func set(_ score: String) -> Bool {
        let file = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return unsafe write(file, score, score.utf8.count) == score.utf8.count
    }

    /// What to tell of a server that may be ended before its clients; nil where no limit makes it likely.
    ///
    /// - Parameters:
    ///   - mostBytes: what the mount can take.
    ///   - memory: of this machine and this process.
    static func warning(mostBytes: UInt64, memory: SystemMemory = .current()) -> String? {
        guard let limit = memory.limitBytes, limit < memory.physicalBytes, mostBytes > limit / 2
        else { return nil }
        return "the OOM killer may end this server, and the files with it, when the limit of "
            + "\(SizeText.described(bytes: limit)) is reached: give a smaller --size, or start it with "
            + "CAP_SYS_RESOURCE"
    }
}
