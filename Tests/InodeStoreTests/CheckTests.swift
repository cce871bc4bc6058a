// The consistency check: silent about a sound store, and not about a word that was changed.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@testable import InodeStore
@testable import MayflyArena

/// A small store with one of everything.
struct SampleStore {
    let store: InodeStore
    let worker: StoreWorker
    let directory: NodeID
    let file: NodeID
    let large: NodeID
    let link: NodeID
    let temporary: NodeID

    init(workers: Int = 2) throws {
        store = try InodeStore(
            pageLimit: 4096, inodeLimit: 1000, workerCount: workers, shardCount: 4,
            owner: .root)
        let worker = store.worker(0)
        self.worker = worker
        worker.enter()
        defer { worker.leave() }
        directory = try worker.makeDirectory(.root, "directory")
        file = try worker.makeFile(directory, "file")
        _ = try worker.write(file, offset: 0, [UInt8](repeating: 7, count: 300))
        large = try worker.makeFile(directory, "large")
        _ = try worker.write(large, offset: 8000, [UInt8](repeating: 8, count: 9000))
        _ = try worker.write(large, offset: 1 << 40, [UInt8](repeating: 9, count: 100))
        link = NodeID(
            rawValue: try worker.makeSymlink(
                .root, "link", target: [UInt8](repeating: 0x61, count: 500)
            ).nodeID)
        temporary = NodeID(
            rawValue: try worker.makeTemporary(
                .root, mode: 0o600, isLinkable: true, caller: .root
            ).nodeID)
        try worker.setXattr(file, "user.a", [1, 2, 3])
        try worker.setXattr(file, "user.b", [UInt8](repeating: 4, count: 3000))
        for index in 0..<40 { _ = try worker.makeFile(.root, "entry\(index)") }
        _ = try worker.link(file, .root, "second")
    }

    /// Offset of an inode in the region.
    func inode(_ node: NodeID) throws -> InodeOffset { try worker.inode(node) }
}

@Suite struct CheckTests {
    @Test func soundStore() throws {
        let sample = try SampleStore()
        let report = sample.worker.check()
        #expect(report.problems == [])
        #expect(report.directories == 2)
        #expect(report.orphans == 1)
        #expect(report.inodes == 46)
        #expect(report.dentries == 45)
        #expect(report.pages == 1 + 4 + 1)
        #expect(report.blobs == 2)
        #expect(report.xattrs == 2)
        sample.store.unmap()
    }
}
