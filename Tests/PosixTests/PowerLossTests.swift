import Glibc
import MayflyTestSupport
import Synchronization
import Testing

/// Power losses at random, compared with what Docs/Fixtures.md promises (`PowerOracle`).
///
/// Environment: `MAYFLY_POWER_SEED` names the first seed, `MAYFLY_POWER_SECONDS` how long it goes on. A
/// failure prints the seed and what was done since the power loss before.
@Suite(.serialized)
struct PowerLossTests {
    static let seed = environment("MAYFLY_POWER_SEED").flatMap { UInt64($0) } ?? 1
    static let seconds = environment("MAYFLY_POWER_SECONDS").flatMap { Int($0) } ?? 40
    static let kinds: [PosixKind] = [.ring, .device]

    @Test(
        .enabled(if: MayflyBinary.mounts, MayflyBinary.reason),
        arguments: zip(kinds, [seconds * 3 / 4, seconds / 4]))
    func sameAsThePage(_ kind: PosixKind, seconds: Int) throws {
        if kind == .ring && !PosixTests.hasRing {
            try Test.cancel("/sys/module/fuse/parameters/enable_uring is not Y")
        }
        let counts = try run(kind, seed: Self.seed, seconds: seconds)
        print("seeds from \(Self.seed): \(counts.description)")
        // What was never seen was never compared.
        for number in [
            counts.namesKept, counts.namesLost, counts.pagesKept, counts.pagesLost,
            counts.pagesTorn,
            counts.sizesKept, counts.sizesLost, counts.forks,
        ] { #expect(number > 0, "\(counts)") }
        let unused = Set(PowerOperation.allCases).subtracting(counts.kinds.keys)
        #expect(unused.isEmpty, "\(unused)")
    }

    /// The oracle itself: it finds a way to sync that does not.
    @Test(
        .enabled(if: MayflyBinary.mounts, MayflyBinary.reason),
        arguments: [
            PowerOperation.synchronize, .synchronizeData, .synchronizePath, .synchronizeMapping,
            .synchronizeDirectory, .synchronizeAll, .writeThrough,
        ])
    func canary(_ missing: PowerOperation) throws {
        #expect(throws: PowerFailure.self) {
            try run(.device, seed: Self.seed, seconds: 30, missingSync: missing)
        }
    }

    private func run(
        _ kind: PosixKind, seed: UInt64, seconds: Int, missingSync: PowerOperation? = nil
    ) throws -> PowerCounts {
        let mount = try PosixMount.mayfly(
            binary: MayflyBinary.path, kind: kind, bytes: 64 << 20, inodes: 10_000,
            options: "durability=fsync")
        defer { mount.stop() }
        let fork = PosixPath(try makeTemporaryFolder("power"))
        defer { unsafe rmdir("\(fork)") }
        let result = Result()
        let thread = PosixThread {
            let oracle = try PowerOracle(
                root: mount.root, forkPlace: fork, missingSync: missingSync)
            try oracle.run(seed: seed, seconds: seconds)
            result.counts.withLock { $0 = oracle.counts }
        }
        if try !thread.join(timeoutSeconds: (seconds + 120) * Patience.factor) {
            mount.abort()
            if try !thread.join(timeoutSeconds: 30) { thread.abandon() }
            throw PosixFailure("no end after \(seconds + 120) s")
        }
        return result.counts.withLock { $0 }
    }

    private final class Result: Sendable {
        let counts = Mutex(PowerCounts())
    }
}
