// What tests begin with: an image from a file, or one that is built by the first test that needs
// it.

internal import Glibc
internal import Mayfly
internal import Synchronization

/// A tree that any number of tests begin with, each on a fork of its own.
///
/// An image that `mayfly save` or `mayfly image build` has made is named by its path:
///
///     @Test(.scratchMount(from: "fixtures/tree.image")) func tool() { ... }
///
/// A tree that takes code to make is built once in each process, by the first test that wants it,
/// and is gone with the process:
///
///     let tree = ScratchImage { root in try await run("make-fixture", in: root) }
///
///     @Test(.scratchMount(from: tree)) func tool() { ... }
public final class ScratchImage: Sendable, ExpressibleByStringLiteral {
    private enum Origin: Sendable {
        case file(String)
        case built(@Sendable () async throws -> String)
    }

    private let origin: Origin
    /// The building, once it has begun.
    private let building = Mutex<Task<String, any Error>?>(nil)

    /// An image in a file, opened anew by each mount.
    public init(_ path: String) { origin = .file(path) }

    /// An image in a file, so that a mount takes its path as it stands.
    public convenience init(stringLiteral path: String) { self.init(path) }

    /// An image that is built when it is first wanted, once.
    ///
    /// - Parameters:
    ///   - sizeBytes: limit of content while it is built, in bytes; nil: half of the memory.
    ///   - inodes: limit of files, directories and further links meanwhile; nil: half as many as
    ///     the memory has pages.
    ///   - build: gets the absolute path of an empty directory and fills it. Each test that begins
    ///     with the image fails with what it throws.
    public init(
        sizeBytes: UInt64? = nil, inodes: UInt64? = nil,
        build: @escaping @Sendable (_ root: String) async throws -> Void
    ) {
        origin = .built {
            let mount = try ScratchMount.make {
                $0.sizeBytes = sizeBytes
                $0.inodes = inodes
            }
            defer { mount.end() }
            try await build(mount.path)
            let file = try ScratchFolder.shared().freePath()
            try mount.save(to: file)
            return file
        }
    }

    /// The path of the image, which is built if it is not there yet.
    ///
    /// - Throws: what building throws; `MountError` when there is no mount to build it in.
    public func file() async throws -> String {
        switch origin {
        case .file(let path): return path
        case .built(let build):
            let task = building.withLock { building in
                let task = building ?? Task { try await build() }
                building = task
                return task
            }
            return try await task.value
        }
    }
}
