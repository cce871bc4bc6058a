// The count of what chattr(1) has made immutable or append-only is right whatever becomes of the inodes.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@testable import InodeStore
@testable import MayflyArena

#if canImport(Glibc)
import Glibc
#endif

@Suite struct FixedInodesTests {
    private func makeStore() throws -> InodeStore {
        try InodeStore(
            pageLimit: 4096, inodeLimit: 1000, workerCount: 2, shardCount: 4, owner: .root)
    }

    private func count(_ store: InodeStore) -> UInt64 {
        store.arena.region.load(StoreSuperblock.fixedInodes) - 1
    }

    private func make(_ store: InodeStore, _ name: String, flags: UInt32) throws {
        let worker = store.worker(0)
        try worker.request { () throws(Errno) in
            let node = try worker.makeFile(.root, name)
            try worker.setFlags(node, flags)
            worker.forget(node, count: 1)
        }
    }

    private func set(_ store: InodeStore, _ name: String, _ flags: UInt32) throws {
        let worker = store.worker(0)
        try worker.request { () throws(Errno) in
            try worker.setFlags(try worker.node(at: name), flags)
        }
    }

    @Test func eachInodeCountsOnce() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        #expect(!worker.mayHoldFixed)
        try make(store, "a", flags: InodeFlags.immutable)
        try make(store, "b", flags: InodeFlags.append | InodeFlags.immutable)
        try make(store, "c", flags: InodeFlags.noDump)
        #expect(count(store) == 2 && worker.mayHoldFixed)
        try set(store, "b", InodeFlags.append)
        try set(store, "b", InodeFlags.append)
        #expect(count(store) == 2)
        try set(store, "b", InodeFlags.noDump)
        #expect(count(store) == 1)
        #expect(worker.check().problems == [])
        // An open file without a name, and its end.
        let open = try worker.request { () throws(Errno) in
            try worker.makeTemporary(.root, mode: 0o600, isLinkable: true, caller: .root).nodeID
        }
        try worker.request { () throws(Errno) in
            try worker.setFlags(NodeID(rawValue: open), InodeFlags.immutable)
        }
        #expect(count(store) == 2)
        #expect(worker.check().problems == [])
        worker.enter()
        worker.forget(NodeID(rawValue: open), count: 1)
        worker.leave()
        #expect(count(store) == 1)
        try set(store, "a", 0)
        #expect(!worker.mayHoldFixed)
        #expect(worker.check().problems == [])
    }

    @Test func snapshotsForksAndRollbackHaveTheirOwn() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        try make(store, "a", flags: InodeFlags.immutable)
        // The fork leaves out what is open and has no name.
        let open = try worker.request { () throws(Errno) in
            try worker.makeTemporary(.root, mode: 0o600, isLinkable: true, caller: .root).nodeID
        }
        try worker.request { () throws(Errno) in
            try worker.setFlags(NodeID(rawValue: open), InodeFlags.append)
        }
        let snapshot = try store.snapshot(base: nil)
        #expect(count(store) == 2)
        let fork = try InodeStore(
            snapshot: snapshot, pageLimit: 4096, inodeLimit: 1000, workerCount: 2)
        defer { fork.unmap() }
        #expect(count(fork) == 1)
        #expect(fork.worker(0).check().problems == [])
        try set(fork, "a", 0)
        #expect(!fork.worker(0).mayHoldFixed && count(store) == 2)
        try set(store, "a", 0)
        for index in 0..<5 { try make(store, "f\(index)", flags: InodeFlags.append) }
        #expect(count(store) == 6)
        try store.rollBack(to: snapshot)
        // What was open then is open again.
        #expect(worker.check().problems == [])
        #expect(count(store) == 2)
        worker.enter()
        worker.forget(NodeID(rawValue: open), count: 1)
        worker.leave()
        #expect(worker.check().problems == [])
        #expect(count(store) == 1)
    }

    @Test func imagesAndRepairedStoresHaveIt() throws {
        let small = try SurvivingStore()
        try make(small.store, "a", flags: InodeFlags.immutable)
        try make(small.store, "b", flags: 0)
        small.store.arena.region.store(StoreSuperblock.fixedInodes, 77)
        let (recovered, report) = try small.recovered()
        #expect(report.problems == [] && count(recovered.store) == 1)
        #expect(recovered.store.worker(0).check().problems == [])
        // O_TMPFILE
        let file = unsafe open("/tmp", O_RDWR | 0x41_0000, 0o600)
        defer { close(file) }
        try recovered.store.writeImage(to: file)
        recovered.end()
        let image = try InodeStore(
            image: file, pageLimit: 4096, inodeLimit: 1000, workerCount: 2)
        defer { image.unmap() }
        #expect(count(image) == 1)
        #expect(image.worker(0).check().problems == [])
    }

    /// An image of an older version does not say it: then each file is looked at.
    @Test func whereNobodyHasCountedThereMayBeSome() throws {
        let store = try makeStore()
        defer { store.unmap() }
        store.arena.region.store(StoreSuperblock.fixedInodes, 0)
        #expect(store.worker(0).mayHoldFixed)
        try make(store, "a", flags: InodeFlags.immutable)
        try set(store, "a", 0)
        #expect(store.arena.region.load(StoreSuperblock.fixedInodes) == 0)
        #expect(store.worker(0).check().problems == [])
    }

    @Test func aWrongCountIsFound() throws {
        let store = try makeStore()
        defer { store.unmap() }
        store.arena.region.store(StoreSuperblock.fixedInodes, 3)
        #expect(store.worker(0).check().problems.contains { $0.contains("chattr(1)") })
        store.arena.region.store(StoreSuperblock.fixedInodes, 1)
    }
}
