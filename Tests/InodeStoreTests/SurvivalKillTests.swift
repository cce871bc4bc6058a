// A process that changes a tree is killed at some moment, again and again: what it had answered is there.

import InodeStore
import MayflyArena
import MayflyTestSupport
import Synchronization
import SystemPackage
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// A change that a seed and a number give again.
private struct SeededChange {
    /// The file whose content may be there in part if the change was not answered.
    private(set) var torn: String?
    private let body: (StoreWorker) throws(Errno) -> Void

    /// - Parameter root: the folder below which everything happens.
    init(seed: UInt64, number: UInt64, root: String = "") {
        var random = SeededGenerator(seed: seed &* 0x1_0001 &+ number)
        let folder = root + Self.folder(&random)
        let name = "n\(random.below(6))"
        let other = root + Self.folder(&random)
        let otherName = "n\(random.below(6))"
        let bytes = [UInt8](
            repeating: UInt8(1 + random.below(255)),
            count: 1 + random.below(random.oneIn(3) ? 20_000 : 1500))
        let offset = UInt64(random.below(random.oneIn(4) ? 100_000 : 3000))
        let flags = random.pick([0, 0, RenameFlags.noReplace, RenameFlags.exchange])
        let path = "\(folder)/\(name)"
        switch random.below(14) {
        case 0, 1:
            body = { worker throws(Errno) in
                let made = try worker.makeFile(try worker.node(at: folder), name)
                worker.forget(made, count: 1)
            }
        case 2:
            body = { worker throws(Errno) in
                let made = try worker.makeDirectory(try worker.node(at: folder), name)
                worker.forget(made, count: 1)
            }
        case 3:
            body = { worker throws(Errno) in
                let made = try worker.makeSymlink(
                    try worker.node(at: folder), name, target: [UInt8](bytes.prefix(300)))
                worker.forget(NodeID(rawValue: made.nodeID), count: 1)
            }
        case 4:
            body = { worker throws(Errno) in
                let file = try worker.node(at: path)
                _ = try worker.link(file, try worker.node(at: other), otherName)
                worker.forget(file, count: 1)
            }
        case 5:
            body = { worker throws(Errno) in try worker.unlink(try worker.node(at: folder), name) }
        case 6:
            body = { worker throws(Errno) in
                try worker.removeDirectory(try worker.node(at: folder), name)
            }
        case 7, 8:
            body = { worker throws(Errno) in
                try worker.rename(
                    try worker.node(at: folder), name, try worker.node(at: other), otherName,
                    flags: flags)
            }
        case 9, 10:
            torn = path
            body = { worker throws(Errno) in
                _ = try worker.write(try worker.node(at: path), offset: offset, bytes)
            }
        case 11:
            body = { worker throws(Errno) in
                try worker.truncate(try worker.node(at: path), to: offset)
            }
        case 12:
            torn = path
            let mode = random.pick([0, AllocateMode.keepSize, 3])
            body = { worker throws(Errno) in
                try worker.allocate(
                    try worker.node(at: path), offset: offset, length: UInt64(bytes.count),
                    mode: mode)
            }
        default:
            let isRemoval = random.oneIn(3)
            body = { worker throws(Errno) in
                let file = try worker.node(at: path)
                if isRemoval {
                    try worker.removeXattr(file, "user.x")
                } else {
                    try worker.setXattr(file, "user.x", [UInt8](bytes.prefix(3000)))
                }
            }
        }
    }

    private static func folder(_ random: inout SeededGenerator) -> String {
        random.pick(["", "", "/n0", "/n1", "/n0/n2"])
    }

    /// Makes it, or fails as it does each time.
    func make(_ worker: StoreWorker) {
        worker.enter()
        try? body(worker)
        worker.leave()
    }
}

@Suite(.serialized) struct SurvivalKillTests {
    private static let kills = FuzzSettings.histories ?? 60

    @Test func nothingAnsweredIsLost() throws {
        let seed = FuzzSettings.seed ?? 1
        var random = SeededGenerator(seed: seed)
        // How many changes were answered, where the parent sees it.
        let page = unsafe mmap(
            nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        let answered = unsafe page!
        defer { unsafe munmap(answered, 4096) }
        let count = unsafe answered.assumingMemoryBound(to: Atomic<UInt64>.self)
        var survivor = try SurvivingStore()
        let twin = try InodeStore(
            pageLimit: 2000, inodeLimit: 1000, workerCount: 2, shardCount: 4, owner: .root)
        defer { twin.unmap() }
        var done: UInt64 = 0
        var whole = 0
        var torn = 0
        for kill in 0..<Self.kills {
            unsafe count.pointee.store(done, ordering: .sequentiallyConsistent)
            let worker = survivor.store.worker(0)
            let begin = done
            let wasKilled = try survivor.kill(
                afterNanoseconds: Int64(200_000 + random.below(3_000_000))
            ) { () throws(Errno) in
                for number in begin..<begin + 100_000 {
                    SeededChange(seed: seed, number: number).make(worker)
                    unsafe count.pointee.store(number + 1, ordering: .sequentiallyConsistent)
                }
            }
            #expect(wasKilled)
            let (next, report) = try survivor.recovered()
            survivor = next
            let say = "seed \(seed), kill \(kill) behind change \(done)"
            try #require(report.problems == [], "\(say)")
            try #require(survivor.store.worker(0).check().problems == [], "\(say)")
            let end = unsafe count.pointee.load(ordering: .sequentiallyConsistent)
            for number in done..<end {
                SeededChange(seed: seed, number: number).make(twin.worker(0))
            }
            done = end
            let found = try TreePicture(survivor.store.worker(0), isExact: false)
            let before = try TreePicture(twin.worker(0), isExact: false)
            if found == before { continue }
            let last = SeededChange(seed: seed, number: done)
            last.make(twin.worker(0))
            let after = try TreePicture(twin.worker(0), isExact: false)
            if found != after {
                let path = try #require(last.torn, "\(say): \(found.differences(from: after))")
                #expect(
                    found.isTorn(path, between: before, and: after),
                    "\(say): \(found.differences(from: after))")
                // Both whole again.
                last.make(survivor.store.worker(0))
                torn += 1
            } else {
                whole += 1
            }
            done += 1
        }
        survivor.end()
        print(
            "\(Self.kills) kills of one thread, \(done) changes; the last was there whole \(whole) times, "
                + "in part \(torn) times")
    }

