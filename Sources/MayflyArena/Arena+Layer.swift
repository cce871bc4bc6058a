// Arena and layers: writing the pages in which a region differs from an image.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// What a layer became.
package struct WrittenLayer: Sendable, Equatable {
    package let digest: ImageDigest
    /// Bytes of the pages in it.
    package let pageBytes: UInt64
    fileprivate let runs: [PageRun]
    /// Pages in it that are among those of content.
    package var contentRuns: [PageRun] = []
}

/// Fills an empty file with runs of pages, in ascending order.
private struct LayerWriter: ~Copyable {
    private let descriptor: Int32
    private var place = Geometry.pageBytes
    private var run: PageRun = 0..<0
    private var sum = DigestSum()
    private var table: [UInt64] = []

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Adds pages behind those that were added before.
    mutating func add(
        _ offset: UInt64, _ bytes: UnsafeRawPointer, _ count: Int
    ) throws(Errno) {
        if offset != run.upperBound || run.isEmpty || offset % Geometry.chunkBytes == 0 {
            endRun()
            guard table.count / 8 < LayerFile.mostRuns else { throw .fileTooLarge }
            run = offset..<offset
        }
        unsafe sum.add(UnsafeRawBufferPointer(start: bytes, count: count))
        let code = unsafe csys_write_all(descriptor, bytes, count, place)
        if code != 0 { throw Errno(rawValue: code) }
        place += UInt64(count)
        run = run.lowerBound..<offset + UInt64(count)
    }

