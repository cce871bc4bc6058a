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
        let effect = try store.rollBack(to: snapshot)
        #expect(effect.touchedNodes == [files[0].rawValue])
        let changed = [files[1].rawValue, files[2].rawValue].sorted()
        #expect(effect.changedNodes.sorted() == changed)
        try worker.request { () throws(Errno) in
            #expect(try worker.read(files[1], offset: 5000, count: 1) == [1])
            #expect(try worker.read(files[2], offset: 3, count: 1) == [1])
        }
        // Now those two were only read.
        let again = try store.rollBack(to: snapshot)
        #expect(again.changedNodes.isEmpty && again.touchedNodes.sorted() == changed)
        let last = try store.rollBack(to: snapshot)
        #expect(last.changedNodes.isEmpty && last.touchedNodes.isEmpty)
    }

    /// Of many names in a directory those are told that lead elsewhere, and no others: removed and
    /// made, renamed over each other and exchanged, and not those that are as they were again.
    @Test func changedNamesAreTold() throws {
        let store = try InodeStore(
            pageLimit: 100_000, inodeLimit: 20_000, workerCount: 1,
            owner: Caller(userID: 0, groupID: 0))
        defer { store.unmap() }
        let worker = store.worker(0)
        let folder = try worker.request { () throws(Errno) in
            try worker.makeDirectory(.root, "folder")
        }
        for number in 0..<5000 {
            _ = try worker.request { () throws(Errno) in
                try worker.makeFile(folder, "file \(number)")
            }
        }
        let empty = try store.snapshot(base: nil)
        // In the base some, in a later snapshot's pages others.
        for number in 5000..<5100 {
            _ = try worker.request { () throws(Errno) in
                try worker.makeFile(folder, "file \(number)")
            }
        }
        let full = try store.snapshot(base: empty.base)
        try worker.request { () throws(Errno) in
            try worker.unlink(folder, "file 7")
            try worker.unlink(folder, "file 5050")
            _ = try worker.makeFile(folder, "new")
            try worker.rename(folder, "file 600", folder, "file 4000", flags: 0, caller: .root)
            try worker.rename(folder, "file 1", folder, "file 4999", flags: 2, caller: .root)
            try worker.rename(folder, "file 2", folder, "away", flags: 0, caller: .root)
            try worker.rename(folder, "away", folder, "file 2", flags: 0, caller: .root)
            try worker.rename(folder, "file 3", .root, "away", flags: 0, caller: .root)
            try worker.rename(.root, "away", folder, "file 3", flags: 0, caller: .root)
        }
        #expect(
            try told(store.rollBack(to: full)) == [
                "file 1", "file 4000", "file 4999", "file 5050", "file 600", "file 7", "new",
            ])
        #expect(try told(store.rollBack(to: full)).isEmpty)
        #expect(try told(store.rollBack(to: empty)) == (5000..<5100).map { "file \($0)" }.sorted())
        // Nobody can have cached what the kernel does not refer to, but that there is nothing.
        #expect(try told(store.rollBack(to: full)) == (5000..<5100).map { "file \($0)" }.sorted())
        #expect(try told(store.rollBack(to: empty)).isEmpty)
    }

    private func told(_ effect: RollbackEffect) -> [String] {
        effect.changedNames.map { String(decoding: $0.name, as: UTF8.self) }.sorted()
    }
}
