// StarvationGuard: ends the yielding of the queues' threads where others do not let them run.
//
// What starves is what has a request to answer, may run, and does not. None of the three is enough:
// a client that was woken and computes leaves its server runnable, with nothing to do.

internal import Glibc
internal import MayflyHost

/// Looks after the gate of one mount; on the maintenance thread, which never yields.
struct StarvationGuard {
    /// What is seen of the queues at one moment.
    struct Sight: Equatable {
        /// Requests that the kernel waits for, on any queue; nil where it does not tell.
        var waiting: UInt64?
        /// Answered so far, by queue.
        var served: [UInt64]
        /// Whether the queue's thread could run, by queue.
        var runnable: [Bool]
    }

    /// Looks for which the threads are left ordinary; doubled each time they starve soon again.
    static let leastPause = 50
    static let longestPause = 1600

    private var last: Sight?
    private(set) var pause = 0
    private var nextPause = Self.leastPause
    private var looksSinceOpen = 0

    /// Judges what is seen.
    ///
    /// - Parameter isCrowded: whether more threads want to run than there are CPUs; asked only when
    ///   a pause ends.
    /// - Returns: whether the threads may yield until the next look.
    mutating func mayYield(_ sight: Sight, isCrowded: () -> Bool) -> Bool {
        defer { last = sight }
        if pause > 0 {
            pause -= 1
            // Where there is no idle CPU there is nothing to be gained either.
            if pause == 0, isCrowded() { pause = Self.leastPause }
            if pause == 0 { looksSinceOpen = 0 }
            return pause == 0
        }
        looksSinceOpen += 1
        if looksSinceOpen > nextPause { nextPause = Self.leastPause }
        guard isStarving(sight) else { return true }
        pause = nextPause
        nextPause = min(Self.longestPause, nextPause * 2)
        return false
    }

    private func isStarving(_ sight: Sight) -> Bool {
        guard let last, sight.waiting ?? 1 > 0, last.waiting ?? 1 > 0 else { return false }
        return sight.served.indices.contains { queue in
            sight.runnable[queue] && last.runnable[queue]
                && sight.served[queue] == last.served[queue]
        }
    }
}

/// Looks at the threads and at the machine through /proc and /sys.
package struct ServingSight: Sendable {
    private let counters: [RequestCounters]
    private let waitingPath: String?

    /// - Parameters:
    ///   - counters: of the ring queues.
    ///   - connection: the mount's number under /sys/fs/fuse/connections; 0 where it is not known.
    package init(counters: [RequestCounters], connection: UInt32) {
        self.counters = counters
        waitingPath = connection == 0 ? nil : "/sys/fs/fuse/connections/\(connection)/waiting"
    }

    /// - Complexity: O(queues); small files of /proc are read for those that may starve only.
    func look() -> StarvationGuard.Sight {
        let waiting = waitingPath.flatMap(HostFile.text(at:)).flatMap { UInt64($0.dropLast()) }
        return StarvationGuard.Sight(
            waiting: waiting, served: counters.map(\.total),
            runnable: counters.map { waiting != 0 && Self.isRunnable($0.thread) })
    }

    /// Has the queues' threads scheduled like any other.
    func makeOrdinary() {
        for counter in counters where counter.thread != 0 {
            SchedulingPolicy.ordinary.apply(to: counter.thread)
        }
    }

    /// Whether a thread of this process runs or could: state R of proc_pid_stat(5).
    private static func isRunnable(_ thread: Int32) -> Bool {
        guard thread != 0, let text = HostFile.text(at: "/proc/self/task/\(thread)/stat"),
            let end = text.lastIndex(of: ")")
        else { return false }
        return text[end...].dropFirst(2).first == "R"
    }

    /// Whether more threads want to run than there are CPUs: proc_loadavg(5).
    func isCrowded() -> Bool {
        guard let text = HostFile.text(at: "/proc/loadavg") else { return false }
        let fields = text.split(separator: " ")
        guard fields.count > 3, let running = fields[3].split(separator: "/").first,
            let count = Int(running)
        else { return false }
        // The asking thread is one of them.
        return count - 1 > Processors.online
    }
}
