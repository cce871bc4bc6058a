// The store alone: how much gets through, and how often threads are in each other's way.

import Benchmark
import MayflyMeasure

private let retries = BenchmarkMetric.custom(
    "Lock retries per million operations")
private let nanoseconds = BenchmarkMetric.custom(
    "Nanoseconds per operation")

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [nanoseconds, retries, .cpuTotal], warmupIterations: 1,
        maxDuration: .seconds(4), maxIterations: 20)

    // A thread for each shard: more of both than the machine has processors, but for the first. Once with a
    // folder that all share, and once without.
    for apart in [false, true] {
        for shards in [1, 4, 16, 64] {
            let name = "\(apart ? "apart" : "shared")-\(shards < 10 ? "0" : "")\(shards)"
            Benchmark(name) { benchmark in
                let load = StoreLoad(shards: shards, threads: shards)
                defer { load.end() }
                _ = load.run(files: 200, apart: apart)
                benchmark.startMeasurement()
                let outcome = load.run(files: 64000 / shards, apart: apart)
                benchmark.stopMeasurement()
                let operations = Double(outcome.operations)
                benchmark.measurement(
                    nanoseconds, Int((Double(outcome.nanoseconds) / operations).rounded()))
                benchmark.measurement(
                    retries, Int((Double(outcome.lockRetries) * 1e6 / operations).rounded()))
            }
        }
    }
}
