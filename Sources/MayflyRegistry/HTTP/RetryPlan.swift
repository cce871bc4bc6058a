// RetryPlan: how often a request is made again, and after what time.

internal import Glibc

struct RetryPlan {
    static let mostFailures = 5
    /// Seconds for which a registry may ask to be left alone; for longer, the user decides.
    static let mostWaitSeconds: UInt64 = 120

    private(set) var failures = 0

    /// Counts a failure.
    ///
    /// - Returns: milliseconds to wait; nil where it is enough.
    mutating func next(retryAfterSeconds: UInt64) -> UInt64? {
        failures += 1
        guard failures < Self.mostFailures, retryAfterSeconds <= Self.mostWaitSeconds else {
            return nil
        }
        return retryAfterSeconds > 0
            ? retryAfterSeconds * 1000 : min(8000, 250 << UInt64(failures - 1))
    }

    mutating func reset() { failures = 0 }

    /// Waits, unless there is no need to go on.
    static func wait(milliseconds: UInt64, goOn: () -> Bool) {
        var left = milliseconds
        while left > 0, goOn() {
            let now = min(100, left)
            usleep(UInt32(now * 1000))
            left -= now
        }
    }
}
