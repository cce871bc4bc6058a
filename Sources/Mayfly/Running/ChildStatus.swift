import Glibc

/// How a child process ended.
enum ChildStatus: Sendable, Equatable {
    case exited(Int32)
    case signal(Int32)

    /// What a shell reports: the status, or 128 and the signal's number.
    var exitCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signal(let number): ExitStatus.signalBase + number
        }
    }

    /// Waits for the child `process` and takes its status.
    ///
    /// - Parameter beforeReaping: called when it has ended but its number cannot be another's yet.
    static func waiting(for process: pid_t, beforeReaping: () -> Void = {}) -> ChildStatus {
        var information = unsafe siginfo_t()
        while unsafe waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) != 0,
            errno == EINTR
        {}
        beforeReaping()
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .signal(signal)
    }
}

/// Calls `body` with `strings` as the null-terminated vector that execve(2) takes.
func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var vector = unsafe strings.map { unsafe strdup($0) }
    unsafe vector.append(nil)
    defer { unsafe vector.forEach { unsafe free($0) } }
    return unsafe vector.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
}
