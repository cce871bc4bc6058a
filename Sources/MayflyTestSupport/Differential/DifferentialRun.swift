import CMayflyTestSupport
import Glibc

/// The differential fuzz: histories that seeds determine, on tmpfs and on Mayfly.
package struct DifferentialRun: Sendable {
    let tmpfs: PosixPath
    let mayfly: PosixPath
    /// A folder's name that is this run's own.
    let name: String
    let isShared: Bool
    /// Whether the second file system loses links, so that there is something to find.
    let isCanary: Bool
    /// Whether no other user makes a call: the mount lets none in.
    let isRootAlone: Bool
    /// Whether three users and root call, some with one capability more or less.
    let hasRights: Bool
    /// Operations between two comparisons of everything.
    static let treeInterval = 250
    static let historyLength = 1000

    package init(
        tmpfs: PosixPath, mayfly: PosixPath, name: String = "h", isShared: Bool = false,
        isCanary: Bool = false, isRootAlone: Bool = false, hasRights: Bool = false
    ) {
        self.hasRights = hasRights
        self.isRootAlone = isRootAlone
        self.isCanary = isCanary
        self.tmpfs = tmpfs
        self.mayfly = mayfly
        self.name = name
        self.isShared = isShared
    }

    /// Runs histories until so many operations have been made.
    ///
    /// The calling thread's identity, umask and working directory become its own.
    ///
    /// - Throws: `DifferentialFailure` with the seed and the shortest history that still fails.
    package func run(seed: UInt64, operations: Int) throws {
        try answer(cps_unshare_fs(), "unshare(CLONE_FS)")
        umask(0o022)
        var done = 0
        var index: UInt64 = 0
        while done < operations {
            let historySeed = seed &+ index
            var generator = DifferentialGenerator(
                seed: historySeed, isRootAlone: isRootAlone, hasRights: hasRights)
            let history = generator.history(min(Self.historyLength, operations - done))
            if let divergence = try replay(history) {
                throw failure(seed: historySeed, history, divergence)
            }
            done += history.count
            index += 1
        }
    }

    /// Plays a history from an empty folder; nil when both do the same.
    ///
    /// - Parameter waits: before the last operation, so that no clock stands still over it.
    func replay(
        _ history: [DifferentialOperation], treeInterval: Int = DifferentialRun.treeInterval,
        waits: Bool = false
    ) throws -> DifferentialDivergence? {
        let pair = try DifferentialPair(
            tmpfs: tmpfs, mayfly: mayfly, name: name, isShared: isShared)
        pair.mayfly.losesLinks = isCanary
        pair.comparesTimes = !isCanary
        let found = play(history, on: pair, treeInterval: treeInterval, waits: waits)
        pair.remove()
        if let found { return found }
        do throws(DifferentialDivergence) {
            pair.step = history.count
            try pair.compareUsageAtEnd()
        } catch {
            return error
        }
        return nil
    }

    private func play(
        _ history: [DifferentialOperation], on pair: DifferentialPair, treeInterval: Int,
        waits: Bool
    ) -> DifferentialDivergence? {
        do throws(DifferentialDivergence) {
            for index in history.indices {
                pair.step = index
                if waits && index == history.count - 1 { usleep(25_000) }
                try pair.perform(history[index])
                if index % treeInterval == treeInterval - 1 { try pair.compareTree() }
            }
            try pair.compareTree()
        } catch {
            return error
        }
        return nil
    }
}

extension DifferentialPair {
    /// After the removal: nothing is left on either side.
    func compareUsageAtEnd() throws(DifferentialDivergence) {
        if isShared { return }
        let used = settledUsage { $0.isNothing && $1.isNothing }
        if !used.tmpfs.isNothing || !used.mayfly.isNothing {
            throw fail(
                "left after the removal of everything: \(used.tmpfs) on tmpfs, "
                    + "\(used.mayfly) on mayfly")
        }
    }
}

/// A divergence with what is needed to see it again.
package struct DifferentialFailure: Error, CustomStringConvertible {
    package let seed: UInt64
    package let history: [DifferentialOperation]
    let divergence: DifferentialDivergence
    /// Operations of the history before it was shrunk.
    let originalCount: Int
    let isReproducible: Bool

    package var description: String {
        var lines = [
            "tmpfs and mayfly differ: \(divergence)",
            "MAYFLY_DIFF_SEED=\(seed); \(history.count) of \(originalCount) operations remain"
                + (isReproducible ? ":" : ", not seen again:"),
        ]
        // One that did not fail again cannot be shrunk: its end is what there is.
        let first = max(0, history.count - 60)
        for index in first..<history.count { lines.append("  \(index): \(history[index])") }
        return lines.joined(separator: "\n")
    }
}
