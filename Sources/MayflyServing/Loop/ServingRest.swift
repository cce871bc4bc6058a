// ServingRest: whether everything that the kernel had asked for before a moment has been answered.

internal import CMayflyMemory
internal import CMayflySystem

/// The threads that serve a mount, as one who waits for all of them sees them.
///
/// A thread that waits for requests has none, and the kernel has none for it: it would have been woken. When all of
/// them wait at once, nothing that was asked before is unanswered, as what the kernel holds back
/// (`fc->bg_queue`) follows at once when something is answered.
package struct ServingRest {
    private let counters: [RequestCounters]

    /// - Parameter counters: of all threads that serve.
    package init(counters: [RequestCounters]) { self.counters = counters }

    /// Waits until all threads were seen to wait at once.
    ///
    /// - Parameter nanoseconds: the longest wait; clients that ask all the time leave no such moment.
    /// - Returns: whether there was one; false, too, where /proc does not tell.
    /// - Complexity: O(threads) for each look.
    /// - Source: fs/proc/base.c, `proc_pid_syscall()`; fs/fuse/dev.c, `flush_bg_queue()`.
    @discardableResult
    package func await(atMost nanoseconds: UInt64) -> Bool {
        let end = cmem_monotonic_nanoseconds() + nanoseconds
        while true {
            let served = counters.map(\.total)
            var rest = true
            for counter in counters where counter.thread != 0 {
                switch csys_waits_for_requests(counter.thread) {
                case 1: continue
                case 0: rest = false
                default: return false
                }
                break
            }
            // One that was looked at first may have been given something since.
            if rest, served == counters.map(\.total) { return true }
            if cmem_monotonic_nanoseconds() >= end { return false }
            cmem_nap(50)
        }
    }
}
