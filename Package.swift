// swift-tools-version: 6.3
import PackageDescription

/// What every Swift target of this package is compiled with.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

let errno: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
]
let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "mayfly",
    products: [
        .executable(name: "mayfly", targets: ["MayflyCommand"]),
        .library(name: "Mayfly", targets: ["Mayfly"]),
        .library(name: "MayflyTesting", targets: ["MayflyTesting"]),
        // For Tests/Benchmarks alone.
        .library(name: "MayflyMeasure", targets: ["MayflyMeasure"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        .target(name: "CFuseKernel", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "CFuseDevice", dependencies: ["CFuseKernel"], cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "CMayflySystem", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "CMayflyMemory", dependencies: ["CMayflySystem"],
            cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(
            name: "CMayflyZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(
            name: "CMayflyZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        // Includes the headers of libcurl4-openssl-dev, and loads the library when it is used.
        .target(
            name: "CMayflyCurl", dependencies: ["CMayflySystem"],
            cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "CMayflyArchive", dependencies: ["CMayflySystem", "CMayflyZlib"],
            cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(
            name: "CMayflyLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),

        .target(
            name: "MayflyHost", dependencies: ["CMayflyMemory", "CMayflySystem", errno],
            swiftSettings: strict),
        .target(
            name: "MayflyArena", dependencies: ["CMayflyMemory", "CMayflySystem", errno],
            swiftSettings: strict),
        .target(
            name: "InodeStore",
            dependencies: ["CMayflyMemory", "CMayflySystem", "MayflyArena", "MayflyHost", errno],
            swiftSettings: strict),
        .target(
            name: "FuseTransport",
            dependencies: [
                "CFuseDevice", "CFuseKernel", "CMayflyLiburing", "CMayflyMemory", "CMayflySystem",
                "MayflyHost", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyServing",
            dependencies: [
                "CFuseKernel", "CMayflyMemory", "CMayflySystem", "FuseTransport", "InodeStore",
                "MayflyArena", "MayflyHost", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyHTTP", dependencies: ["CMayflySystem", "MayflyHost"] + nio,
            swiftSettings: strict),
        .target(
            name: "MayflyImages",
            dependencies: [
                "CMayflyArchive", "CMayflyMemory", "CMayflySystem", "InodeStore", "MayflyArena",
                "MayflyHost", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "Mayfly",
            dependencies: [
                "CFuseKernel", "CMayflyMemory", "CMayflySystem", "FuseTransport", "InodeStore",
                "MayflyArena", "MayflyHTTP", "MayflyHost", "MayflyImages", "MayflyServing", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyRegistry",
            dependencies: [
                "CMayflyCurl", "CMayflySystem", "CMayflyZstd", "Mayfly", "MayflyArena",
                "MayflyHost", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyRunning",
            dependencies: [
                "CMayflyMemory", "CMayflySystem", "FuseTransport", "Mayfly", "MayflyHost",
                "MayflyImages",
                "MayflyServing", errno,
                logging,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyBench",
            dependencies: [
                "CMayflyMemory", "CMayflySystem", "Mayfly", "MayflyHost", "MayflyRunning", errno,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "MayflyCommand",
            dependencies: [
                "CMayflySystem", "Mayfly", "MayflyBench", "MayflyHost", "MayflyImages",
                "MayflyRegistry", "MayflyRunning", argumentParser,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyMeasure",
            dependencies: [
                "CFuseKernel", "CMayflyMemory", "FuseTransport", "InodeStore", "MayflyArena",
                "MayflyServing", errno,
            ],
            swiftSettings: strict),
        .target(
            name: "CMayflyTesting", dependencies: ["CMayflyMemory", "CMayflySystem"],
            cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "MayflyTesting", dependencies: ["CMayflyTesting", "Mayfly", "MayflyHost"],
            swiftSettings: strict),
        .target(name: "CMayflyTestSupport", cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "MayflyTestSupport",
            dependencies: [
                "CFuseKernel", "CMayflyLiburing", "CMayflyMemory", "CMayflySystem",
                "CMayflyTestSupport", "FuseTransport", "InodeStore", "Mayfly", "MayflyArena",
                "MayflyImages", "MayflyMeasure", "MayflyRegistry", errno,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "MayflyFuzz", dependencies: ["MayflyTestSupport", argumentParser],
            swiftSettings: strict),

        .testTarget(
            name: "ArenaTests",
            dependencies: ["CMayflyMemory", "CMayflySystem", "MayflyArena", "MayflyTestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "InodeStoreTests",
            dependencies: ["InodeStore", "MayflyArena", "MayflyTestSupport", errno],
            swiftSettings: strict),
        .testTarget(
            name: "FuseTransportTests",
            dependencies: [
                "CFuseKernel", "CMayflyLiburing", "FuseTransport", "MayflyHost",
                "MayflyTestSupport",
                errno,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "MayflyTests",
            dependencies: [
                "CFuseKernel", "CMayflyMemory", "CMayflySystem", "CMayflyTestSupport", "Mayfly",
                "InodeStore", "MayflyBench", "MayflyCommand", "MayflyHTTP", "MayflyHost",
                "MayflyImages",
                "MayflyMeasure", "MayflyRunning", "MayflyServing", "MayflyTesting",
                "MayflyTestSupport", errno,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PosixTests",
            dependencies: ["MayflyCommand", "MayflyFuzz", "MayflyTestSupport", errno],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
