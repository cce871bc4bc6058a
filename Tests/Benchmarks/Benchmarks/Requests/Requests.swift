// What answering a request allocates and counts, which is to be nothing, and how fast it is.

import Benchmark
import CCounters
import MayflyMeasure

private let allocations = BenchmarkMetric.custom("Allocations", useScalingFactor: false)
private let retains = BenchmarkMetric.custom("Retains", useScalingFactor: false)
private let releases = BenchmarkMetric.custom("Releases", useScalingFactor: false)

/// Keeps what it is given, so that nobody can leave it out.
private final class Kept {
    var value = 0
}

let benchmarks: @Sendable () -> Void = {
    // All of an iteration's requests together are to count nothing: no share of one is lost.
    Benchmark.defaultConfiguration = .init(
        metrics: [allocations, retains, releases, .wallClock],
        warmupIterations: 3, scalingFactor: .kilo, maxDuration: .seconds(2),
        maxIterations: 100)

    for kind in RequestLoad.Kind.allCases {
        Benchmark(kind.rawValue) { benchmark in
            let load = RequestLoad(kind)
            defer { load.end() }
            // The first requests fill what is filled once.
            precondition(load.run(100) == 0, "\(kind.rawValue) fails")
            let count = benchmark.scaledIterations.count
            let before = ccounters_now()
            benchmark.startMeasurement()
            let wrong = load.run(count)
            benchmark.stopMeasurement()
            let after = ccounters_now()
            precondition(wrong == 0, "\(kind.rawValue) fails")
            benchmark.measurement(allocations, after.allocations - before.allocations)
            benchmark.measurement(retains, after.retains - before.retains)
            benchmark.measurement(releases, after.releases - before.releases)
        }
    }

    // That the counters count: its thresholds are not zero.
    Benchmark("the counters count") { benchmark in
        let count = benchmark.scaledIterations.count
        let before = ccounters_now()
        benchmark.startMeasurement()
        for index in 0..<count {
            let kept = Kept()
            kept.value = index
            blackHole(kept)
        }
        benchmark.stopMeasurement()
        let after = ccounters_now()
        benchmark.measurement(allocations, after.allocations - before.allocations)
        benchmark.measurement(retains, after.retains - before.retains)
        benchmark.measurement(releases, after.releases - before.releases)
    }
}
