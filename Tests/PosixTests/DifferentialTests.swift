import Glibc
import MayflyTestSupport
import Testing

/// The same seeded history on tmpfs and on Mayfly, compared after every operation.
///
/// Environment: `MAYFLY_DIFF_SEED` names the first seed, `MAYFLY_DIFF_OPERATIONS` how many
/// operations are made. A failure prints the seed and a short history.
@Suite(.serialized)
struct DifferentialTests {
    static let seed = environment("MAYFLY_DIFF_SEED").flatMap { UInt64($0) } ?? 1
    static let operations =
        environment("MAYFLY_DIFF_OPERATIONS").flatMap { Int($0) } ?? 100_000
    static let kinds: [PosixKind] = [.ring, .device]

    @Test(
        .enabled(if: MayflyBinary.mounts, MayflyBinary.reason),
        arguments: zip(kinds, [operations * 3 / 4, operations / 4]))
    func sameAsTmpfs(_ kind: PosixKind, operations: Int) throws {
        try withMounts(kind, bytes: 12 << 20, inodes: 300) { tmpfs, mayfly in
            try bounded(mayfly, seconds: operations / 100 + 120) {
                try DifferentialRun(tmpfs: tmpfs.root, mayfly: mayfly.root)
                    .run(seed: Self.seed, operations: operations)
            }
        }
    }

    /// Where the kernel checks no permissions, because root alone is let in, all else is the same.
    @Test(.enabled(if: MayflyBinary.mounts, MayflyBinary.reason), arguments: kinds)
    func sameForRootAlone(_ kind: PosixKind) throws {
        let count = Self.operations / 4
        try withMounts(kind, bytes: 12 << 20, inodes: 300, isRootAlone: true) { tmpfs, mayfly in
            try bounded(mayfly, seconds: count / 100 + 120) {
                try DifferentialRun(tmpfs: tmpfs.root, mayfly: mayfly.root, isRootAlone: true)
                    .run(seed: Self.seed &+ 500_000, operations: count)
            }
        }
    }

    /// Three users with groups of their own, and root, some with one capability more or less.
    ///
    /// A million of them: `MAYFLY_DIFF_OPERATIONS=8000000 swift test --no-parallel --filter
    /// DifferentialTests/severalUsers`.
    @Test(.enabled(if: MayflyBinary.mounts, MayflyBinary.reason), arguments: kinds)
    func severalUsers(_ kind: PosixKind) throws {
        let count = Self.operations / 8
        try withMounts(kind, bytes: 12 << 20, inodes: 300) { tmpfs, mayfly in
            try bounded(mayfly, seconds: count / 100 + 120) {
                try DifferentialRun(tmpfs: tmpfs.root, mayfly: mayfly.root, hasRights: true)
                    .run(seed: Self.seed &+ 700_000, operations: count)
            }
        }
    }

    /// Threads with a folder each; the mounts are theirs together.
    @Test(.enabled(if: MayflyBinary.mounts, MayflyBinary.reason), arguments: kinds)
    func threadsApart(_ kind: PosixKind) throws {
        let count = max(500, Self.operations / 20)
        try withMounts(kind, bytes: 512 << 20, inodes: 100_000) { tmpfs, mayfly in
            let threads = (0..<4).map { index in
                PosixThread {
                    try DifferentialRun(
                        tmpfs: tmpfs.root, mayfly: mayfly.root, name: "h\(index)", isShared: true
                    ).run(seed: Self.seed &+ 1_000_000 &* UInt64(index + 1), operations: count)
                }
            }
            try join(threads, mayfly, seconds: count / 20 + 120)
        }
    }

    /// Threads in one folder: what must hold however they interleave.
    @Test(.enabled(if: MayflyBinary.mounts, MayflyBinary.reason), arguments: kinds)
    func threadsTogether(_ kind: PosixKind) throws {
        let count = max(500, Self.operations / 20)
        try withMounts(kind, bytes: 24 << 20, inodes: 500) { _, mayfly in
            let storm = try DifferentialStorm(root: mayfly.root, seed: Self.seed)
            let threads = (0..<4).map { index in
                PosixThread { try storm.run(thread: index, operations: count) }
            }
            try join(threads, mayfly, seconds: count / 50 + 120)
            try bounded(mayfly, seconds: 60) { try storm.check() }
        }
    }

    /// Processes with a folder each, then all in one: `MayflyFuzz`, which prints what it finds.
    @Test(.enabled(if: MayflyBinary.mounts, MayflyBinary.reason), arguments: kinds)
    func processes(_ kind: PosixKind) throws {
        let count = max(500, Self.operations / 20)
        try withMounts(kind, bytes: 512 << 20, inodes: 100_000) { tmpfs, mayfly in
            let fuzz = try spawnProgram([
                MayflyBinary.folder + "/MayflyFuzz", "processes", "--tmpfs", "\(tmpfs.root)",
                "--mayfly",
                "\(mayfly.root)", "--seed", "\(Self.seed)", "--operations", "\(count)",
            ])
            try bounded(mayfly, seconds: count / 10 + 120) {
                #expect(exitStatus(of: fuzz) == 0, "its output is above")
            }
        }
    }

    /// The fuzz itself: it finds a link that is lost, and says so with few operations.
    @Test(.enabled(if: PosixTests.isRoot, "mounting tmpfs needs root"))
    func canary() throws {
        let mounts = try (0..<2).map { _ in try PosixMount.tmpfs(bytes: 12 << 20, inodes: 300) }
        defer { mounts.forEach { $0.stop() } }
        let (first, second) = (mounts[0].root, mounts[1].root)
        let failure = #expect(throws: DifferentialFailure.self) {
            try PosixThread {
                try DifferentialRun(tmpfs: first, mayfly: second, isCanary: true)
                    .run(seed: Self.seed, operations: 20_000)
            }.join()
        }
        #expect(
            (failure?.history.count ?? .max) < 10, "\(failure.map(String.init(describing:)) ?? "")")
    }

    private func withMounts(
        _ kind: PosixKind, bytes: Int, inodes: Int, isRootAlone: Bool = false,
        _ body: (PosixMount, PosixMount) throws -> Void
    ) throws {
        if kind == .ring && !PosixTests.hasRing {
            try Test.cancel("/sys/module/fuse/parameters/enable_uring is not Y")
        }
        let tmpfs = try PosixMount.tmpfs(bytes: bytes, inodes: inodes)
        defer { tmpfs.stop() }
        try tmpfs.forbidDevices()
        let mayfly = try PosixMount.mayfly(
            binary: MayflyBinary.path, kind: kind, bytes: bytes, inodes: inodes,
            isRootAlone: isRootAlone)
        defer { mayfly.stop() }
        try body(tmpfs, mayfly)
        #expect(mayfly.isAlive, "the server died")
        let check = try spawnProgram([MayflyBinary.path, "check", "\(mayfly.root)"])
        #expect(exitStatus(of: check) == 0, "the store is not as it must be: see above")
    }

    private func bounded(
        _ mayfly: PosixMount, seconds: Int, _ body: @escaping @Sendable () throws -> Void
    ) throws {
        try join([PosixThread(body)], mayfly, seconds: seconds)
    }

    /// Joins the threads; a server that hangs is ended.
    private func join(_ threads: [PosixThread], _ mayfly: PosixMount, seconds: Int) throws {
        var failure: (any Error)?
        for thread in threads {
            do {
                if try thread.join(timeoutSeconds: seconds * Patience.factor) { continue }
                mayfly.abort()
                if try !thread.join(timeoutSeconds: 30) { thread.abandon() }
                failure = failure ?? PosixFailure("no end after \(seconds) s")
            } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}
