// Trees that are built where nobody sees them, linked in at one moment, and taken apart.

import InodeStore
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@Suite(.timeLimit(.minutes(2))) struct StagingTests {
    private func makeStore(pages: UInt64 = 20_000, inodes: UInt64 = 20_000) throws -> InodeStore {
        try InodeStore(
            pageLimit: pages, inodeLimit: inodes, workerCount: 2, shardCount: 2, owner: .root)
    }

    private func stage(_ store: InodeStore) throws -> (tree: NodeID, spare: NodeID) {
        let worker = store.worker(0)
        return try worker.request { () throws(Errno) in
            (try worker.makeStaging(like: .root), try worker.makeStaging(like: .root))
        }
    }

    private func attach(
        _ store: InodeStore, _ staged: (tree: NodeID, spare: NodeID), to target: NodeID = .root
    ) throws(Errno) -> StagingEffect {
        try store.attach(
            staged.tree, to: target, spare: staged.spare, ownAttributes: false, keepsOld: false,
            since: store.worker(0).rollbacks
        ) { _, _, body in _ = body() }
    }

    private func end(_ store: InodeStore, _ staged: (tree: NodeID, spare: NodeID)) {
        let worker = store.worker(0)
        for node in [staged.tree, staged.spare] {
            var path = [node]
            var told: [RemovedName] = []
            worker.enter()
            while !worker.takeApart(&path, atMost: 3, &told) {}
            worker.endStaging(node)
            worker.leave()
        }
    }

    /// Every name below a directory, with what a file holds.
    private func contents(_ store: InodeStore, _ node: NodeID, _ path: String = "") throws
        -> [String]
    {
        let worker = store.worker(0)
        let entries = try worker.request { () throws(Errno) in try worker.list(node) }
        return try entries.sorted { $0.name < $1.name }.flatMap { entry -> [String] in
            let here = "\(path)/\(entry.name)"
            let child = NodeID(rawValue: entry.node)
            let attributes = try worker.request { () throws(Errno) in try worker.attributes(child) }
            if attributes.isDirectory { return [here] + (try contents(store, child, here)) }
            let bytes = try worker.request { () throws(Errno) in
                try worker.read(child, offset: 0, count: Int(attributes.size))
            }
            return ["\(here) \(attributes.links) \(bytes)"]
        }
    }

    private func makeFile(_ store: InodeStore, _ parent: NodeID, _ name: String, _ byte: UInt8)
        throws
    {
        let worker = store.worker(0)
        try worker.request { () throws(Errno) in
            let file = try worker.makeFile(parent, name)
            _ = try worker.write(file, offset: 0, [byte])
            worker.forget(file, count: 1)
        }
    }

    @Test func whatIsStagedIsInNoCopy() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        try makeFile(store, .root, "kept", 1)
        let staged = try stage(store)
        let folder = try worker.request { () throws(Errno) in
            let folder = try worker.makeDirectory(in: staged.tree, Array("d".utf8))
            _ = try worker.makeDirectory(in: folder, Array("e".utf8))
            return folder
        }
        for index in 0..<50 { try makeFile(store, folder, "f\(index)", 2) }
        #expect(worker.check().problems == [])
        let before = try contents(store, .root)
        let snapshot = try store.snapshot(base: nil)
        let fork = try InodeStore(
            snapshot: snapshot, pageLimit: 20_000, inodeLimit: 20_000, workerCount: 2)
        defer { fork.unmap() }
        #expect(try contents(fork, .root) == before)
        let report = fork.worker(0).check()
        #expect(report.problems == [] && report.inodes == 2 && report.orphans == 0)
        _ = try attach(store, staged)
        end(store, staged)
        #expect(try contents(store, .root).count == 53)
        #expect(worker.check().problems == [] && worker.check().orphans == 0)
        // Back to when it was on its way: it is not there, and nobody goes on with it.
        _ = try store.rollBack(to: snapshot)
        #expect(try contents(store, .root) == before)
        let after = worker.check()
        #expect(after.problems == [] && after.inodes == 2 && after.orphans == 0)
    }

    /// Whatever name cannot be had, all is as it was.
    @Test(arguments: 0..<12) func linkingInIsWholeOrNotAtAll(chunks: Int) throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        let target = try worker.request { () throws(Errno) in
            try worker.makeDirectory(.root, "target")
        }
        // Long names, so that the memory of names is what is short.
        func name(_ index: Int) -> String {
            String(repeating: "n", count: 240) + "\(10000 + index)"
        }
        for index in stride(from: 0, to: 6000, by: 3) {
            try makeFile(store, target, name(index), 1)
        }
        let staged = try stage(store)
        for index in 0..<6000 { try makeFile(store, staged.tree, name(index), 2) }
        let before = try contents(store, target)
        store.arena.allow(
            inUseAtMost: store.arena.chunkBytesInUse + UInt64(chunks) * Geometry.chunkBytes / 4)
        let outcome = Result { () throws(Errno) in try attach(store, staged, to: target) }
        switch outcome {
        case .success(let effect):
            #expect(effect.names.count == 6000)
            #expect(try contents(store, target).count == 6000)
        case .failure(let error):
            #expect(error == .noSpace)
            #expect(try contents(store, target) == before)
        }
        #expect(worker.check().problems == [])
        end(store, staged)
        let report = worker.check()
        #expect(report.problems == [] && report.orphans == 0)
    }

    /// Who works in a tree that is taken apart may move something out of it.
    @Test func whatWasMovedOutStays() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        let staged = try stage(store)
        let (outer, inner) = try worker.request { () throws(Errno) in
            let outer = try worker.makeDirectory(in: staged.tree, Array("outer".utf8))
            return (outer, try worker.makeDirectory(in: outer, Array("inner".utf8)))
        }
        for index in 0..<20 { try makeFile(store, inner, "\(index)", 3) }
        var path = [staged.tree]
        var told: [RemovedName] = []
        try worker.request { () throws(Errno) in
            #expect(!worker.takeApart(&path, atMost: 5, &told))
            #expect(path == [staged.tree, outer, inner])
            try worker.move(outer, Array("inner".utf8), to: .root, as: Array("saved".utf8))
            #expect(worker.takeApart(&path, atMost: 100, &told))
            worker.endStaging(staged.tree)
            worker.endStaging(staged.spare)
        }
        #expect(told.isEmpty)
        #expect(try contents(store, .root).count == 16)
        let report = worker.check()
        #expect(report.problems == [] && report.orphans == 0)
    }
}
