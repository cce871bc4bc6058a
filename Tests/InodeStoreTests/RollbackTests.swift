// What a rollback says to the kernel.

import Glibc
import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@Suite struct RollbackTests {
    /// A file that was only read since has another access time, and its pages may stay.
    @Test func readingAndWritingAreToldApart() throws {
        let store = try InodeStore(
            pageLimit: 1000, inodeLimit: 100, workerCount: 1,
            owner: Caller(userID: 0, groupID: 0))
        defer { store.unmap() }
        let worker = store.worker(0)
        let names = ["read", "written", "small", "left"]
        let files = try names.map { name in
            try worker.request { () throws(Errno) in
                let file = try worker.makeFile(.root, name)
                let count = name == "small" ? 10 : 10_000
                _ = try worker.write(file, offset: 0, [UInt8](repeating: 1, count: count))
                return file
            }
        }
        let snapshot = try store.snapshot(base: nil)
        usleep(10_000)
        try worker.request { () throws(Errno) in
            _ = try worker.read(files[0], offset: 0, count: 10)
            _ = try worker.write(files[1], offset: 5000, [2])
            _ = try worker.write(files[2], offset: 3, [2])
        }
        let effect = store.rollBack(to: snapshot)
        #expect(effect.touchedNodes == [files[0].rawValue])
        let changed = [files[1].rawValue, files[2].rawValue].sorted()
        #expect(effect.changedNodes.sorted() == changed)
        try worker.request { () throws(Errno) in
            #expect(try worker.read(files[1], offset: 5000, count: 1) == [1])
            #expect(try worker.read(files[2], offset: 3, count: 1) == [1])
        }
        // Now those two were only read.
        let again = store.rollBack(to: snapshot)
        #expect(again.changedNodes.isEmpty && again.touchedNodes.sorted() == changed)
        let last = store.rollBack(to: snapshot)
        #expect(last.changedNodes.isEmpty && last.touchedNodes.isEmpty)
    }
}
