// StoreHistory: a seeded random history, done to the store and to the model.
//
// After every operation the results are compared, from time to time the whole tree, and at the end
// the store is checked. Few names, few inodes and little space, so that operations meet each other
// and the limits. Each seed has its own weights: one history is mostly renames, another mostly
// truncation.

package import InodeStore
package import SystemPackage

///
/// With `times`, the history also takes snapshots, rolls back, and looks at forks and saved images
/// (StoreHistory+Times.swift).
package final class StoreHistory {
    /// Where store and model differ first.
    package struct Mismatch: Error, CustomStringConvertible {
        package let description: String
    }

    package let store: InodeStore
    var model: ModelFileSystem
    let workers: Int
    var random: SeededGenerator
    private let seed: UInt64
    private var weights: [Int] = []
    /// Inodes that the kernel of this history has references to; the root is always the first.
    var known: [ModelInode] = []
    var log: [String] = []
    /// Names that this kernel would not ask for again.
    var names = ModelNameCache()
    var worker: StoreWorker
    let hasTimes: Bool
    /// The base of the snapshots, and those that were taken.
    var base: SnapshotBase?
    var moments: [Moment] = []
    /// Layers that were made of it.
    var chain: LayerChain?

    /// - Throws: `ENOMEM`.
    package init(
        seed: UInt64, pageLimit: UInt64, inodeLimit: UInt64, workers: Int = 3,
        times: Bool = false, bug: ModelBug = .none
    ) throws(Errno) {
        hasTimes = times
        self.seed = seed
        self.workers = workers
        random = SeededGenerator(seed: seed)
        store = try InodeStore(
            pageLimit: pageLimit, inodeLimit: inodeLimit, workerCount: workers,
            shardCount: max(workers, 4), owner: .root)
        model = ModelFileSystem(pageLimit: pageLimit, inodeLimit: inodeLimit, bug: bug)
        worker = store.worker(0)
        known = [model.root]
        weights = Step.allCases.map { _ in random.oneIn(4) ? 10 : 1 + random.below(3) }
    }

    enum Step: CaseIterable {
        case make, symlink, temporary, link, unlink, removeDirectory, rename, lookup, forget
        case write, read, truncate, allocate, seek, copyRange, setAttributes, setFlags
        case setXattr, removeXattr, list
    }

    /// - Throws: `Mismatch` with the seed and the last operations.
    package func run(operations: Int) throws {
        do {
            for count in 1...operations {
                worker = store.worker(random.below(workers))
                try step()
                if hasTimes, random.oneIn(40) { try passTime() }
                if count % 97 == 0 { try compareAll() }
                if count % 701 == 0 { try checkStore() }
            }
            try compareAll()
            try endAll()
            try checkStore()
        } catch let error as Mismatch {
            throw Mismatch(
                description: "MAYFLY_FUZZ_SEED=\(seed): \(error.description); before it:\n"
                    + log.suffix(25).joined(separator: "\n"))
        }
    }

    /// Does operations for what they leave, and forgets all references.
    func fill(operations: Int) throws {
        for _ in 0..<operations {
            worker = store.worker(random.below(workers))
            try step()
        }
        try endAll()
    }

    private func step() throws {
        var choice = random.below(weights.reduce(0, +))
        var index = 0
        while choice >= weights[index] {
            choice -= weights[index]
            index += 1
        }
        switch Step.allCases[index] {
        case .make, .symlink: try make(isSymlink: Step.allCases[index] == .symlink)
        case .temporary: try makeTemporary()
        case .link: try link()
        case .unlink: try remove(isDirectory: false)
        case .removeDirectory: try remove(isDirectory: true)
        case .rename: try rename()
        case .lookup: try lookup()
        case .forget: forget()
        case .write: try write()
        case .read: try read()
        case .truncate: try truncate()
        case .allocate: try allocate()
        case .seek: try seek()
        case .copyRange: try copyRange()
        case .setAttributes: try setAttributes()
        case .setFlags: try setFlags()
        case .setXattr: try setXattr()
        case .removeXattr: try removeXattr()
        case .list: try list()
        }
    }

    // MARK: both sides

    /// Does the same to both, and compares errors; nil when both failed alike.
    func both<Mine, Its>(
        _ what: String, _ onModel: () throws(Errno) -> Mine,
        _ onStore: (StoreWorker) throws(Errno) -> Its
    ) throws(Mismatch) -> (Mine, Its)? {
        log.append(what)
        if log.count > 200 { log.removeFirst(100) }
        let expected: Result<Mine, Errno>
        let actual: Result<Its, Errno>
        do throws(Errno) { expected = .success(try onModel()) } catch {
            expected = .failure(error)
        }
        worker.enter()
        do throws(Errno) { actual = .success(try onStore(worker)) } catch {
            actual = .failure(error)
        }
        worker.leave()
        switch (expected, actual) {
        case (.success(let mine), .success(let its)): return (mine, its)
        case (.failure(let mine), .failure(let its)) where mine == its:
            log[log.count - 1] += " -> \(mine)"
            return nil
        default:
            throw Mismatch(description: "\(what): model \(brief(expected)), store \(brief(actual))")
        }
    }

    private func brief<T>(_ result: Result<T, Errno>) -> String {
        switch result {
        case .success: "succeeds"
        case .failure(let error): "\(error)"
        }
    }

    func expect(_ isSo: Bool, _ what: @autoclosure () -> String) throws(Mismatch) {
        if !isSo { throw Mismatch(description: what()) }
    }

    func id(_ inode: ModelInode) -> NodeID { NodeID(rawValue: inode.node) }

    func remember(_ inode: ModelInode) {
        if inode.lookups > 0 && !known.contains(where: { $0 === inode }) { known.append(inode) }
    }

    // MARK: choices

    func name() -> String {
        if random.oneIn(60) {
            return random.pick([
                "", ".", "..", String(repeating: "n", count: 255),
                String(repeating: "n", count: 256),
            ])
        }
        return random.pick(["a", "b", "c", "d", "e", "name-of-20-characters", "ü"])
    }

    func anyInode() -> ModelInode { random.pick(known) }

    /// Mostly a directory.
    func directory() -> ModelInode {
        if random.oneIn(40) { return anyInode() }
        return random.pick(known.filter(\.isDirectory))
    }

    /// Mostly a regular file.
    func file() -> ModelInode {
        let files = known.filter(\.isRegular)
        return files.isEmpty || random.oneIn(40) ? anyInode() : random.pick(files)
    }

    func position() -> UInt64 {
        switch random.below(12) {
        case 0: return UInt64(random.below(10_000))
        case 1: return (1 << 40) - 1 + UInt64(random.below(3))
        case 2: return (2 << 20) - 4097 + UInt64(random.pick([0, 1, 4096, 4097, 4098, 8193]))
        case 3: return (1 << 30) + UInt64(random.below(3)) << 21
        case 4: return random.oneIn(4) ? UInt64(Int64.max) - UInt64(random.below(5000)) : 0
        default:
            return random.pick([
                0, 0, 0, 1, 63, 64, 65, 100, 2047, 2048, 2049, 4095, 4096, 4097, 8191, 8192,
                32_767, 32_768, 40_000,
            ])
        }
    }

    func length() -> Int {
        if random.oneIn(20) { return random.below(100_000) }
        return random.pick([
            0, 1, 2, 63, 64, 65, 100, 500, 2047, 2048, 2049, 4095, 4096, 4097, 8192, 12_289,
        ])
    }

    func bytes(_ count: Int) -> [UInt8] {
        // No zeros, so that a hole is never taken for content.
        let first = random.below(200)
        return (0..<count).map { UInt8(truncatingIfNeeded: 1 + (first + $0 * 7) % 251) }
    }

    func caller() -> Caller {
        Caller(
            userID: UInt32(random.below(3)), groupID: UInt32(random.below(3)),
            umask: random.pick([0, 0o022, 0o077]))
    }
}
