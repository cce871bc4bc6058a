import CFuseKernel
import FuseTransport
import Glibc
import InodeStore
import MayflyMeasure
import MayflyTestSupport
import Testing

@testable import Mayfly

/// Requests that no kernel would send: an errno is the worst that comes of them.
struct HostileRequestTests {
    /// `MayflyFuzz requests` makes more of them, and guided by coverage.
    @Test func anythingIsAnsweredAndBreaksNothing() {
        var requests = 0
        for seed in 1...400 as ClosedRange<UInt64> {
            var fuzz = RequestFuzz(RequestFuzz.input(seed: seed))
            #expect(fuzz.run() == [], "seed \(seed)")
            requests += fuzz.count
        }
        #expect(requests > 4000)
    }

    @Test(arguments: [
        (Opcode.mknod, 0x7a61_81a4 as UInt32, "a", EINVAL),
        (.mknod, 0o040755, "a", EINVAL), (.mknod, 0o120777, "a", EINVAL),
        (.mknod, 0o100644, "a/b", EINVAL), (.mkdir, 0o755, "/", EINVAL),
        (.mknod, 0o100644, "..", EEXIST), (.mknod, 0o100644, "a", 0), (.mkdir, 0o7755, "a", 0),
    ])
    func whatIsMadeMustBePossible(
        _ opcode: Opcode, _ mode: UInt32, _ name: String, _ error: Int32
    ) throws {
        let store = try InodeStore(
            pageLimit: 16, inodeLimit: 16, workerCount: 1, owner: Caller(userID: 0, groupID: 0))
        let queue = DetachedQueue(store.worker(0))
        var header = cfk_in_header()
        header.opcode = opcode.rawValue
        header.nodeid = 1
        header.len = UInt32(40 + opcode.argumentBytes + name.utf8.count + 1)
        unsafe queue.argument.storeBytes(of: mode, as: UInt32.self)
        unsafe queue.payload.copyBytes(from: Array(name.utf8) + [0])
        #expect(queue.answer(header, payloadBytes: UInt32(name.utf8.count + 1)).error == error)
        #expect(store.worker(0).check().problems == [])
        queue.deallocate()
        store.unmap()
    }
}
