/// Figures of many.
package enum BenchStatistics {
    /// The one in the middle, or the mean of the two there; nil for none.
    package static func median(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// The smallest value that a share of all does not exceed.
    ///
    /// - Precondition: `sorted` is sorted and not empty.
    package static func percentile(_ sorted: [UInt64], _ share: Double) -> Double {
        let rank = (Double(sorted.count) * share).rounded(.up)
        return Double(sorted[min(sorted.count, max(1, Int(rank))) - 1])
    }

    /// The least, the middle and the most of some values; nil for none.
    package static func range(_ values: [Double]) -> BenchRange? {
        guard let median = median(values), let least = values.min(), let most = values.max() else {
            return nil
        }
        return BenchRange(minimum: least, median: median, maximum: most)
    }

    /// How many times as long as the first something took, round by round: what troubled a round
    /// troubled both. nil when one of them has no figure.
    package static func ratios(_ samples: [Sample], to first: [Sample]) -> BenchRange? {
        let pairs = zip(samples, first).filter { $0.1.nanoseconds > 0 }
        return range(pairs.map { $0.0.nanoseconds / $0.1.nanoseconds })
    }
}

/// The least, the middle and the most of some values.
package struct BenchRange: Codable, Sendable, Equatable {
    package var minimum: Double
    package var median: Double
    package var maximum: Double

    package init(minimum: Double, median: Double, maximum: Double) {
        self.minimum = minimum
        self.median = median
        self.maximum = maximum
    }
}
