// The trait of Swift Testing that gives a test its own mount.

public import Mayfly
public import Testing

/// Gives each test, and of a parameterised test each case, a mount of its own, which is
/// ``ScratchMount/current`` while it runs. Made by
/// `.scratchMount(from:sizeBytes:inodes:configure:)`.
public struct ScratchMountTrait: TestTrait, SuiteTrait, TestScoping {
    let image: ScratchImage?
    let sizeBytes: UInt64?
    let inodes: UInt64?
    let configure: @Sendable (inout MountConfiguration) -> Void

    /// Given to a suite, it holds for every test in it.
    public var isRecursive: Bool { true }

    /// Itself for each case, nothing for suites and tests as a whole.
    public func scopeProvider(for test: Test, testCase: Test.Case?) -> ScratchMountTrait? {
        testCase == nil ? nil : self
    }

    /// Runs a test with a fresh mount, and ends that afterwards.
    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withScratchMount(
            from: image, sizeBytes: sizeBytes, inodes: inodes, configure: configure
        ) { _ in try await function() }
    }
}

extension Trait where Self == ScratchMountTrait {
    /// Gives each test its own mount, a fork of one image where there is one. Tests may run in
    /// parallel, as many as the machine has memory for: `ENOMEM` is an error of the test.
    ///
    ///     @Suite(.scratchMount(from: "fixtures/tree.image")) struct ToolTests {
    ///         @Test func removesWhatItMade() throws {
    ///             let mount = try #require(ScratchMount.current)
    ///             try run("mytool", in: mount.path)
    ///             try mount.rollback()
    ///             ...
    ///
    /// - Parameters:
    ///   - image: what the mount begins with; nil: nothing.
    ///   - sizeBytes: limit of content in bytes; nil: 256 MiB, with an image half of the memory.
    ///   - inodes: limit of files, directories and further links; nil: 65,536, with an image half as
    ///     many as the machine has pages.
    ///   - configure: changes whatever else is to be different from the defaults.
    public static func scratchMount(
        from image: ScratchImage? = nil, sizeBytes: UInt64? = nil, inodes: UInt64? = nil,
        configure: @escaping @Sendable (inout MountConfiguration) -> Void = { _ in }
    ) -> Self {
        ScratchMountTrait(image: image, sizeBytes: sizeBytes, inodes: inodes, configure: configure)
    }
}
