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
        .target(name: "CMemory", cSettings: [.define("_GNU_SOURCE")]),
        .target(name: "CPosixSupport", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(
            name: "CLibarchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .target(
            name: "CArchive", dependencies: ["CLibarchive"], cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(
            name: "CLiburing", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),

        .target(name: "Arena", dependencies: ["CMemory", errno], swiftSettings: strict),
        .target(
            name: "InodeStore", dependencies: ["Arena", "CMemory", errno], swiftSettings: strict),
        .target(
            name: "FuseTransport", dependencies: ["CFuseKernel", "CLiburing", "CMemory", errno],
            swiftSettings: strict),
        .target(
            name: "ControlHTTP", dependencies: ["CMemory"] + nio, swiftSettings: strict),
        .target(
            name: "Images", dependencies: ["Arena", "CArchive", "CMemory", "InodeStore", errno],
            swiftSettings: strict),
        .target(
            name: "Mayfly",
            dependencies: [
                "Arena", "Images", "InodeStore", "FuseTransport", "ControlHTTP", "CFuseKernel", "CMemory",
                errno, logging,
            ],
            swiftSettings: strict),
        .target(
            name: "MayflyBench", dependencies: ["CMemory", "Mayfly", errno],
            swiftSettings: strict),
        .executableTarget(
            name: "MayflyCommand",
            dependencies: ["Images", "Mayfly", "MayflyBench", argumentParser],
            swiftSettings: strict),
        .target(
            name: "MayflyMeasure",
            dependencies: ["CFuseKernel", "CMemory", "FuseTransport", "InodeStore", "Mayfly", errno],
            swiftSettings: strict),
        .target(
            name: "CMayflyTesting", dependencies: ["CMemory"],
            cSettings: [.define("_GNU_SOURCE")]),
        .target(
            name: "MayflyTesting", dependencies: ["CMayflyTesting", "Mayfly"],
            swiftSettings: strict),
        .target(
            name: "MayflyTestSupport",
            dependencies: [
                "Arena", "Images", "InodeStore", "FuseTransport", "CFuseKernel", "CLiburing",
                "CMemory", "CPosixSupport", "Mayfly", errno,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "MayflyFuzz", dependencies: ["MayflyTestSupport", argumentParser],
            swiftSettings: strict),

        .testTarget(
            name: "ArenaTests", dependencies: ["Arena", "MayflyTestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "InodeStoreTests",
            dependencies: ["InodeStore", "Arena", "MayflyTestSupport", errno],
            swiftSettings: strict),
        .testTarget(
            name: "FuseTransportTests",
            dependencies: ["FuseTransport", "CFuseKernel", "MayflyTestSupport", errno],
            swiftSettings: strict),
        .testTarget(
            name: "MayflyTests",
            dependencies: [
                "CFuseKernel", "ControlHTTP", "CPosixSupport", "Mayfly", "MayflyBench",
                "MayflyCommand", "MayflyTesting", "MayflyTestSupport", errno,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PosixTests",
            dependencies: ["MayflyCommand", "MayflyFuzz", "MayflyTestSupport", errno],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