    private mutating func endRun() {
        if run.isEmpty { return }
        let digest = sum.end().words
        table += [run.lowerBound, UInt64(run.count), 0, 0]
        table += [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Writes the table and the first page.
    mutating func end(
        imageBytes: UInt64, depth: UInt64, base: ImageDigest, name: [UInt8]
    ) throws(Errno) -> WrittenLayer {
        endRun()
        let tableBytes = UInt64(table.count * 8)
        var code = unsafe csys_write_all(descriptor, table, Int(tableBytes), place)
        if code != 0 { throw Errno(rawValue: code) }
        let tableDigest = unsafe table.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        var words = [UInt64](repeating: 0, count: 512)
        func set(_ offset: UInt64, _ values: UInt64...) {
            for (place, value) in values.enumerated() { words[Int(offset / 8) + place] = value }
        }
        set(LayerWord.magic, LayerWord.magicValue, LayerWord.formatVersion, place + tableBytes)
        set(LayerWord.imageBytes, imageBytes)
        set(LayerWord.runCount, UInt64(table.count / 8), depth, place)
        for lane in 0..<4 {
            set(LayerWord.baseDigest + UInt64(lane * 8), base.words[lane])
            set(LayerWord.tableDigest + UInt64(lane * 8), tableDigest.words[lane])
        }
        set(LayerWord.nameLength, UInt64(name.count))
        for (index, byte) in name.enumerated() {
            words[Int(LayerWord.name) / 8 + index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        let sum = unsafe cmem_page_checksum(words, LayerFile.pageNumber)
        set(LayerWord.checksum, sum)
        code = unsafe csys_write_all(descriptor, words, 4096, 0)
        if code != 0 { throw Errno(rawValue: code) }
        return WrittenLayer(
            digest: unsafe words.withUnsafeBytes { unsafe ImageDigest(of: $0) },
            pageBytes: place - Geometry.pageBytes,
            runs: stride(from: 0, to: table.count, by: 8).map {
                table[$0]..<table[$0] + table[$0 + 1]
            })
    }
}

extension Arena {
    /// Writes the pages in which the arena differs from an image to an empty file.
    ///
    /// - Parameters:
    ///   - base: the image; its layers are below the new one.
    ///   - name: what it is called; `LayerFile.isName`.
    ///   - changed: pages of which the others are the base's, ascending; nil where that is not known,
    ///     and all are compared.
    ///   - origin: what the region began as, so that its holes are not read.
    /// - Precondition: as `writeImage`.
    /// - Throws: errors of pread(2) and pwrite(2); `EFBIG` for more runs than a layer may have.
    /// - Complexity: O(chunks and changed pages); O(bytes in use) where those are not known.
    package func writeLayer(
        to descriptor: Int32, over base: ImagePages, named name: [UInt8], changed: [PageRun]?,
        origin: BaseMapping?
    ) throws(Errno) -> WrittenLayer {
        precondition(LayerFile.isName(name), "Arena.writeLayer: name")
        let bytes = usedEnd
        region.store(Superblock.imageBytes, bytes)
        region.store(Superblock.bodyChecksum, 0)
        region.store(Superblock.headerChecksum, 0)
        let sum = unsafe cmem_page_checksum(region.pointer(0), ImageHeader.pageNumber)
        region.store(Superblock.headerChecksum, sum)
        // The first page is in it in any case: whoever reads a layer begins with it.
        let changed = changed.map { PageRun.union([0..<Geometry.pageBytes] + $0) }
        var writer = LayerWriter(descriptor)
        let most = 64 * Int(Geometry.pageBytes)
        let old = UnsafeMutableRawPointer.allocate(byteCount: most, alignment: 4096)
        defer { unsafe old.deallocate() }
        try forEachLayerRun(origin: origin, changed: changed) { run, isContent throws(Errno) in
            try unsafe forEachPiece(of: run, isContent: isContent) {
                offset, bytes, count throws(Errno) in
                for start in stride(from: 0, to: count, by: most) {
                    let size = min(most, count - start)
                    let first = offset + UInt64(start)
                    try unsafe base.read(first, into: old, size)
                    try unsafe addDifferent(
                        first, bytes + start, old, size, to: &writer)
                }
            }
        }
        var written = try writer.end(
            imageBytes: bytes, depth: UInt64(base.layers.count) + 1, base: base.digests[0],
            name: name)
        written.contentRuns = written.runs.filter { holdsPages($0.lowerBound) }
        return written
    }

    private func addDifferent(
        _ offset: UInt64, _ bytes: UnsafeRawPointer, _ old: UnsafeRawPointer, _ count: Int,
        to writer: inout LayerWriter
    ) throws(Errno) {
        let page = Int(Geometry.pageBytes)
        var from: Int?
        for at in stride(from: 0, through: count, by: page) {
            let isFirst = offset + UInt64(at) == 0
            if unsafe at < count && (isFirst || cmem_compare(bytes + at, old + at, page) != 0) {
                from = from ?? at
            } else if let start = from {
                try unsafe writer.add(offset + UInt64(start), bytes + start, at - start)
                from = nil
            }
        }
    }

    /// Calls `body` with the pages that a layer must have right, as `forEachUsedRun`: those in use, and
    /// all of a chunk of inodes or small units, where what was never used counts as zero. Of chunks of
    /// pages that is never believed of an image.
    private func forEachLayerRun(
        origin: BaseMapping?, changed: [PageRun]?,
        _ body: (PageRun, Bool) throws(Errno) -> Void
    ) throws(Errno) {
        var done: UInt64 = 0
        var next = 0
        func within(_ run: PageRun, _ isContent: Bool) throws(Errno) {
            guard let changed else { return try body(run, isContent) }
            while next < changed.count, changed[next].upperBound <= run.lowerBound { next += 1 }
            var index = next
            while index < changed.count, changed[index].lowerBound < run.upperBound {
                try body(changed[index].clamped(to: run), isContent)
                index += 1
            }
        }
        // Chunks in which something was changed.
        var touched: Set<UInt64> = []
        for run in changed ?? [] {
            for chunk in run.lowerBound / Geometry.chunkBytes...(run.upperBound - 1)
                / Geometry.chunkBytes
            where chunk > 0 { touched.insert(chunk - 1) }
        }
        try forEachFilledRun(
            base: origin, chunks: { changed == nil || touched.contains($0) }
        ) { run, isContent throws(Errno) in
            let start = run.lowerBound & ~(Geometry.chunkBytes - 1)
            let isHeader =
                start < geometry.firstChunkOffset
                || geometry.holdsDescriptors(geometry.chunk(containing: start))
            if isContent || isHeader { return try within(run, isContent) }
            if start < done { return }
            done = start + Geometry.chunkBytes
            try within(start..<done, false)
        }
    }
}
