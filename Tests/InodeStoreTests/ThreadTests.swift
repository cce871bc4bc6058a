// Many threads on one store: more threads than processors, more shards than threads.
//
// `Tests/Sanitizers/run thread` has the thread sanitizer look. CMEM_WATCH makes it see the copies, which are C
// (CMayflyMemory.h); without it, it sees words only. Without the suppressions the tests that tear content by
// design are skipped.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

/// The first thing that went wrong on any thread.
final class Complaint: Sendable {
    private let text = Guarded<String?>(nil)
    func callAsFunction(_ what: @autoclosure () -> String) {
        text.withLock { $0 = $0 ?? what() }
    }
    var first: String? { text.withLock { $0 } }
}

let threadCount = 16

func manyShards(pages: UInt64 = 4096, inodes: UInt64 = 2000) throws -> InodeStore {
    try InodeStore(
        pageLimit: pages, inodeLimit: inodes, workerCount: 64, shardCount: 64, owner: .root)
}

/// Operations of each thread: fewer where every word is watched.
func operations(_ count: Int) -> Int {
    FuzzSettings.operations ?? (isThreadSanitized ? count / 4 : count)
}

@Suite(.serialized) struct ThreadTests {
    /// Everything that changes names, in shared directories, with references held across requests
    /// as the kernel holds them.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func storm(seed: UInt64) throws {
        let store = try manyShards(inodes: 200)
        let main = store.worker(0)
        let shared = try ["p", "q", "r"].map { name in
            try main.request { () throws(Errno) in try main.makeDirectory(.root, name) }
        }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            var storm = NameStorm(
                worker: store.worker(4 * index + 1), shared: shared,
                random: SeededGenerator(seed: seed &* 1000 &+ UInt64(index)))
            for _ in 0..<operations(1500) { storm.step() }
            storm.end()
            if let problem = storm.problem { complaint(problem) }
        }
        #expect(complaint.first == nil, "seed \(seed)")
        let report = main.check()
        #expect(report.problems == [], "seed \(seed)")
        #expect(report.orphans == 0, "seed \(seed)")
        store.unmap()
    }

    /// A check in the midst of it finds no operation half done, and stops nobody for good.
    @Test func theStoreIsSoundBetweenAnyTwoRequests() throws {
        let store = try manyShards(inodes: 200)
        let main = store.worker(0)
        let shared = try ["p", "q"].map { name in
            try main.request { () throws(Errno) in try main.makeDirectory(.root, name) }
        }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            if index == 0 {
                for round in 0..<operations(60) {
                    let problems = main.check().problems
                    if !problems.isEmpty { complaint("round \(round): \(problems)") }
                }
                return
            }
            var storm = NameStorm(
                worker: store.worker(4 * index + 1), shared: shared,
                random: SeededGenerator(seed: UInt64(index)))
            for _ in 0..<operations(1500) { storm.step() }
            storm.end()
            if let problem = storm.problem { complaint(problem) }
        }
        #expect(complaint.first == nil)
        store.unmap()
    }

    @Test func entriesThatStayAreListedOnce() throws {
        let store = try manyShards()
        let main = store.worker(0)
        try main.request { () throws(Errno) in
            for index in 0..<150 {
                _ = try main.makeFile(.root, "stays\(index)")
                _ = try main.makeFile(.root, "goes\(index % 24).\(index)")
            }
        }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            let worker = store.worker(index + 1)
            var random = SeededGenerator(seed: UInt64(index))
            for _ in 0..<operations(index < 4 ? 40 : 1500) {
                if index < 4 {
                    let count = listInParts(worker, &random)
                    if count != 150 { complaint("\(count) of 150 entries that stayed") }
                } else {
                    churn(worker, &random)
                }
            }
        }
        #expect(complaint.first == nil)
        #expect(main.check().problems == [])
        store.unmap()
    }

    /// Reads the directory in several requests, with what else happens between them.
    private func listInParts(_ worker: StoreWorker, _ random: inout SeededGenerator) -> Int {
        var cookie: UInt64 = 0
        var count = 0
        while true {
            let limit = 1 + random.below(60)
            let part = try? worker.request { () throws(Errno) in
                try worker.list(.root, from: cookie, limit: limit)
            }
            guard let part, let last = part.last else { return count }
            count += part.filter { $0.name.hasPrefix("stays") }.count
            cookie = last.nextCookie
        }
    }

    private func churn(_ worker: StoreWorker, _ random: inout SeededGenerator) {
        worker.enter()
        defer { worker.leave() }
        let name = "goes\(random.below(24)).\(random.below(150))"
        if let made = try? worker.make(.root, name, mode: FileMode.regular | 0o644) {
            worker.forget(NodeID(rawValue: made.nodeID), count: 1)
        } else if random.oneIn(2) {
            try? worker.unlink(.root, name)
        } else {
            try? worker.rename(.root, name, .root, "goes\(random.below(24)).x")
        }
    }

    /// A name that is replaced again and again is never absent; nor are its neighbours.
    @Test func replacedNameIsAlwaysThere() throws {
        let store = try manyShards()
        let main = store.worker(0)
        try main.request { () throws(Errno) in
            for name in ["target", "neighbour"] { _ = try main.makeFile(.root, name) }
        }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            let worker = store.worker(index + 1)
            for round in 0..<operations(1500) {
                worker.enter()
                if index % 2 == 0 {
                    let name = "new\(index)"
                    if let made = try? worker.make(.root, name, mode: FileMode.regular) {
                        try? worker.rename(.root, name, .root, "target")
                        worker.forget(NodeID(rawValue: made.nodeID), count: 1)
                    }
                } else {
                    let name = round % 2 == 0 ? "target" : "neighbour"
                    let found = try? worker.lookup(.root, name)
                    if let found = found ?? nil {
                        if found.mode == 0 { complaint("\(name) led to a dead inode") }
                        worker.forget(NodeID(rawValue: found.nodeID), count: 1)
                    } else {
                        complaint("\(name) was not found")
                    }
                }
                worker.leave()
            }
        }
        #expect(complaint.first == nil)
        let report = main.check()
        #expect(report.problems == [])
        #expect(report.dentries == 2)
        store.unmap()
    }

    /// LOOKUP and FORGET against unlink: the last of them ends the inode, and only once.
    @Test func forgetRaces() throws {
        let store = try manyShards(inodes: 40)
        withThreads(threadCount) { index in
            let worker = store.worker(index + 1)
            for round in 0..<operations(3000) {
                let name = "x\(round / 8 % 3)"
                worker.enter()
                if index % 4 == 0 {
                    if let made = try? worker.make(.root, name, mode: FileMode.regular) {
                        worker.forget(NodeID(rawValue: made.nodeID), count: 1)
                    }
                } else if index % 4 == 1 {
                    try? worker.unlink(.root, name)
                } else {
                    let found = try? worker.lookup(.root, name)
                    if let found = found ?? nil {
                        worker.leave()
                        worker.enter()
                        worker.forget(NodeID(rawValue: found.nodeID), count: 1)
                    }
                }
                worker.leave()
            }
        }
        let report = store.worker(0).check()
        #expect(report.problems == [])
        #expect(report.orphans == 0)
        store.unmap()
    }

    /// Attributes that are changed together are seen together.
    @Test func attributesAreOfOneMoment() throws {
        let store = try manyShards()
        let main = store.worker(0)
        let file = try main.request { () throws(Errno) in try main.makeFile(.root, "file") }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            let worker = store.worker(index + 1)
            for round in 0..<operations(1500) {
                worker.enter()
                if index < 4 {
                    var change = AttributeChange()
                    change.valid = AttributeChange.userID | AttributeChange.groupID
                    change.userID = UInt32(index * 100_000 + round)
                    change.groupID = change.userID
                    _ = try? worker.setAttributes(file, change, caller: .root)
                } else if let seen = try? worker.attributes(file), seen.userID != seen.groupID {
                    complaint("owner \(seen.userID) with group \(seen.groupID)")
                }
                worker.leave()
            }
        }
        #expect(complaint.first == nil)
        store.unmap()
    }
}

