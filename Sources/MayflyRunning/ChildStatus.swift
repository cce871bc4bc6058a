import Glibc
import Mayfly
import MayflyHost

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

    /// What wait(2) calls `status`, of a process that has ended.
    init(wait status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .exited((status >> 8) & 0xff) : .signal(signal)
    }

    /// Waits for the child `process` and takes its status.
    static func waiting(for process: pid_t) -> ChildStatus {
        var status: Int32 = 0
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        return ChildStatus(wait: status)
    }
}

/// Calls `body` with `words` as the null-terminated vector that execve(2) takes.
func withCStrings<Result>(
    _ words: [PathBytes], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var vector = unsafe words.map { unsafe $0.withCString { unsafe strdup($0) } }
    unsafe vector.append(nil)
    defer { unsafe vector.forEach { unsafe free($0) } }
    return unsafe vector.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
}
