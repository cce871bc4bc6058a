// LatencyHistogram: service times in buckets whose width is an eighth of their octave.
//
// 256 buckets reach from 0 to 17 s in nanoseconds; a time is known to within 12.5 %, as in an HDR
// histogram of one digit. The buckets are fixed, so that a worker counts by one addition.

/// Which bucket a time belongs to.
package enum LatencyBuckets {
    package static var count: Int { @_noLocks get { 256 } }

    @_noLocks package static func index(_ nanoseconds: UInt64) -> Int {
        if nanoseconds < 8 { return Int(truncatingIfNeeded: nanoseconds) }
        let octave = 63 - nanoseconds.leadingZeroBitCount
        if octave > 33 { return count - 1 }
        let eighth = Int(truncatingIfNeeded: nanoseconds >> UInt64(octave - 3) & 7)
        return (octave - 2) * 8 + eighth
    }

    /// The first time that is too long for a bucket, in nanoseconds.
    package static func end(_ index: Int) -> UInt64 {
        let next = index + 1
        return next < 8 ? UInt64(next) : UInt64(8 + next % 8) << UInt64(next / 8 - 1)
    }
}

/// How often requests took how long.
package struct LatencyHistogram: Sendable, Equatable {
    package var counts = [UInt64](repeating: 0, count: LatencyBuckets.count)
    /// All times together.
    package var nanoseconds: UInt64 = 0

    package init() {}

    package var count: UInt64 { counts.reduce(0, +) }

    /// The time that `share` of the requests kept below; 0 without any.
    package func percentile(_ share: Double) -> UInt64 {
        let all = count
        guard all > 0 else { return 0 }
        let rank = max(1, UInt64((Double(all) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() {
            seen += count
            if seen >= rank { return LatencyBuckets.end(index) }
        }
        return LatencyBuckets.end(LatencyBuckets.count - 1)
    }

    package static func += (left: inout LatencyHistogram, right: LatencyHistogram) {
        for index in left.counts.indices { left.counts[index] += right.counts[index] }
        left.nanoseconds += right.nanoseconds
    }
}
