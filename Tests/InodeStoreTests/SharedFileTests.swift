// Many threads on the content of one file.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// Tests whose threads read and write the same bytes need the suppressions under the sanitizer.
let mayTear: Bool = {
    guard isThreadSanitized else { return true }
    guard let options = unsafe getenv("TSAN_OPTIONS") else { return false }
    return unsafe String(cString: options).contains("suppressions")
}()

@Suite(.serialized) struct SharedFileTests {
    /// Each thread has stripes of its own: what it wrote is there, whatever happens beside it.
    @Test func stripes() throws {
        let store = try manyShards(pages: 2000)
        let main = store.worker(0)
        let file = try main.request { () throws(Errno) in try main.makeFile(.root, "file") }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            let worker = store.worker(index * 3)
            var random = SeededGenerator(seed: UInt64(index))
            var mine: [UInt64: [UInt8]] = [:]
            for round in 0..<operations(300) {
                let offset = UInt64(random.below(40) * threadCount + index) << 13
                worker.enter()
                switch random.below(4) {
                case 0, 1:
                    let bytes = [UInt8](
                        repeating: UInt8(1 + (round + index) % 255),
                        count: 1 + random.below(8192))
                    let old = mine[offset] ?? []
                    if let done = try? worker.write(file, offset: offset, bytes) {
                        mine[offset] =
                            [UInt8](bytes.prefix(Int(done))) + old.dropFirst(Int(done))
                    }
                case 2:
                    if (try? worker.allocate(file, offset: offset, length: 8192, mode: 3)) != nil {
                        mine[offset] = []
                    }
                default:
                    let expected = mine[offset] ?? []
                    let found = try? worker.read(file, offset: offset, count: expected.count)
                    if let found, found != expected { complaint("thread \(index) at \(offset)") }
                }
                worker.leave()
            }
            for (offset, expected) in mine {
                worker.enter()
                let found = try? worker.read(file, offset: offset, count: expected.count)
                worker.leave()
                if found != expected { complaint("at the end: thread \(index) at \(offset)") }
            }
        }
        #expect(complaint.first == nil)
        #expect(main.check().problems == [])
        store.unmap()
    }

    /// Reads beside truncation and writing may be torn, but never show another file's bytes.
    @Test(.enabled(if: mayTear, "content is torn by design: run with the suppressions"))
    func foreignBytesAreNeverSeen() throws {
        let store = try manyShards(pages: 600)
        let main = store.worker(0)
        let file = try main.request { () throws(Errno) in try main.makeFile(.root, "file") }
        let complaint = Complaint()
        withThreads(threadCount) { index in
            let worker = store.worker(index * 4)
            var random = SeededGenerator(seed: UInt64(index))
            for _ in 0..<operations(400) {
                worker.enter()
                let offset = random.oneIn(2) ? 0 : UInt64(random.below(200_000))
                let count = 1 + random.below(random.oneIn(2) ? 2000 : 20_000)
                switch index % 4 {
                case 0:
                    _ = try? worker.write(
                        file, offset: offset, [UInt8](repeating: 1, count: count))
                case 1: try? worker.truncate(file, to: offset)
                case 2:
                    // Takes the pages and blobs that the shared file gives back.
                    let bytes = [UInt8](repeating: 0xFF, count: count)
                    if let other = try? worker.makeFile(.root, "other\(index)") {
                        _ = try? worker.write(other, offset: 0, bytes)
                        try? worker.unlink(.root, "other\(index)")
                        worker.forget(other, count: 1)
                    }
                default:
                    let bytes = try? worker.read(file, offset: offset, count: count)
                    if let bytes, !bytes.allSatisfy({ $0 <= 1 }) {
                        complaint("a byte of another file at \(offset)")
                    }
                }
                worker.leave()
            }
        }
        #expect(complaint.first == nil)
        #expect(main.check().problems == [])
        store.unmap()
    }

    /// At the edge of the quota: what is written is charged, and the sum is exact.
    @Test func fullStore() throws {
        let store = try manyShards(pages: 300)
        let main = store.worker(0)
        withThreads(threadCount) { index in
            let worker = store.worker(index)
            for round in 0..<operations(150) {
                worker.enter()
                if let file = try? worker.makeFile(.root, "f\(index).\(round % 5)") {
                    _ = try? worker.write(
                        file, offset: UInt64(round) << 20, [UInt8](repeating: 1, count: 90_000))
                    worker.forget(file, count: 1)
                } else {
                    try? worker.unlink(.root, "f\(index).\(round % 5)")
                }
                worker.leave()
            }
        }
        #expect(main.check().problems == [])
        // The last page can be had.
        try main.request { () throws(Errno) in
            let free = main.statistics.pagesFree
            let file = try main.makeFile(.root, "last")
            try main.allocate(file, offset: 0, length: free << 12, mode: 0)
        }
        #expect(main.statistics.pagesFree == 0)
        #expect(main.check().problems == [])
        store.unmap()
    }
}
