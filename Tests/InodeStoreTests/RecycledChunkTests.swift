// Chunks of inodes that a fork or a rolled back store gives back: what is behind them is the base again, in
// which inodes lie that have ended since.

import InodeStore
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

@Suite(.timeLimit(.minutes(1))) struct RecycledChunkTests {
    static let bytes = [UInt8](repeating: 7, count: 20_000)

    /// A store whose second shard has one chunk of inodes, and that has only files `names`.
    ///
    /// Everything else is the first shard's, so that no other chunk of the second becomes empty.
    private func makeStore(_ names: [String]) throws -> (InodeStore, [NodeID]) {
        let store = try InodeStore(
            pageLimit: 2000, inodeLimit: 100, workerCount: 2, shardCount: 2, owner: .root)
        let first = store.worker(0)
        let second = store.worker(1)
        let kept = try first.request { () throws(Errno) in
            let file = try first.makeFile(.root, "kept")
            _ = try first.write(file, offset: 0, Self.bytes)
            return file
        }
        _ = try second.request { () throws(Errno) in try second.link(kept, .root, "link") }
        let files = try names.map { name in
            let file = try second.request { () throws(Errno) in
                try second.makeFile(.root, name)
            }
            try first.request { () throws(Errno) in
                _ = try first.write(file, offset: 0, Self.bytes)
            }
            return file
        }
        return (store, files)
    }

    private func open(_ snapshot: StoreSnapshot) throws -> InodeStore {
        try InodeStore(snapshot: snapshot, pageLimit: 2000, inodeLimit: 100, workerCount: 2)
    }

    /// A store whose "removed" is an orphan, its first snapshot, and a fork that begins as that.
    private func makeFork(
        _ names: [String]
    ) throws -> (store: InodeStore, first: StoreSnapshot, fork: InodeStore) {
        let (store, _) = try makeStore(names)
        try store.worker(0).request { () throws(Errno) in
            try store.worker(0).unlink(.root, "removed")
        }
        let first = try store.snapshot(base: nil)
        return (store, first, try open(first))
    }

    private func remove(_ store: InodeStore, _ name: String) throws {
        let worker = store.worker(0)
        try worker.request { () throws(Errno) in
            guard let found = try worker.lookup(.root, name) else { throw .noSuchFileOrDirectory }
            try worker.unlink(.root, name)
            worker.forget(NodeID(rawValue: found.nodeID), count: 1)
        }
    }

    /// Lets the store give back the one chunk that is empty by now.
    private func trim(_ store: InodeStore) {
        let before = store.arena.chunkBytesInUse
        for _ in 0..<8 { for index in 0..<2 { store.worker(index).maintain(trims: true) } }
        #expect(store.arena.chunkBytesInUse + Geometry.chunkBytes == before)
    }

    private func expectSound(_ store: InodeStore, pages: UInt64, _ what: String) {
        for _ in 0..<8 { for index in 0..<2 { store.worker(index).maintain(trims: false) } }
        let worker = store.worker(0)
        let report = worker.check()
        #expect(report.problems == [], "\(what)")
        #expect(report.orphans == 0, "\(what)")
        #expect(store.arena.pages.limit - store.arena.pages.free == pages, "\(what)")
    }

    /// What a fork has ended is not ended again in a fork of it.
    @Test func anOrphanOfTheBaseEndsOnce() throws {
        let (store, first, fork) = try makeFork(["removed"])
        defer {
            fork.unmap()
            store.unmap()
        }
        trim(fork)
        let next = try open(fork.snapshot(base: first.base))
        defer { next.unmap() }
        expectSound(next, pages: 5, "the fork of the fork")
        expectSound(fork, pages: 5, "the fork")
    }

    /// Nor is it where its chunk has content of files now, whatever that says.
    @Test func contentIsNoInode() throws {
        let (store, first, fork) = try makeFork(["removed"])
        defer {
            fork.unmap()
            store.unmap()
        }
        trim(fork)
        // Whatever word of a slot is its type: links of 0 are among these.
        var content = [UInt8](repeating: 0, count: 511 * 4096)
        for slot in stride(from: 0, to: content.count, by: 256) { content[slot + 1] = 0x80 }
        let file = try fork.worker(0).request { () throws(Errno) in
            let file = try fork.worker(0).makeFile(.root, "content")
            _ = try fork.worker(0).write(file, offset: UInt64(content.count), [1])
            return file
        }
        // The first pages that this shard takes, and nothing but content among them.
        try fork.worker(1).request { () throws(Errno) in
            _ = try fork.worker(1).write(file, offset: 0, content)
        }
        let next = try open(fork.snapshot(base: first.base))
        defer { next.unmap() }
        expectSound(next, pages: 517, "the fork of the fork")
        let read = try next.worker(0).request { () throws(Errno) in
            try next.worker(0).read(file, offset: 0, count: content.count)
        }
        #expect(read == content)
    }

    /// A slot of a chunk that is taken again is no inode before it is one.
    @Test func aChunkOfInodesIsTakenAgain() throws {
        let (store, first, fork) = try makeFork(["plain", "removed"])
        defer {
            fork.unmap()
            store.unmap()
        }
        try remove(fork, "plain")
        trim(fork)
        // It takes the slot of the first; the other's lies beside it.
        _ = try fork.worker(1).request { () throws(Errno) in
            try fork.worker(1).makeFile(.root, "new")
        }
        let next = try open(fork.snapshot(base: first.base))
        defer { next.unmap() }
        expectSound(next, pages: 5, "the fork of the fork")
    }

    /// What goes by a rollback with a chunk is told, and its nodeid names nothing that comes later.
    @Test func aRollbackTakesAChunkAway() throws {
        let (store, files) = try makeStore(["one"])
        defer { store.unmap() }
        let start = try store.snapshot(base: nil)
        try remove(store, "one")
        try store.worker(0).request { () throws(Errno) in
            store.worker(0).forget(files[0], count: 1)
        }
        trim(store)
        let empty = try store.snapshot(base: start.base)
        try store.rollBack(to: start)
        let worker = store.worker(1)
        let back = try worker.request { () throws(Errno) in
            try worker.lookup(.root, "one")?.nodeID
        }
        let old = try #require(back)
        let effect = try store.rollBack(to: empty)
        #expect(effect.changedNodes.contains(old))
        let new = try worker.request { () throws(Errno) in try worker.makeFile(.root, "new") }
        #expect(new.rawValue != old && (new.rawValue ^ old) & (1 << 40 - 1) == 0, "another slot")
        worker.enter()
        worker.forget(NodeID(rawValue: old), count: 1)
        #expect(throws: Errno.staleNFSFileHandle) {
            try worker.read(NodeID(rawValue: old), offset: 0, count: 1)
        }
        worker.leave()
        expectSound(store, pages: 5, "the store")
    }

    /// What a rollback brings back with a chunk can be found and used, also where another inode has been
    /// in the chunk meanwhile.
    @Test(arguments: [false, true])
    func aRollbackBringsAChunkBack(isTaken: Bool) throws {
        let names = ["one", "two", "three"]
        let (store, files) = try makeStore(names)
        defer { store.unmap() }
        let snapshot = try store.snapshot(base: nil)
        for (name, file) in zip(names, files) {
            try remove(store, name)
            try store.worker(0).request { () throws(Errno) in
                store.worker(0).forget(file, count: 1)
            }
        }
        trim(store)
        if isTaken {
            _ = try store.worker(1).request { () throws(Errno) in
                try store.worker(1).makeFile(.root, "new")
            }
        }
        try store.rollBack(to: snapshot)
        let worker = store.worker(0)
        for name in names {
            let content = try worker.request { () throws(Errno) -> [UInt8]? in
                guard let found = try worker.lookup(.root, name) else { return nil }
                let node = NodeID(rawValue: found.nodeID)
                defer { worker.forget(node, count: 1) }
                return try worker.read(node, offset: 0, count: Self.bytes.count)
            }
            #expect(content == Self.bytes, "\(name)")
        }
        expectSound(store, pages: 20, "the store")
    }
}
