// FileSignals: what writing a file may send to the thread that writes it.
//
// A write beyond RLIMIT_FSIZE sends SIGXFSZ, and one to a pipe without a reader SIGPIPE, to the
// writing thread. Both end a process that has not asked for them. Their dispositions belong to the
// program, and this may be a library in it: so the thread holds them back for as long as it writes,
// and takes what came off again. The call itself then fails with EFBIG or EPIPE.

internal import CMayflySystem
internal import Glibc

package enum FileSignals {
    /// Calls `body` with SIGXFSZ and SIGPIPE held back from this thread.
    package static func held<Result, Failure>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result where Failure: Error {
        let held = csys_hold_file_signals()
        defer { csys_drop_file_signals(held) }
        return try body()
    }
}

package enum ProcessFacts {
    package static var effectiveUserID: UInt32 { geteuid() }
    package static var effectiveGroupID: UInt32 { getegid() }

    /// The umask of this process, which can be asked for without being changed since Linux 4.7.
    package static var umask: UInt32 {
        let status = HostFile.text(at: "/proc/self/status") ?? ""
        return HostFile.field("Umask", in: status)?.last.flatMap { UInt32($0, radix: 8) } ?? 0o022
    }
}
