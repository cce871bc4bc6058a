// LayerFile: a file with the pages in which one image differs from another, its base (Docs/ImageFormat.md,
// Layers). What it says is believed only as far as it was compared: its first page by a checksum, the
// table of its runs by a digest, and each run by its own.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import SystemPackage

/// Byte offsets of the words of a layer's first page. Part of the format.
package enum LayerWord {
    package static let magicValue: UInt64 = 0x3159_414C_594C_464D  // "MFLYLAY1"
    package static let formatVersion: UInt64 = 1

    package static let magic: UInt64 = 0
    package static let version: UInt64 = 8
    /// Bytes of the file; 0 while it is being written.
    package static let fileBytes: UInt64 = 16
    /// Bytes of the image that base and layer make together.
    package static let imageBytes: UInt64 = 24
    package static let checksum: UInt64 = 32
    package static let runCount: UInt64 = 40
    /// Layers from the plain image to this one; 1 on a plain image.
    package static let depth: UInt64 = 48
    /// Where the table begins: behind the pages.
    package static let table: UInt64 = 56
    /// Digests, 32 bytes each.
    package static let baseDigest: UInt64 = 64
    package static let tableDigest: UInt64 = 96
    package static let nameLength: UInt64 = 128
    /// Up to 255 bytes.
    package static let name: UInt64 = 256
}

/// Pages that follow each other in an image, and where a layer has them.
package struct LayerRun: Sendable, Equatable {
    /// In the image; they lie in one chunk.
    package let pages: PageRun
    /// In the layer's file.
    package let place: UInt64
    package let digest: ImageDigest

    /// Bytes of one in the table: offset, bytes, two words of 0, digest.
    static let bytes: UInt64 = 64
}