    /// Two threads, each in a folder of its own, and both in the root's: what one has noted is not the
    /// other's.
    @Test func twoThreadsDieAtOnce() throws {
        let seed = FuzzSettings.seed ?? 1
        var random = SeededGenerator(seed: seed &+ 77)
        let page = unsafe mmap(
            nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        let shared = UInt(bitPattern: page)
        defer { unsafe munmap(page!, 4096) }
        var survivor = try SurvivingStore()
        let twin = try InodeStore(
            pageLimit: 2000, inodeLimit: 1000, workerCount: 2, shardCount: 4, owner: .root)
        defer { twin.unmap() }
        let roots = ["/t0", "/t1"]
        for worker in [survivor.store.worker(0), twin.worker(0)] {
            try worker.request { () throws(Errno) in
                for name in ["t0", "t1"] {
                    worker.forget(try worker.makeDirectory(.root, name), count: 1)
                }
            }
        }
        var done: [UInt64] = [0, 0]
        var whole = 0
        for kill in 0..<Self.kills {
            let begin = done
            let store = survivor.store
            for thread in 0..<2 { counter(shared, thread).store(done[thread]) }
            _ = try survivor.kill(afterNanoseconds: Int64(500_000 + random.below(4_000_000))) {
                () throws(Errno) in
                withThreads(2) { thread in
                    let worker = store.worker(thread)
                    for number in begin[thread]..<begin[thread] + 100_000 {
                        SeededChange(
                            seed: seed &+ UInt64(thread), number: number, root: roots[thread]
                        ).make(worker)
                        SharedCount(address: shared + UInt(thread) * 64).store(number + 1)
                        // In the folder of both.
                        worker.enter()
                        if let made = try? worker.makeFile(.root, "x\(thread)") {
                            worker.forget(made, count: 1)
                        }
                        try? worker.rename(.root, "x\(thread)", .root, "y\(thread)")
                        try? worker.unlink(.root, "y\(thread)")
                        worker.leave()
                    }
                }
            }
            let (next, report) = try survivor.recovered()
            survivor = next
            let say = "seed \(seed), kill \(kill) behind changes \(done)"
            try #require(report.problems == [], "\(say)")
            try #require(survivor.store.worker(0).check().problems == [], "\(say)")
            for thread in 0..<2 {
                let end = counter(shared, thread).load()
                for number in done[thread]..<end {
                    SeededChange(seed: seed &+ UInt64(thread), number: number, root: roots[thread])
                        .make(twin.worker(0))
                }
                done[thread] = end
                let found = try TreePicture(survivor.store.worker(0), isExact: false)
                let before = try TreePicture(twin.worker(0), isExact: false)
                if found.below(roots[thread]) == before.below(roots[thread]) { continue }
                let last = SeededChange(
                    seed: seed &+ UInt64(thread), number: end, root: roots[thread])
                last.make(twin.worker(0))
                let after = try TreePicture(twin.worker(0), isExact: false)
                done[thread] += 1
                if found.below(roots[thread]) == after.below(roots[thread]) {
                    whole += 1
                    continue
                }
                _ = try #require(last.torn, "\(say): \(found.differences(from: after))")
                // Both whole again.
                last.make(survivor.store.worker(0))
            }
            // What was in the folder of both is gone or there, whole.
            survivor.store.worker(0).enter()
            for name in ["x0", "x1", "y0", "y1"] {
                try? survivor.store.worker(0).unlink(.root, name)
            }
            survivor.store.worker(0).leave()
        }
        survivor.end()
        print("\(Self.kills) kills of two threads, \(done) changes; whole \(whole) times")
    }

    private func counter(_ page: UInt, _ thread: Int) -> SharedCount {
        SharedCount(address: page + UInt(thread) * 64)
    }
}

/// A number that a child process writes.
private struct SharedCount: Sendable {
    let address: UInt

    private var word: UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe UnsafeMutablePointer(bitPattern: address)!
    }
    func load() -> UInt64 { unsafe word.pointee.load(ordering: .sequentiallyConsistent) }
    func store(_ value: UInt64) {
        unsafe word.pointee.store(value, ordering: .sequentiallyConsistent)
    }
}
