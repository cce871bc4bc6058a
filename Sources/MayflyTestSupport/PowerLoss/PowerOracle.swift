// PowerOracle: power losses at random, compared with what Docs/Fixtures.md promises.
//
// A seed makes a history: system calls that change a small tree on a mount with durability, some of
// which sync, and then a power loss; a few dozen times, from an empty tree. A model follows every call
// and says what may be left. What is there after the loss becomes the model's next synced state.

import CMayflyTestSupport
import Glibc
import Mayfly

/// What was done and seen, so that a run that sees nothing can be told.
package struct PowerCounts: Sendable {
    package init() {}

    package var operations = 0
    package var losses = 0
    package var forks = 0
    package var namesKept = 0
    package var namesLost = 0
    package var pagesKept = 0
    package var pagesLost = 0
    package var pagesTorn = 0
    package var sizesKept = 0
    package var sizesLost = 0
    package var kinds: [PowerOperation: Int] = [:]

    package var description: String {
        "\(losses) power losses after \(operations) operations: names \(namesKept) kept, \(namesLost) "
            + "lost; pages \(pagesKept) kept, \(pagesLost) lost, \(pagesTorn) torn; sizes "
            + "\(sizesKept) kept, \(sizesLost) lost; \(forks) forks"
    }
}

/// What one step of a history does.
package enum PowerOperation: String, Sendable, CaseIterable {
    case create, open, temporary, linkTemporary, close
    case write, writeThrough, store, synchronizeMapping, unmap
    case truncate, allocate, copyRange, changeMode, changeOwner
    case makeDirectory, removeDirectory, unlink, rename, exchange, link, symlink
    case synchronize, synchronizeData, synchronizePath, synchronizeDirectory
    case writeBack, synchronizeAll, fork
}

/// A difference between what is left and what may be.
package struct PowerFailure: Error, CustomStringConvertible {
    package let description: String
}

/// One descriptor that a history has open.
final class PowerDescriptor {
    let file: PosixFile
    let node: PowerNode
    let isDirect: Bool
    let isSynchronous: Bool
    var mapping: PosixMapping?
    /// Whether linkat(2) may name it still.
    var isTemporary = false

    init(_ file: PosixFile, _ node: PowerNode, isDirect: Bool, isSynchronous: Bool) {
        self.file = file
        self.node = node
        self.isDirect = isDirect
        self.isSynchronous = isSynchronous
    }
}

