// Layers: digests, tables of runs that lie, and where the pages of a chain are found.

import CMayflyMemory
import CMayflySystem
import Glibc
import Testing

@testable import MayflyArena

@Suite struct LayerFileTests {
    /// - Source: FIPS 180-4, examples of SHA-256.
    @Test func digestsAreThoseOfTheStandard() {
        func digest(_ text: String, pieces: Int) -> String {
            var sum = DigestSum()
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                unsafe rest.prefix(pieces).withUnsafeBytes { unsafe sum.add($0) }
                rest = rest.dropFirst(pieces)
            }
            return sum.end().hexadecimal
        }
        for pieces in [1, 7, 64, 1000] {
            #expect(
                digest("abc", pieces: pieces)
                    == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            #expect(
                digest(String(repeating: "a", count: 1000), pieces: pieces)
                    == "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
        }
        #expect(
            digest("", pieces: 1)
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(ImageDigest(text)?.text == text)
        for bad in ["", "sha256:", "md5:\(text.dropFirst(7))", text + "0", text.uppercased()] {
            #expect(ImageDigest(bad) == nil, "\(bad)")
        }
    }

    /// A layer as it is written by hand: runs of pages that are 1, 2, 3 ... all over.
    private struct Draft {
        var words: [UInt64: UInt64] = [:]
        var runs: [(offset: UInt64, bytes: UInt64)] = [(0, 4096), (8192, 8192), (2 << 20, 4096)]
        var imageBytes: UInt64 = 8 << 20
        var name = "base.mayfly"
        /// Done to the table's words before they are sealed.
        var change: (inout [UInt64]) -> Void = { _ in }
        /// Bytes that are cut off, or added where they are below 0.
        var cut = 0

        func file() -> Int32 {
            let file = unsafe csys_memory_file("draft")
            var table: [UInt64] = []
            var place: UInt64 = 4096
            for (index, run) in runs.enumerated() {
                let bytes = [UInt8](
                    repeating: UInt8(index + 1), count: Int(min(run.bytes, 1 << 20)))
                unsafe _ = csys_write_all(file, bytes, bytes.count, place)
                let digest = unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) }
                place += UInt64(bytes.count)
                table += [run.offset, run.bytes, 0, 0] + (0..<4).map { digest.words[$0] }
            }
            change(&table)
            unsafe _ = csys_write_all(file, table, table.count * 8, place)
            let digest = unsafe table.withUnsafeBytes { unsafe ImageDigest(of: $0) }
            var page = [UInt64](repeating: 0, count: 512)
            page[0] = LayerWord.magicValue
            page[1] = LayerWord.formatVersion
            page[2] = place + UInt64(table.count * 8)
            page[3] = imageBytes
            page[5] = UInt64(table.count / 8)
            page[6] = 1
            page[7] = place
            for lane in 0..<4 { page[Int(LayerWord.tableDigest) / 8 + lane] = digest.words[lane] }
            page[Int(LayerWord.nameLength) / 8] = UInt64(name.utf8.count)
            for (index, byte) in name.utf8.enumerated() {
                page[Int(LayerWord.name) / 8 + index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
            }
            for (offset, value) in words { page[Int(offset) / 8] = value }
            page[Int(LayerWord.checksum) / 8] = unsafe cmem_page_checksum(page, 1)
            unsafe _ = csys_write_all(file, page, 4096, 0)
            if cut != 0 {
                var status = stat()
                unsafe _ = fstat(file, &status)
                ftruncate(file, status.st_size - off_t(cut))
            }
            return file
        }

        func error() -> ImageError? {
            let file = file()
            defer { close(file) }
            do throws(ImageError) {
                _ = try LayerFile(reading: file)
                return nil
            } catch { return error }
        }
    }

    @Test func whatCannotBeIsRefused() {
        #expect(Draft().error() == nil)
        func refused(
            _ what: String, _ location: SourceLocation = #_sourceLocation,
            _ change: (inout Draft) -> Void
        ) {
            var draft = Draft()
            change(&draft)
            guard case .damagedLayer(let said) = draft.error() else {
                Issue.record(
                    "\(what): \(String(describing: draft.error()))", sourceLocation: location)
                return
            }
            #expect(said.contains(what), sourceLocation: location)
        }
        refused("cannot be in its image") { $0.runs[1].offset = 8 << 20 }
        refused("cannot be in its image") { $0.runs[1].offset = .max - 4095 }
        refused("cannot be in its image") { $0.runs[1].offset = 100 }
        refused("cannot be in its image") { $0.runs[1].bytes = 0 }
        refused("cannot be in its image") { $0.runs[1].bytes = 4 << 20 }
        refused("cannot be in its image") { $0.runs[1].offset = (2 << 20) - 4096 }
        refused("cannot be in its image") { $0.change = { $0[2] = 1 } }
        refused("not behind the one before") { $0.runs[1].offset = 0 }
        refused("not behind the one before") { $0.runs.swapAt(1, 2) }
        refused("not behind the one before") { $0.runs[0].offset = 4096 }
        refused("longer than what is left") { $0.change = { $0[17] = 2 << 20 } }
        refused("no run names") { $0.change = { $0[9] = 4096 } }
        refused("not what it was") { $0.words[LayerWord.tableDigest] = 1 }
        refused("cannot have") { $0.imageBytes = 0 }
        refused("cannot have") { $0.imageBytes = (8 << 20) + 4096 }
        refused("cannot have") { $0.imageBytes = 1 << 48 }
        refused("at most 64") { $0.words[LayerWord.depth] = 65 }
        refused("at most 64") { $0.words[LayerWord.depth] = 0 }
        refused("table of") { $0.words[LayerWord.runCount] = 1 << 60 }
        refused("table of") { $0.words[LayerWord.runCount] = 0 }
        refused("table of") { $0.words[LayerWord.table] = .max - 4095 }
        refused("table of") { $0.words[LayerWord.table] = 4096 }
        for name in ["", "a/b", "..", ".", "/etc/passwd", "a\0b"] {
            refused("no name of a file") { $0.name = name }
        }
        refused("the name of its base") { $0.words[LayerWord.nameLength] = 256 }
        for (cut, expected) in [(1, true), (64, true), (5000, true), (-64, true)] {
            var draft = Draft()
            draft.cut = cut
            guard case .length = draft.error() else {
                Issue.record("\(cut) bytes less: \(String(describing: draft.error()))")
                continue
            }
            #expect(expected)
        }
        var draft = Draft()
        draft.words[LayerWord.version] = 2
        #expect(draft.error() == .layerVersion(2))
        draft.words[LayerWord.version] = nil
        draft.words[LayerWord.fileBytes] = 0
        #expect(draft.error() == .unfinished)
        draft.words = [LayerWord.magic: 1]
        #expect(draft.error() == .foreign)
    }

    /// What a run holds is compared when it is read.
    @Test func pagesAreComparedWithTheirDigests() throws {
        let file = Draft().file()
        defer { close(file) }
        let layer = try LayerFile(reading: file)
        try layer.checkPages(of: file)
        unsafe _ = csys_write_all(file, [9 as UInt8], 1, 4096 + 4096 + 100)
        do throws(ImageError) {
            try layer.checkPages(of: file)
            Issue.record("a changed page is taken")
        } catch {
            #expect(error == .damagedLayer("its pages from 8192 to 16384 are not what they were"))
        }
    }

    /// Each page comes from the uppermost file that has it, and what was cut off does not come back.
    @Test func pagesComeFromTheUppermost() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let plain = unsafe csys_memory_file("plain")
            var truth = [UInt8](repeating: 200, count: 4 << 20)
            unsafe _ = csys_write_all(plain, truth, truth.count, 0)
            var header = ImageHeader(bytes: UInt64(truth.count))
            header.digest = nil
            let none = unsafe ImageDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
            var pages = ImagePages(plain: plain, header, digest: none)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                var draft = Draft()
                draft.imageBytes = .random(in: 1...4, using: &random) << 21
                draft.runs = [(0, 4096)]
                var at: UInt64 = 4096
                while true {
                    at += .random(in: 0...64, using: &random) << 12
                    let bytes = UInt64.random(in: 1...16, using: &random) << 12
                    if at % (2 << 20) + bytes > 2 << 20 { at = (at >> 21 + 1) << 21 }
                    if at + bytes > draft.imageBytes || draft.runs.count > 150 { break }
                    draft.runs.append((at, bytes))
                    at += bytes
                }
                let size = Int(draft.imageBytes)
                truth = Array(truth.prefix(size))
                truth += [UInt8](repeating: 0, count: size - truth.count)
                for (index, run) in draft.runs.enumerated() {
                    unsafe truth.withUnsafeMutableBytes {
                        unsafe _ = memset(
                            $0.baseAddress! + Int(run.offset), Int32(index + 1), Int(run.bytes))
                    }
                }
                let file = draft.file()
                pages = ImagePages(
                    pages, with: .init(descriptor: file, file: try LayerFile(reading: file)))
            }
            defer { pages.close() }
            #expect(pages.bytes == UInt64(truth.count))
            let guardian = try ImageGuard(watching: pages)
            defer { guardian.end() }
            for _ in 0..<20 {
                let offset = Int.random(in: 0..<truth.count, using: &random)
                let count = min(truth.count - offset, Int.random(in: 1...100_000, using: &random))
                var (read, guarded) = (
                    [UInt8](repeating: 1, count: count), [UInt8](repeating: 2, count: count)
                )
                try unsafe read.withUnsafeMutableBytes { bytes in
                    try unsafe pages.read(UInt64(offset), into: bytes.baseAddress!, count)
                }
                let code = unsafe cmem_guard_read(
                    guardian.pointer, &guarded, count, UInt64(offset))
                #expect(code == 0)
                // As a whole: byte by byte this takes most of the test in a build for debugging.
                let expected = Array(truth[offset..<offset + count])
                #expect(unsafe memcmp(read, expected, count) == 0, "\(offset), \(count)")
                #expect(unsafe memcmp(guarded, expected, count) == 0, "guard: \(offset), \(count)")
            }
        }
    }
}
