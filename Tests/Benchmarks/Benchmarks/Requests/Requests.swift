// What answering a request allocates and counts, which is to be nothing, and how fast it is.

import Benchmark
import CCounters
import MayflyMeasure

private let allocations = BenchmarkMetric.custom("Allocations")
private let retains = BenchmarkMetric.custom("Retains")
private let releases = BenchmarkMetric.custom("Releases")

/// Requests of one iteration. They are counted together, so that no share of one is lost; and without
/// a scaling factor, for thresholds find only custom metrics that are like those of their files.
private let requestsPerIteration = 1000

/// Keeps what it is given, so that nobody can leave it out.
private final class Kept {
    var value = 0
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [allocations, retains, releases, .wallClock],
        warmupIterations: 3, maxDuration: .seconds(2),
        maxIterations: 100)

    for kind in RequestLoad.Kind.allCases {
        Benchmark(kind.rawValue) { benchmark in
            let load = RequestLoad(kind)
            defer { load.end() }
            // The first requests fill what is filled once.
            precondition(load.run(100) == 0, "\(kind.rawValue) fails")
            let wrong = measure(benchmark) { count in load.run(count) }
            precondition(wrong == 0, "\(kind.rawValue) fails")
        }
    }

    // That the counters count: its thresholds are not zero.
    Benchmark("counters-count") { benchmark in
        _ = measure(benchmark) { count in
            for index in 0..<count {
                let kept = Unmanaged.passRetained(Kept())
                kept.takeUnretainedValue().value = index
                blackHole(kept.retain())
                kept.release()
                kept.release()
            }
            return 0
        }
    }
}

/// Counts for the calls of `body` alone: the benchmark's own clocks count references too.
private func measure(_ benchmark: Benchmark, _ body: (Int) -> Int) -> Int {
    let count = requestsPerIteration
    benchmark.startMeasurement()
    let before = ccounters_now()
    let result = body(count)
    let after = ccounters_now()
    benchmark.stopMeasurement()
    benchmark.measurement(allocations, after.allocations - before.allocations)
    benchmark.measurement(retains, after.retains - before.retains)
    benchmark.measurement(releases, after.releases - before.releases)
    return result
}
