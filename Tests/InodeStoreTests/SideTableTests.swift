// What belongs to inodes outside of the arena: it goes back to the system with them.

import Glibc
import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@Suite struct SideTableTests {
    private func makeStore() throws -> InodeStore {
        try InodeStore(
            pageLimit: 1000, inodeLimit: 100_000, workerCount: 1,
            owner: Caller(userID: 0, groupID: 0))
    }

    /// Makes so many files and removes them all, as the kernel would; then gives back what is empty.
    private func comeAndGo(_ worker: StoreWorker, count: Int) throws -> [NodeID] {
        var nodes: [NodeID] = []
        for index in 0..<count {
            try worker.request { () throws(Errno) in
                nodes.append(try worker.makeFile(.root, "\(index)"))
            }
        }
        for index in 0..<count {
            try worker.request { () throws(Errno) in
                try worker.unlink(.root, "\(index)")
                worker.forget(nodes[index], count: 1)
            }
        }
        for _ in 0..<4 { worker.maintain(trims: true) }
        return nodes
    }

    @Test func itIsGivenBackWithTheInodes() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let fresh = store.memory
        _ = try comeAndGo(store.worker(0), count: 50_000)
        let after = store.memory
        // 50,000 inodes have 1.6 MB of it, and some pages of marks stay.
        #expect(after.tableBytes < fresh.tableBytes + 512 << 10)
        // A chunk of each kind is kept at most.
        #expect(after.arenaBytes < fresh.arenaBytes + 8 << 20)
    }

    /// The kernel may still name an inode that a rollback took away. Whatever comes into its slot
    /// later has another number, also when the words of the slot were given back in between.
    @Test func aNumberThatTheKernelHasIsNotGivenAgain() throws {
        let store = try makeStore()
        defer { store.unmap() }
        let worker = store.worker(0)
        let snapshot = try store.snapshot(base: nil)
        // More than fill the first chunk of inodes, so that a later one is empty after the rollback.
        var held: [NodeID] = []
        for index in 0..<20_000 {
            try worker.request { () throws(Errno) in
                held.append(try worker.makeFile(.root, "\(index)"))
            }
        }
        _ = try store.rollBack(to: snapshot)
        let known = Set(held.map(\.rawValue))
        for _ in 0..<3 {
            let made = try comeAndGo(worker, count: 20_000)
            #expect(known.isDisjoint(with: made.map(\.rawValue)))
            for node in held.prefix(10) + held.suffix(10) {
                let error = #expect(throws: Errno.self) {
                    try worker.request { () throws(Errno) in
                        _ = try worker.read(node, offset: 0, count: 1)
                    }
                }
                #expect(error == .staleNFSFileHandle)
            }
        }
    }
}
