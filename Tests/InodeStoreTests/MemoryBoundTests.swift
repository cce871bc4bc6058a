// The most that a store takes, whatever is done to it.

import InodeStore
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@Suite struct MemoryBoundTests {
    static let pages: UInt64 = 8192

    private func store() throws -> InodeStore {
        let store = try InodeStore(
            pageLimit: Self.pages, inodeLimit: 2000, workerCount: 2, shardCount: 2, owner: .root)
        store.keepWithinMaximum()
        return store
    }

    /// Everything is removed, and a file of all pages fits afterwards.
    private func expectUsable(_ store: InodeStore, without files: [(String, NodeID)]) throws {
        let worker = store.worker(0)
        for (name, node) in files {
            try worker.request { () throws(Errno) in
                try worker.unlink(.root, name)
                worker.forget(node, count: 1)
            }
        }
        for _ in 0..<8 { for index in 0..<2 { store.worker(index).maintain(trims: true) } }
        store.keepWithinMaximum()
        let whole = try worker.request { () throws(Errno) in
            let file = try worker.makeFile(.root, "whole")
            try worker.allocate(file, offset: 0, length: Self.pages * 4096, mode: 0)
            return file
        }
        #expect(store.arena.chunkBytesInUse <= store.maximumBytes)
        try worker.request { () throws(Errno) in
            try worker.unlink(.root, "whole")
            worker.forget(whole, count: 1)
        }
        #expect(worker.check().problems == [])
    }

    /// Pages so far from each other that each needs nodes of its own, which nobody is charged for.
    @Test func nodesOfSparseFiles() throws {
        let store = try store()
        defer { store.unmap() }
        let worker = store.worker(0)
        var files: [(String, NodeID)] = []
        var refused: Errno?
        var written = 0
        while refused == nil {
            let name = "sparse\(files.count)"
            let file = try worker.request { () throws(Errno) in try worker.makeFile(.root, name) }
            files.append((name, file))
            do throws(Errno) {
                for shift in UInt64(22)..<62 {
                    try worker.request { () throws(Errno) in
                        _ = try worker.write(file, offset: 1 << shift, [1])
                    }
                    written += 1
                }
            } catch {
                refused = error
            }
        }
        #expect(refused == .noSpace)
        #expect(UInt64(written) < Self.pages, "nodes came before the pages' limit")
        #expect(store.arena.chunkBytesInUse <= store.maximumBytes)
        try expectUsable(store, without: files)
    }

    /// Two workers, each of which leaves a page in every chunk that it had: what is left of the
    /// first's is found by the second, so that all pages can be had.
    @Test func fragmentsOfOtherWorkers() throws {
        let store = try store()
        defer { store.unmap() }
        var files: [(String, NodeID)] = []
        for round in 0..<6 {
            let worker = store.worker(round % 2)
            var made: [(String, NodeID)] = []
            for index in 0..<100 {
                let name = "\(round)-\(index)"
                let file = try worker.request { () throws(Errno) in
                    let file = try worker.makeFile(.root, name)
                    try worker.allocate(file, offset: 0, length: 70 * 4096, mode: 0)
                    return file
                }
                made.append((name, file))
            }
            #expect(store.arena.chunkBytesInUse <= store.maximumBytes)
            // All but the first pages of every seventh.
            for (index, (name, file)) in made.enumerated() {
                try worker.request { () throws(Errno) in
                    if index % 7 == 0 { return try worker.truncate(file, to: 8192) }
                    try worker.unlink(.root, name)
                    worker.forget(file, count: 1)
                }
                if index % 7 == 0 { files.append((name, file)) }
            }
            for _ in 0..<8 { worker.maintain(trims: true) }
            store.keepWithinMaximum()
        }
        try expectUsable(store, without: files)
    }
}
