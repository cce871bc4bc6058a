import CMayflyTestSupport
import Glibc
import Synchronization

/// A POSIX thread that runs one closure.
///
/// Cases run on threads of their own because identities, umask and working directory are changed
/// for one thread and must not reach the rest of the process.
///
/// Safety of `@unchecked Sendable`: `outcome` is written once by the thread and read after the
/// thread was joined; `thread` is set before anyone else can see the value.
package final class PosixThread: @unchecked Sendable {
    private var thread = pthread_t()
    private let body: @Sendable () throws -> Void
    private var outcome: (any Error)?

    package init(_ body: @escaping @Sendable () throws -> Void) {
        self.body = body
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        let failed = unsafe pthread_create(
            &thread, nil,
            { context in
                let thread = unsafe Unmanaged<PosixThread>.fromOpaque(context!).takeRetainedValue()
                do { try thread.body() } catch { thread.outcome = error }
                return nil
            }, context)
        precondition(failed == 0, "PosixThread: pthread_create failed with \(failed)")
    }

    /// Waits for the end and throws what the closure threw.
    package func join() throws {
        pthread_join(thread, nil)
        if let outcome { throw outcome }
    }

    /// Waits so many seconds; false when the thread still runs.
    package func join(timeoutSeconds: Int) throws -> Bool {
        guard cps_join(UInt64(thread), Int64(timeoutSeconds)) == 0 else { return false }
        if let outcome { throw outcome }
        return true
    }

    /// Forgets a thread that hangs.
    package func abandon() { pthread_detach(thread) }
}

/// Runs the closure on so many threads at once and throws the first failure.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    let threads = (0..<count).map { index in PosixThread { try body(index) } }
    var failure: (any Error)?
    for thread in threads {
        do { try thread.join() } catch { if failure == nil { failure = error } }
    }
    if let failure { throw failure }
}

/// Runs the closure with the identity of another user, who has no capabilities.
package func asUser(
    _ uid: UInt32, gid: UInt32? = nil, groups: [UInt32] = [],
    _ body: @escaping @Sendable () throws -> Void
) throws {
    try PosixThread {
        let result = unsafe cps_become(uid, gid ?? uid, groups, groups.count)
        try answer(result, "setresuid(\(uid))")
        try body()
    }.join()
}

/// Sleeps until the clock of time stamps, which ticks up to every 10 ms, must have moved on.
func waitForClockTick() { usleep(20_000) }

func withUmask(_ mask: UInt32, _ body: () throws -> Void) rethrows {
    let previous = umask(mask)
    defer { umask(previous) }
    try body()
}
