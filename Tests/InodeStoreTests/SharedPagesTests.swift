// Pages that several files share: a copy costs no page, each file reads as if its pages were its own, and
// no write fails that would not have failed without.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@testable import InodeStore
@testable import MayflyArena

#if canImport(Glibc)
import Glibc
#endif

@Suite(.timeLimit(.minutes(3))) struct SharedPagesTests {
    private func makeStore(pages: UInt64 = 4096, workers: Int = 2) throws -> InodeStore {
        try InodeStore(
            pageLimit: pages, inodeLimit: 1000, workerCount: workers, shardCount: 4, owner: .root)
    }

    private func bytes(_ count: Int, _ seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &+ seed) | 1 }
    }

    private func make(_ store: InodeStore, _ name: String, _ content: [UInt8]) throws -> NodeID {
        let worker = store.worker(0)
        return try worker.request { () throws(Errno) in
            let node = try worker.makeFile(.root, name)
            var at = 0
            while at < content.count {
                let piece = Array(content[at..<min(content.count, at + 1 << 20)])
                _ = try worker.write(node, offset: UInt64(at), piece)
                at += piece.count
            }
            worker.forget(node, count: 1)
            return node
        }
    }

    private func copy(
        _ store: InodeStore, _ source: NodeID, _ name: String, worker index: Int = 0
    ) throws -> NodeID {
        let worker = store.worker(index)
        return try worker.request { () throws(Errno) in
            let node = try worker.makeFile(.root, name)
            let size = try worker.attributes(source).size
            var at: UInt64 = 0
            while at < size {
                let done = try worker.copyRange(
                    from: source, at: at, to: node, at: at, count: size - at)
                if done == 0 { throw Errno.noSpace }
                at += done
            }
            worker.forget(node, count: 1)
            return node
        }
    }

    private func content(_ store: InodeStore, _ node: NodeID) throws -> [UInt8] {
        let worker = store.worker(0)
        return try worker.request { () throws(Errno) in
            try worker.read(node, offset: 0, count: Int(try worker.attributes(node).size))
        }
    }

    /// Pages whose memory is in use, whoever is charged for them.
    private func pagesThere(_ store: InodeStore) -> Int {
        store.whileFrozen {}
        return ArenaCheck(store.arena).unitsInUse(.pages).count
    }

    @Test(arguments: [4096, 4097, 8000, 40_000, 1 << 20, 5 << 20 + 77])
    func aCopyTakesNoPages(size: Int) throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        let data = bytes(size, 3)
        let source = try make(store, "a", data)
        let (there, free) = (pagesThere(store), worker.statistics.pagesFree)
        let copied = store.traffic.copied
        let target = try copy(store, source, "b")
        #expect(store.traffic.copied == copied)
        // But for nodes of its map.
        #expect(pagesThere(store) - there <= 2 + size >> 20)
        // It is charged as any other.
        #expect(worker.statistics.pagesFree == free - UInt64((size + 4095) / 4096))
        let (a, b) = try worker.request { () throws(Errno) in
            (try worker.attributes(source), try worker.attributes(target))
        }
        #expect(a.blocks == b.blocks && a.size == b.size)
        #expect(try content(store, target) == data)
        #expect(worker.check().problems == [])
        // The one that is left has the pages alone.
        try worker.request { () throws(Errno) in try worker.unlink(.root, "a") }
        store.whileFrozen {}
        #expect(worker.check().problems == [])
        #expect(try content(store, target) == data)
        let before = pagesThere(store)
        try worker.request { () throws(Errno) in
            _ = try worker.write(target, offset: 0, [9, 9])
        }
        #expect(pagesThere(store) == before)
        try worker.request { () throws(Errno) in try worker.unlink(.root, "b") }
        #expect(worker.check().problems == [])
        #expect(pagesThere(store) == 0)
    }

    /// Each way to change a file leaves the other as it was.
    @Test(
        arguments: [
            "write", "write across", "write all", "truncate", "punch", "punch inside", "zero",
            "zero all",
            "longer", "copy over", "copy back",
        ], [false, true])
    func theOtherStaysAsItWas(change: String, ofTheCopy: Bool) throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        let data = bytes(30_000, 5)
        let source = try make(store, "a", data)
        let target = try copy(store, source, "b")
        let other = try make(store, "c", bytes(20_000, 11))
        let (changed, kept) = ofTheCopy ? (target, source) : (source, target)
        var expected = data
        let new = bytes(12_000, 77)
        func put(_ bytes: [UInt8], _ at: Int) {
            expected.replaceSubrange(at..<min(expected.count, at + bytes.count), with: bytes)
        }
        func set(size: UInt64) throws(Errno) {
            var change = AttributeChange()
            change.valid = AttributeChange.size
            change.size = size
            _ = try worker.setAttributes(changed, change, caller: .root)
        }
        try worker.request { () throws(Errno) in
            switch change {
            case "write":
                _ = try worker.write(changed, offset: 5000, Array(new[..<10]))
                put(Array(new[..<10]), 5000)
            case "write across":
                _ = try worker.write(changed, offset: 4000, new)
                put(new, 4000)
            case "write all":
                _ = try worker.write(changed, offset: 0, bytes(30_000, 8))
                expected = bytes(30_000, 8)
            case "truncate":
                try set(size: 10_001)
                try set(size: 20_000)
                expected = Array(expected[..<10_001]) + [UInt8](repeating: 0, count: 9_999)
            case "punch", "punch inside":
                let (start, end) = change == "punch" ? (5000, 20_000) : (5000, 5100)
                try worker.allocate(
                    changed, offset: UInt64(start), length: UInt64(end - start),
                    mode: AllocateMode.punchHole | AllocateMode.keepSize)
                put([UInt8](repeating: 0, count: end - start), start)
            case "zero", "zero all":
                let (start, end) = change == "zero" ? (5000, 20_000) : (0, 30_000)
                try worker.allocate(
                    changed, offset: UInt64(start), length: UInt64(end - start),
                    mode: AllocateMode.zeroRange)
                put([UInt8](repeating: 0, count: end - start), start)
            case "longer":
                _ = try worker.write(changed, offset: 30_000, new)
                expected += new
            case "copy over":
                _ = try worker.copyRange(from: other, at: 100, to: changed, at: 200, count: 15_000)
                put(Array(bytes(20_000, 11)[100..<15_100]), 200)
            default:
                _ = try worker.copyRange(
                    from: kept, at: 100, to: changed, at: 8292, count: 15_000)
                put(Array(data[100..<15_100]), 8292)
            }
        }
        #expect(try content(store, changed) == expected)
        #expect(try content(store, kept) == data)
        #expect(worker.check().problems == [])
    }

    /// With all pages of the limit promised, every page of every copy can be written.
    @Test func noLaterWriteFails() throws {
        let store = try makeStore(pages: 1000)
        defer { store.unmap() }
        let worker = store.worker(0)
        let source = try make(store, "0", bytes(100 * 4096, 1))
        var nodes = [source]
        for index in 1..<10 { nodes.append(try copy(store, source, "\(index)")) }
        #expect(worker.statistics.pagesFree == 0)
        #expect(throws: Errno.noSpace) { _ = try copy(store, source, "more") }
        for (index, node) in nodes.enumerated() {
            let data = bytes(100 * 4096, 100 + index)
            let written = try worker.request { () throws(Errno) in
                try worker.write(node, offset: 0, data)
            }
            #expect(written == 100 * 4096)
        }
        for (index, node) in nodes.enumerated() {
            #expect(try content(store, node) == bytes(100 * 4096, 100 + index))
        }
        #expect(worker.check().problems == [])
    }

    /// Any order of changes of many files, some of which are copies, beside plain arrays.
    @Test(arguments: 1...6 as ClosedRange<UInt64>) func beside(seed: UInt64) throws {
        let store = try makeStore(pages: 20_000)
        defer { store.unmap() }
        let worker = store.worker(0)
        var random = SeededGenerator(seed: seed)
        var model: [(node: NodeID, name: String, bytes: [UInt8])] = []
        var snapshot: (StoreSnapshot, [(node: NodeID, name: String, bytes: [UInt8])])?
        for step in 0..<400 {
            let pick = model.isEmpty ? 0 : Int(random.below(model.count))
            switch random.below(10) {
            case 0 where model.count < 12 || model.isEmpty:
                let data = bytes(Int(random.below(120_000)), step)
                model.append((try make(store, "f\(step)", data), "f\(step)", data))
            case 1, 2, 3:
                guard !model.isEmpty, model.count < 30 else { continue }
                let node = try copy(store, model[pick].node, "f\(step)", worker: step & 1)
                model.append((node, "f\(step)", model[pick].bytes))
            case 4:
                guard !model.isEmpty else { continue }
                let gone = model.remove(at: pick)
                try worker.request { () throws(Errno) in try worker.unlink(.root, gone.name) }
            case 5:
                guard !model.isEmpty else { continue }
                let size = Int(random.below(130_000))
                var change = AttributeChange()
                change.valid = AttributeChange.size
                change.size = UInt64(size)
                let node = model[pick].node
                _ = try worker.request { () throws(Errno) in
                    try worker.setAttributes(node, change, caller: .root)
                }
                let old = model[pick].bytes
                model[pick].bytes =
                    Array(old.prefix(size)) + [UInt8](repeating: 0, count: max(0, size - old.count))
            case 6 where step == 200:
                snapshot = (try store.snapshot(base: nil), model)
            case 7 where step > 300 && snapshot != nil:
                if let (then, files) = snapshot {
                    try store.rollBack(to: then)
                    // Nodeids may be others.
                    model = try worker.request { () throws(Errno) in
                        var found: [(node: NodeID, name: String, bytes: [UInt8])] = []
                        for file in files {
                            found.append((try worker.node(at: file.name), file.name, file.bytes))
                        }
                        return found
                    }
                }
            default:
                guard !model.isEmpty else { continue }
                let at = Int(random.below(model[pick].bytes.count + 1))
                let data = bytes(1 + Int(random.below(20_000)), step * 7)
                let node = model[pick].node
                _ = try worker.request { () throws(Errno) in
                    try worker.write(node, offset: UInt64(at), data)
                }
                let end = min(model[pick].bytes.count, at + data.count)
                model[pick].bytes.replaceSubrange(at..<end, with: data)
            }
            if step % 40 == 0 {
                #expect(worker.check().problems == [], "seed \(seed), step \(step)")
                for file in model {
                    let isSame = try content(store, file.node) == file.bytes
                    #expect(isSame, "seed \(seed), step \(step), \(file.name)")
                }
            }
        }
        for file in model {
            try worker.request { () throws(Errno) in try worker.unlink(.root, file.name) }
        }
        #expect(worker.check().problems == [])
        #expect(pagesThere(store) == 0)
        #expect(worker.statistics.pagesFree == 20_000)
        // Tables go with their chunks.
        worker.enter()
        _ = worker.worker.trim()
        worker.leave()
        #expect(worker.check().problems == [])
    }

    /// Who reads one file while both are written never meets bytes of the other.
    @Test func readersOfOneFileNeverSeeTheOther() throws {
        let store = try makeStore(workers: 4)
        defer { store.unmap() }
        let data = [UInt8](repeating: 1, count: 64 * 4096)
        let complaint = Complaint()
        for round in 0..<(isThreadSanitized ? 10 : 60) {
            let source = try make(store, "a\(round)", data)
            let target = try copy(store, source, "b\(round)")
            withThreads(3) { index in
                let worker = store.worker(index + 1)
                for _ in 0..<8 {
                    do throws(Errno) {
                        switch index {
                        case 0:
                            let seen = try worker.request { () throws(Errno) in
                                try worker.read(source, offset: 0, count: data.count)
                            }
                            if seen.contains(where: { $0 != 1 && $0 != 2 }) {
                                complaint("round \(round): bytes of the other file")
                            }
                        case 1:
                            _ = try worker.request { () throws(Errno) in
                                try worker.write(
                                    source, offset: 0, [UInt8](repeating: 2, count: data.count))
                            }
                        default:
                            _ = try worker.request { () throws(Errno) in
                                try worker.write(
                                    target, offset: 0, [UInt8](repeating: 3, count: data.count))
                            }
                        }
                    } catch { complaint("round \(round): \(error)") }
                }
            }
            let worker = store.worker(0)
            try worker.request { () throws(Errno) in
                try worker.unlink(.root, "a\(round)")
                try worker.unlink(.root, "b\(round)")
            }
        }
        #expect(complaint.first == nil)
        #expect(store.worker(0).check().problems == [])
        #expect(pagesThere(store) == 0)
    }

    /// An image has shared pages once, and each of its mounts writes them as its own.
    @Test(arguments: [false, true]) func images(sharing: Bool) throws {
        let store = try makeStore()
        let data = bytes(400_000, 4)
        let source = try make(store, "a", data)
        if sharing {
            for index in 0..<8 { _ = try copy(store, source, "b\(index)") }
        }
        // O_TMPFILE
        let file = unsafe open("/tmp", O_RDWR | 0x41_0000, 0o600)
        defer { close(file) }
        try store.writeImage(to: file)
        store.unmap()
        let header = try ImageHeader(reading: file)
        #expect(header.version == (sharing ? 4 : 3))
        #expect(header.pagesInUse == (sharing ? 9 : 1) * 98)
        #expect(header.imageBytes <= 10 << 20)
        let again = try InodeStore(
            image: file, pageLimit: 4096, inodeLimit: 1000, workerCount: 2)
        defer { again.unmap() }
        let worker = again.worker(0)
        #expect(worker.checkForServing().problems == [])
        #expect(worker.check().problems == [])
        guard sharing else { return }
        let nodes = try worker.request { () throws(Errno) in
            (try worker.node(at: "a"), try worker.node(at: "b3"), try worker.node(at: "b7"))
        }
        try worker.request { () throws(Errno) in
            _ = try worker.write(nodes.1, offset: 9000, [0, 0, 0])
            try worker.unlink(.root, "a")
        }
        #expect(try content(again, nodes.2) == data)
        var changed = data
        changed.replaceSubrange(9000..<9003, with: [0, 0, 0])
        #expect(try content(again, nodes.1) == changed)
        #expect(worker.check().problems == [])
    }

    /// A fork has the same pages as its origin, and neither sees what the other writes.
    @Test func forks() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let data = bytes(100_000, 4)
        let source = try make(store, "a", data)
        _ = try copy(store, source, "b")
        let snapshot = try store.snapshot(base: nil)
        let fork = try InodeStore(
            snapshot: snapshot, pageLimit: 4096, inodeLimit: 1000, workerCount: 2)
        defer { fork.unmap() }
        for (index, one) in [store, fork].enumerated() {
            let worker = one.worker(0)
            let node = try worker.request { () throws(Errno) in try worker.node(at: "b") }
            _ = try worker.request { () throws(Errno) in
                try worker.write(node, offset: 50_000, bytes(10_000, 50 + index))
            }
        }
        for (index, one) in [store, fork].enumerated() {
            let worker = one.worker(0)
            let (a, b) = try worker.request { () throws(Errno) in
                (try worker.node(at: "a"), try worker.node(at: "b"))
            }
            #expect(try content(one, a) == data)
            let new = bytes(10_000, 50 + index)
            #expect(try Array(content(one, b)[50_000..<60_000]) == new)
            #expect(worker.check().problems == [])
        }
    }

    /// Of a dead server's memory the counts are made anew.
    @Test func countsAreRepaired() throws {
        var small = try SurvivingStore(pages: 4000)
        let data = bytes(100_000, 4)
        let source = try make(small.store, "a", data)
        _ = try copy(small.store, source, "b")
        _ = try copy(small.store, source, "c")
        let region = small.store.arena.region
        // A copy that was under way had counted, and nothing more.
        for chunk in 0..<region.load(Superblock.freshChunk) where chunk > 0 {
            let table = small.store.arena.shareTable(chunk)
            if table != 0 { region.store32(table + 40, region.load32(table + 40) + 5) }
        }
        let (recovered, report) = try small.recovered()
        small = recovered
        defer { small.end() }
        #expect(report.problems == [])
        let worker = small.store.worker(0)
        #expect(worker.check().problems == [])
        for name in ["a", "b", "c"] {
            let node = try worker.request { () throws(Errno) in try worker.node(at: name) }
            #expect(try content(small.store, node) == data)
            try worker.request { () throws(Errno) in try worker.unlink(.root, name) }
        }
        #expect(worker.check().problems == [])
        #expect(pagesThere(small.store) == 0)
    }
}
