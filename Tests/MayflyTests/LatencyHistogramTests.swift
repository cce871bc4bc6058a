import Testing

@testable import Mayfly
@testable import MayflyServing

/// Service times in buckets.
@Suite struct LatencyHistogramTests {
    @Test func everyTimeIsBelowItsBucketsEndAndNotBelowTheOneBefore() {
        var times: [UInt64] = [0, 1, 7, 8, 9, 15, 16, 17, 1 << 33, (1 << 34) - 1]
        for power in 3..<34 {
            for eighth in 8..<16 { times.append(UInt64(eighth) << UInt64(power - 3)) }
        }
        for time in times {
            let index = LatencyBuckets.index(time)
            #expect(time < LatencyBuckets.end(index), "\(time)")
            if index > 0 { #expect(time >= LatencyBuckets.end(index - 1), "\(time)") }
        }
    }

    @Test(arguments: [1 << 34, 1 << 40, UInt64.max])
    func whatIsLongerIsInTheLastBucket(_ time: UInt64) {
        #expect(LatencyBuckets.index(time) == LatencyBuckets.count - 1)
    }

    @Test func percentilesAreWithinAnEighth() {
        var histogram = LatencyHistogram()
        #expect(histogram.percentile(0.5) == 0)
        for time in 1...1000 { histogram.counts[LatencyBuckets.index(UInt64(time * 1000))] += 1 }
        for (share, exact) in [(0.5, 500_000.0), (0.9, 900_000), (0.99, 990_000), (1, 1_000_000)] {
            let found = Double(histogram.percentile(share))
            #expect(found >= exact && found <= exact * 1.125, "\(share): \(found)")
        }
    }

    @Test func countersOfAWorkerAddUp() throws {
        let counters = try RequestCounters.make()
        defer { counters.deallocate() }
        counters.count(15)
        counters.count(16)
        counters.count(16)
        #expect(counters.total == 3 && counters[16] == 2)
        #expect(counters.hot.isEmpty && counters.transferred == (0, 0))
    }
}