/// The first page of a layer and its table of runs.
package struct LayerFile: Sendable {
    /// Layers on top of each other that a chain may have.
    package static let mostDepth: UInt64 = 64
    /// Runs that a layer may have: a table of 256 MiB.
    package static let mostRuns: UInt64 = 1 << 22
    /// Bytes of a base's name.
    package static let mostNameBytes = 255

    package let digest: ImageDigest
    package let fileBytes: UInt64
    package let imageBytes: UInt64
    package let depth: UInt64
    package let base: ImageDigest
    /// What the base was called, without its folder; for whoever looks for it.
    package let baseName: [UInt8]
    /// Ascending.
    package let runs: [LayerRun]

    /// Bytes of its pages.
    package var pageBytes: UInt64 { runs.reduce(0) { $0 + UInt64($1.pages.count) } }

    /// Reads the first page and the table, and looks for everything that cannot be.
    ///
    /// - Throws: `.foreign` for what is no layer, `.damagedLayer` with what is wrong with it.
    /// - Complexity: O(runs).
    package init(reading descriptor: Int32) throws(ImageError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .system(Errno(rawValue: errno))
        }
        let size = UInt64(max(0, status.st_size))
        guard status.st_mode & S_IFMT == S_IFREG, size >= Geometry.pageBytes else { throw .foreign }
        var words = [UInt64](repeating: 0, count: 512)
        try Self.read(descriptor, &words, 0)
        func word(_ offset: UInt64) -> UInt64 { words[Int(offset / 8)] }
        func digest(_ offset: UInt64) -> ImageDigest {
            let first = Int(offset / 8)
            return ImageDigest(words: SIMD4(words[first..<first + 4]))
        }
        guard word(LayerWord.magic) == LayerWord.magicValue else { throw .foreign }
        guard word(LayerWord.version) == LayerWord.formatVersion else {
            throw .layerVersion(word(LayerWord.version))
        }
        guard word(LayerWord.fileBytes) != 0 else { throw .unfinished }
        self.digest = unsafe words.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        let sum = word(LayerWord.checksum)
        words[Int(LayerWord.checksum / 8)] = 0
        guard unsafe cmem_page_checksum(words, Self.pageNumber) == sum else { throw .damagedHeader }
        fileBytes = word(LayerWord.fileBytes)
        guard fileBytes == size else { throw .length(is: size, shouldBe: fileBytes) }
        imageBytes = word(LayerWord.imageBytes)
        depth = word(LayerWord.depth)
        base = digest(LayerWord.baseDigest)
        let count = word(LayerWord.runCount)
        let table = word(LayerWord.table)
        let length = word(LayerWord.nameLength)
        guard imageBytes % Geometry.chunkBytes == 0, imageBytes > 0, imageBytes < 1 << 48 else {
            throw .damagedLayer("the image that it makes cannot have \(imageBytes) bytes")
        }
        guard depth > 0, depth <= Self.mostDepth else {
            throw .damagedLayer("it says that it is layer \(depth) of at most \(Self.mostDepth)")
        }
        guard length <= UInt64(Self.mostNameBytes) else {
            throw .damagedLayer("the name of its base has \(length) bytes")
        }
        baseName = unsafe words.withUnsafeBytes {
            unsafe Array($0[Int(LayerWord.name)..<Int(LayerWord.name + length)])
        }
        guard Self.isName(baseName) else {
            throw .damagedLayer("what it calls its base is no name of a file")
        }
        guard count > 0, count <= Self.mostRuns, table >= 2 * Geometry.pageBytes,
            table % Geometry.pageBytes == 0, table <= size,
            size - table == count * LayerRun.bytes
        else { throw .damagedLayer("its table of \(count) runs is not where it says") }
        runs = try Self.runs(
            descriptor, count: count, table: table, imageBytes: imageBytes,
            digest(LayerWord.tableDigest))
    }

    /// What the first page of a layer says that it is on; nil for what is no layer.
    package static func base(
        reading descriptor: Int32
    ) -> (base: ImageDigest, depth: UInt64)? {
        var words = [UInt64](repeating: 0, count: 512)
        do throws(ImageError) { try read(descriptor, &words, 0) } catch { return nil }
        guard words[Int(LayerWord.magic)] == LayerWord.magicValue else { return nil }
        let first = Int(LayerWord.baseDigest / 8)
        return (
            ImageDigest(words: SIMD4(words[first..<first + 4])), words[Int(LayerWord.depth / 8)]
        )
    }

    /// Whether bytes can be the name of a file beside the layer: nothing that leads elsewhere.
    package static func isName(_ name: [UInt8]) -> Bool {
        !name.isEmpty && name.count <= mostNameBytes && !name.contains(0)
            && !name.contains(UInt8(ascii: "/")) && name != Array(".".utf8)
            && name != Array("..".utf8)
    }

    private static func read(
        _ descriptor: Int32, _ words: inout [UInt64], _ offset: UInt64
    ) throws(ImageError) {
        let code = unsafe words.withUnsafeMutableBytes {
            unsafe csys_read_all(descriptor, $0.baseAddress, $0.count, offset)
        }
        guard code == 0 else { throw .system(Errno(rawValue: code)) }
    }

    private static func runs(
        _ descriptor: Int32, count: UInt64, table: UInt64, imageBytes: UInt64,
        _ expected: ImageDigest
    ) throws(ImageError) -> [LayerRun] {
        var runs: [LayerRun] = []
        var sum = DigestSum()
        var place = Geometry.pageBytes
        var end: UInt64 = 0
        let most: UInt64 = 1 << 14
        for first in stride(from: 0, to: count, by: Int(most)) {
            let now = min(most, count - first)
            var words = [UInt64](repeating: 0, count: Int(now * LayerRun.bytes / 8))
            try read(descriptor, &words, table + first * LayerRun.bytes)
            unsafe words.withUnsafeBytes { unsafe sum.add($0) }
            for index in 0..<Int(now) {
                let at = index * 8
                let (offset, bytes) = (words[at], words[at + 1])
                let number = first + UInt64(index)
                guard offset % Geometry.pageBytes == 0, bytes % Geometry.pageBytes == 0, bytes > 0,
                    bytes <= Geometry.chunkBytes, offset < imageBytes,
                    offset % Geometry.chunkBytes + bytes <= Geometry.chunkBytes,
                    words[at + 2] == 0, words[at + 3] == 0
                else {
                    throw .damagedLayer(
                        "run \(number), \(bytes) bytes from \(offset) on, cannot be in its image")
                }
                guard offset >= end, number > 0 || offset == 0 else {
                    throw .damagedLayer("run \(number) is not behind the one before it")
                }
                guard bytes <= table - place else {
                    throw .damagedLayer("run \(number) is longer than what is left of its pages")
                }
                runs.append(
                    LayerRun(
                        pages: offset..<offset + bytes, place: place,
                        digest: ImageDigest(words: SIMD4(words[at + 4..<at + 8]))))
                end = offset + bytes
                place += bytes
            }
        }
        guard place == table else { throw .damagedLayer("it has pages that no run names") }
        guard sum.end() == expected else {
            throw .damagedLayer("its table of runs is not what it was")
        }
        return runs
    }

    /// Reads the pages of a run.
    ///
    /// - Parameter buffer: gets the pages from its beginning; has room for a chunk.
    /// - Throws: `.damagedLayer` where they are not what they were.
    package static func read(
        _ run: LayerRun, of descriptor: Int32, into buffer: UnsafeMutableRawPointer
    ) throws(ImageError) {
        let code = unsafe csys_read_all(descriptor, buffer, run.pages.count, run.place)
        guard code == 0 else { throw .system(Errno(rawValue: code)) }
        let bytes = unsafe UnsafeRawBufferPointer(start: buffer, count: run.pages.count)
        guard unsafe ImageDigest(of: bytes) == run.digest else {
            throw .damagedLayer(
                "its pages from \(run.pages.lowerBound) to \(run.pages.upperBound) are not what they "
                    + "were")
        }
    }

    /// Compares all pages with their digests.
    ///
    /// - Complexity: O(bytes of the layer).
    package func checkPages(of descriptor: Int32) throws(ImageError) {
        let buffer = UnsafeMutableRawPointer.allocate(
            byteCount: Int(Geometry.chunkBytes), alignment: 4096)
        defer { unsafe buffer.deallocate() }
        for run in runs { try unsafe Self.read(run, of: descriptor, into: buffer) }
    }

    /// What the first page counts as in its checksum.
    static let pageNumber: UInt64 = 1
}
