import Mayfly

/// Two reports of a mount, and what happened between them.
struct ReportPair {
    let from: MountReport
    let to: MountReport

    private var seconds: Double {
        let start = min(from.uptimeNanoseconds, to.uptimeNanoseconds)
        return max(0.001, Double(to.uptimeNanoseconds - start) / 1e9)
    }

    /// Of a count, in a second.
    func rate(_ now: UInt64, _ before: UInt64) -> Double {
        Double(now - min(now, before)) / seconds
    }

    /// The same for people.
    func perSecond(_ now: UInt64, _ before: UInt64) -> String {
        Numbers.fixed(rate(now, before), 0)
    }

    func bytesPerSecond(_ now: UInt64, _ before: UInt64) -> String {
        "\(Numbers.bytes(UInt64(rate(now, before))))/s"
    }

    var requestsPerSecond: Double { rate(to.requests, from.requests) }

    /// Nanoseconds within which this share of the requests was answered; 0 where there was none.
    func percentile(_ share: Double) -> UInt64 {
        var counts: [UInt64: UInt64] = [:]
        for bucket in to.latencyBuckets where bucket.count == 2 { counts[bucket[0]] = bucket[1] }
        for bucket in from.latencyBuckets where bucket.count == 2 {
            let now = counts[bucket[0]] ?? 0
            counts[bucket[0]] = now - min(now, bucket[1])
        }
        let all = counts.values.reduce(0, +)
        guard all > 0 else { return 0 }
        let rank = max(1, UInt64((Double(all) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (bound, count) in counts.sorted(by: { $0.key < $1.key }) {
            seen += count
            if seen >= rank { return bound }
        }
        return 0
    }
}

extension MountReport {
    /// How much of the size is used, 0 to 1.
    var fullness: Double {
        bytes.limit == 0 ? 0 : min(1, Double(bytes.used) / Double(bytes.limit))
    }
}
