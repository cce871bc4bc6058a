// swift-tools-version: 6.3
import PackageDescription

let benchmark: [Target.Dependency] = [
    .product(name: "Benchmark", package: "benchmark"),
    .product(name: "MayflyMeasure", package: "mayfly"),
]
let plugins: [Target.PluginUsage] = [.plugin(name: "BenchmarkPlugin", package: "benchmark")]

// Without its traits the package counts neither allocations nor references, and does not depend on
// preloaded libraries: `CCounters` counts both.
let package = Package(
    name: "mayfly-benchmarks",
    dependencies: [
        .package(name: "mayfly", path: "../.."),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CCounters", cSettings: [.define("_GNU_SOURCE")]),
        .executableTarget(
            name: "Requests", dependencies: benchmark + ["CCounters"],
            path: "Benchmarks/Requests", plugins: plugins),
        .executableTarget(
            name: "Store", dependencies: benchmark, path: "Benchmarks/Store", plugins: plugins),
    ],
    swiftLanguageModes: [.v6]
)