/// Runs histories on one mount that nobody else uses. Used by one thread.
package final class PowerOracle {
    let root: PosixPath
    let control: MountControl
    /// A directory outside of the mount, for forks.
    let forkPlace: PosixPath
    /// For the oracle's own test: a way to sync that the model takes for made, and that is not.
    let missingSync: PowerOperation?
    var random: SeededGenerator
    var model: PowerModel
    var descriptors: [PowerDescriptor] = []
    /// What the round has done.
    var history: [String] = []
    package internal(set) var counts = PowerCounts()

    static let roundsOfHistory: UInt64 = 40
    static let fileBytes = PowerContent.pageCount * PowerPage.bytes

    /// - Parameters:
    ///   - root: a mount with durability.
    ///   - forkPlace: an empty directory elsewhere.
    ///   - missingSync: calls of this kind are not made, which must be found.
    package init(
        root: PosixPath, forkPlace: PosixPath, missingSync: PowerOperation? = nil
    ) throws {
        self.missingSync = missingSync
        self.root = root
        self.forkPlace = forkPlace
        control = try Self.control(root)
        random = SeededGenerator(seed: 0)
        model = PowerModel(rootOwner: PowerOwner(mode: 0, userID: 0, groupID: 0))
    }

    /// A mount is there a moment before its server can be asked.
    static func control(_ root: PosixPath) throws -> MountControl {
        var attempts = 0
        while true {
            attempts += 1
            do throws(MountError) {
                let control = try MountControl(root.description)
                _ = try control.report()
                return control
            } catch {
                if attempts == 500 { throw error }
            }
            usleep(10_000)
        }
    }

    /// Runs the histories of a seed and of those after it.
    ///
    /// - Parameter seconds: no history begins after so long; the first runs in any case.
    /// - Throws: `PowerFailure` with the seed and what the last round did.
    package func run(seed: UInt64, seconds: Int) throws {
        let end = PosixClock.seconds + seconds
        var at = seed
        repeat {
            var round: UInt64 = 0
            do {
                try begin(at)
                while round < Self.roundsOfHistory {
                    try runRound(crashSeed: at &+ round, checksStore: round % 10 == 9)
                    round += 1
                }
                try removeAll()
            } catch {
                let lines = history.enumerated().map { "  \($0.offset): \($0.element)" }
                throw PowerFailure(
                    description: (["MAYFLY_POWER_SEED=\(at), power loss \(round): \(error)"] + lines)
                        .joined(separator: "\n"))
            }
            at &+= 1
        } while PosixClock.seconds < end
    }

    // MARK: histories and rounds

    private func begin(_ seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        try removeAll()
        _ = try control.sync()
        model = PowerModel(rootOwner: owner(try root.status()))
    }

    private func removeAll() throws {
        history = ["remove everything"]
        descriptors = []
        func remove(_ folder: PosixPath) throws {
            for entry in try folder.entries() where !entry.isDot {
                if entry.type == DT_DIR {
                    try remove(folder / entry.text)
                    try (folder / entry.text).rmdir()
                } else {
                    try (folder / entry.text).unlink()
                }
            }
        }
        try remove(root)
    }

    private func runRound(crashSeed: UInt64, checksStore: Bool) throws {
        history = []
        let steps = 3 + random.below(30)
        var done = 0
        while done < steps {
            if try step() { done += 1 }
        }
        counts.operations += done
        if random.oneIn(4) { try comparePresent(root, "before the power loss") }
        if random.oneIn(2) { descriptors = [] }
        history.append("power loss, seed \(crashSeed)")
        let summary = try control.crash(seed: crashSeed)
        count(summary)
        if summary.notRestored > 0 {
            throw PowerFailure(description: "\(summary.notRestored) not restored")
        }
        let next = try examine(isAllLost: crashSeed % 4 == 0)
        descriptors = []
        model = next
        if checksStore {
            let check = try control.check()
            if !check.problems.isEmpty {
                throw PowerFailure(description: "mayfly check: \(check.problems)")
            }
        }
        // Nothing is unsynced now, and what is left stays.
        if random.oneIn(4) {
            _ = try control.crash(seed: crashSeed &* 4)
            try comparePresent(root, "after another power loss")
        }
    }

    private func count(_ summary: CrashSummary) {
        counts.losses += 1
        counts.namesKept += summary.namesKept
        counts.namesLost += summary.namesLost
        counts.pagesKept += summary.pagesKept
        counts.pagesLost += summary.pagesLost
        counts.pagesTorn += summary.pagesTorn
    }

    func owner(_ status: PosixStatus) -> PowerOwner {
        PowerOwner(mode: status.permissions, userID: status.uid, groupID: status.gid)
    }

    // MARK: comparing

    /// Compares a tree with the model as it is.
    func comparePresent(_ top: PosixPath, _ moment: String) throws {
        var expected: Set<String> = []
        for (path, _, node) in model.reachable() {
            let place = path.isEmpty ? top : top / path
            expected.insert(path)
            if owner(try place.status()) != node.content.owner && node.kind != .link {
                throw PowerFailure(description: "\(moment), \(path) has another owner or mode")
            }
            if node.kind == .file, try place.readBytes() != node.content.visible {
                throw PowerFailure(description: "\(moment), \(path) reads other bytes")
            }
            if node.kind == .directory {
                let names = try place.names()
                if names != node.names.keys.sorted() {
                    throw PowerFailure(
                        description:
                            "\(moment), '\(path)' has \(names), not \(node.names.keys.sorted())")
                }
            }
        }
    }

    /// Compares what is left with what may be.
    ///
    /// - Returns: a model of what is left, with nothing unsynced.
    private func examine(isAllLost: Bool) throws -> PowerModel {
        var examination = PowerExamination(oracle: self, isAllLost: isAllLost)
        try examination.run()
        counts.sizesKept += examination.sizesKept
        counts.sizesLost += examination.sizesLost
        return examination.next
    }
}

enum PosixClock {
    /// Of a clock that nobody sets.
    static var seconds: Int {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec
    }
}
