// One copy lies between a file's page and the reader's: counted, not believed.

import Glibc
import Testing

@testable import Mayfly

@Suite(
    .serialized, .timeLimit(.minutes(5)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct CopyCountTests {
    /// What `script` read and wrote by requests, and what was copied for it.
    private func traffic(
        _ mount: InProcessMount, _ script: String
    ) throws -> ContentTraffic {
        let before = mount.fileSystem.traffic()
        try mount.python(script)
        let after = mount.fileSystem.traffic()
        return ContentTraffic(
            read: after.read - before.read, written: after.written - before.written,
            copied: after.copied - before.copied, zeroed: after.zeroed - before.zeroed)
    }

    /// Offsets and lengths: single pages, whole payloads, many of them, and nothing that fits.
    static let pieces: [(name: String, offset: Int, length: Int, count: Int)] = [
        ("4 KiB", 0, 4096, 256), ("1 MiB", 0, 1 << 20, 32), ("16 MiB", 0, 16 << 20, 2),
        ("unaligned", 12345, 100_003, 40), ("inside a page", 100, 3000, 1),
    ]

    @Test(arguments: TestTransport.allCases, pieces)
    func everyByteIsCopiedOnce(
        _ transport: TestTransport,
        _ piece: (name: String, offset: Int, length: Int, count: Int)
    ) throws {
        try InProcessMount.with(transport) { mount in
            let total = UInt64(piece.length * piece.count)
            let head = """
                offset, length, count = \(piece.offset), \(piece.length), \(piece.count)
                block = mmap.mmap(-1, length)
                block.write(os.urandom(length))
                fd = os.open('file', os.O_CREAT | os.O_RDWR | os.O_DIRECT)

                """
            let write =
                head + """
                    for i in range(count):
                        assert os.pwrite(fd, block, offset + i * length) == length
                    """
            // The first time into fresh pages, the second over written ones.
            for _ in 0..<2 {
                let written = try traffic(mount, write)
                #expect(
                    written == ContentTraffic(read: 0, written: total, copied: total, zeroed: 0))
            }
            let read = try traffic(
                mount,
                head + """
                    for i in range(count):
                        assert os.preadv(fd, [block], offset + i * length) == length
                    """)
            #expect(read == ContentTraffic(read: total, written: 0, copied: total, zeroed: 0))
        }
    }

    /// Through the page cache the kernel chooses the requests; each byte of them is moved once.
    @Test(arguments: TestTransport.allCases)
    func buffered(_ transport: TestTransport) throws {
        try InProcessMount.with(transport) { mount in
            let written = try traffic(
                mount,
                """
                with open('file', 'wb', buffering=0) as f:
                    for i in range(500): f.write(b'x' * 7777)
                """)
            #expect(written.written == 500 * 7777)
            // Bytes of a first, small piece are moved when the file outgrows it: not here.
            #expect(written.copied == written.written + written.read)
            try mount.forgetCaches()
            let read = try traffic(
                mount,
                """
                with open('file', 'rb') as f: assert len(f.read()) == 500 * 7777
                """)
            #expect(read.read == 500 * 7777)
            #expect(read.copied == read.read && read.zeroed == 0)
        }
    }

    /// A hole costs no copy: it is given out as zeros.
    @Test(arguments: TestTransport.allCases)
    func sparse(_ transport: TestTransport) throws {
        try InProcessMount.with(transport) { mount in
            let mebibyte: UInt64 = 1 << 20
            let head = """
                fd = os.open('file', os.O_CREAT | os.O_RDWR | os.O_DIRECT)
                block = mmap.mmap(-1, 1 << 20)

                """
            let written = try traffic(
                mount,
                head + "for i in (1, 5, 9): assert os.pwrite(fd, block, i << 20) == 1 << 20")
            #expect(
                written
                    == ContentTraffic(
                        read: 0, written: 3 * mebibyte, copied: 3 * mebibyte, zeroed: 0))
            let read = try traffic(
                mount,
                head + "for i in range(10): assert os.preadv(fd, [block], i << 20) == 1 << 20")
            #expect(
                read
                    == ContentTraffic(
                        read: 10 * mebibyte, written: 0, copied: 3 * mebibyte,
                        zeroed: 7 * mebibyte))
        }
    }

    /// A file of at most 2 KiB grows by doubling, and moves once into a page: appending copies a
    /// byte at most twice more.
    @Test func smallFilesGrowByDoubling() throws {
        try InProcessMount.with(.best) { mount in
            let grown = try traffic(
                mount,
                """
                with open('file', 'wb', buffering=0) as f:
                    for i in range(300): f.write(b'x' * 10)
                """)
            #expect(grown.written == 3000)
            #expect(grown.copied >= 3000 && grown.copied <= 3 * 3000, "\(grown)")
        }
    }
}