/// One thread's part of the storm.
private struct NameStorm {
    let worker: StoreWorker
    let shared: [NodeID]
    var random: SeededGenerator
    /// Inodes to which this thread has a reference each.
    var held: [NodeID] = []
    var problem: String?

    private mutating func name() -> String { "n\(random.below(10))" }

    mutating func step() {
        worker.enter()
        defer { worker.leave() }
        do throws(Errno) {
            try change()
        } catch {
            switch error {
            case .noSuchFileOrDirectory, .fileExists, .notDirectory, .isDirectory, .noSpace,
                .directoryNotEmpty, .invalidArgument, .notPermitted:
                break
            default: problem = problem ?? "\(error)"
            }
        }
        if held.count > 8 { drop() }
    }

    private mutating func drop() {
        worker.forget(held.remove(at: random.below(held.count)), count: 1)
    }

    private mutating func hold(_ attributes: Attributes?) {
        if let attributes { held.append(NodeID(rawValue: attributes.nodeID)) }
    }

    private mutating func parent() -> NodeID {
        // Any reference may do for a directory: the store says ENOTDIR.
        held.isEmpty || !random.oneIn(3) ? random.pick(shared) : random.pick(held)
    }

    private mutating func change() throws(Errno) {
        let parent = parent()
        let name = name()
        switch random.below(12) {
        case 0, 1: hold(try worker.make(parent, name, mode: FileMode.regular | 0o644))
        case 2: hold(try worker.make(parent, name, mode: FileMode.directory | 0o755))
        case 3: try worker.unlink(parent, name)
        case 4: try worker.removeDirectory(parent, name)
        case 5, 6:
            let flags = random.pick([0, 0, 1, 2, 4] as [UInt32])
            try worker.rename(parent, name, self.parent(), self.name(), flags: flags)
        case 7:
            if let node = held.last { hold(try worker.link(node, parent, name)) }
        case 8:
            hold(
                try worker.makeTemporary(
                    parent, mode: 0o600, isLinkable: true, caller: .root))
        case 9:
            if let node = held.last { try worker.setXattr(node, "user.x", [1, 2, 3]) }
        case 10: _ = try worker.list(parent)
        default: hold(try worker.lookup(parent, random.oneIn(8) ? ".." : name))
        }
    }

    mutating func end() {
        worker.enter()
        while !held.isEmpty { drop() }
        worker.leave()
    }
}
