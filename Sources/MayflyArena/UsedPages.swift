// UsedPages: which pages of a region mean anything. What lies in free units is left out: the
// allocator hands it out as memory that must be zeroed, or finds zeros, which is as good.

internal import Glibc
package import SystemPackage

/// A run of OS pages of a region, in bytes from its start.
package typealias PageRun = Range<UInt64>

extension PageRun {
    /// The run cut where chunks begin.
    package var byChunks: [PageRun] {
        var pieces: [PageRun] = []
        var at = lowerBound
        while at < upperBound {
            let end = Swift.min(upperBound, (at & ~(Geometry.chunkBytes - 1)) + Geometry.chunkBytes)
            pieces.append(at..<end)
            at = end
        }
        return pieces
    }
}

extension Arena {
    /// Bytes up to the last chunk that was ever handed out.
    package var usedEnd: UInt64 { geometry.chunkStart(region.load(Superblock.freshChunk)) }

    /// Calls `body` with the pages in use, in their order, as far as they end after `from`, and with
    /// whether they are units of pages: content and what lies among it.
    ///
    /// - Parameter isWanted: leaves chunks out, by their numbers.
    /// - Precondition: nobody changes the arena meanwhile.
    /// - Complexity: O(chunks), and the words of their bitmaps.
    package func forEachUsedRun(
        from: UInt64 = 0, chunks isWanted: (UInt64) -> Bool = { _ in true },
        _ body: (PageRun, Bool) throws(Errno) -> Void
    ) throws(Errno) {
        let page = Geometry.pageBytes
        if from < geometry.firstChunkOffset {
            try body(0..<page, false)
            let end = geometry.shard(geometry.shardCount)
            try body(Geometry.shardsOffset..<(end + page - 1) & ~(page - 1), false)
        }
        let fresh = region.load(Superblock.freshChunk)
        for chunk in 0..<fresh where geometry.chunkStart(chunk + 1) > from && isWanted(chunk) {
            if geometry.holdsDescriptors(chunk) {
                let last = min(fresh, chunk + Geometry.groupChunks) - 1
                let end = geometry.descriptor(last) + Geometry.descriptorBytes
                try body(geometry.chunkStart(chunk)..<(end + page - 1) & ~(page - 1), false)
            } else {
                try forEachUsedRun(ofChunk: chunk, body)
            }
        }
    }

    /// Calls `body` with the pages in use that were ever written, as `forEachUsedRun`; the others
    /// behind the base hold zeros.
    package func forEachWrittenRun(
        from: UInt64 = 0, _ body: (PageRun) throws(Errno) -> Void
    ) throws(Errno) {
        try forEachUsedRun(from: from) { run, _ throws(Errno) in
            for part in region.writtenRuns(in: run) { try body(part) }
        }
    }

    /// Calls `body` with the pages in use that may hold anything but zeros, as `forEachUsedRun`. Those
    /// that fallocate(2) was given and nobody has written are left out: reading a hole of a memory
    /// file in a mapping takes memory.
    ///
    /// - Parameter base: what the region began as; nil where that is not at hand, and then none of its
    ///   pages are left out.
    func forEachFilledRun(
        base: BaseMapping?, chunks isWanted: (UInt64) -> Bool = { _ in true },
        _ body: (PageRun, Bool) throws(Errno) -> Void
    ) throws(Errno) {
        let end = baseBytes
        // What is known of a file: data from one offset to another.
        var known: Int32 = -1
        var data: PageRun = 0..<0
        func withoutHoles(_ run: PageRun, _ isContent: Bool, of file: Int32) throws(Errno) {
            if file != known {
                known = file
                data = 0..<0
            }
            var at = run.lowerBound
            while at < run.upperBound {
                if at >= data.upperBound {
                    let start = lseek(file, off_t(at), 3)  // SEEK_DATA
                    let stop = start < 0 ? -1 : lseek(file, start, 4)  // SEEK_HOLE
                    if start < 0 && errno != ENXIO || start >= 0 && stop < 0 {
                        return try body(at..<run.upperBound, isContent)
                    }
                    data = start < 0 ? end..<UInt64.max : UInt64(start)..<UInt64(stop)
                }
                let from = max(at, data.lowerBound & ~(Geometry.pageBytes - 1))
                let until = min(
                    run.upperBound,
                    data.upperBound == .max
                        ? .max
                        : (data.upperBound + Geometry.pageBytes - 1) & ~(Geometry.pageBytes - 1))
                if from < until { try body(from..<until, isContent) }
                at = max(until, at + Geometry.pageBytes)
            }
        }
        try forEachUsedRun(chunks: isWanted) { run, isContent throws(Errno) in
            // A run lies in one chunk, and so in one file. What is not mapped is read, holes and all.
            let file = base?.file(at: run.lowerBound)
            var at = run.lowerBound
            for written in region.writtenRuns(in: run) + [run.upperBound..<run.upperBound] {
                let limit = min(written.lowerBound, end)
                if at < limit {
                    if let file {
                        try withoutHoles(at..<limit, isContent, of: file)
                    } else {
                        try body(at..<limit, isContent)
                    }
                }
                if !written.isEmpty { try body(written, isContent) }
                at = written.upperBound
            }
        }
    }

    private func forEachUsedRun(
        ofChunk chunk: UInt64, _ body: (PageRun, Bool) throws(Errno) -> Void
    ) throws(Errno) {
        let descriptor = geometry.descriptor(chunk)
        guard region.load(descriptor + Descriptor.state) != Descriptor.pool else { return }
        let kind = ChunkKind.known(region.load(descriptor + Descriptor.tag) >> 32)
        let bitmap = bitmap(kind, chunk)
        let unitsPerPage = Geometry.pageBytes >> kind.unitShift
        let pages = Geometry.chunkBytes / Geometry.pageBytes
        let start = geometry.chunkStart(chunk)
        var first: UInt64?
        for page in 0...pages {
            // The bitmap's own units are not marked.
            let isUsed =
                page < pages
                && (page * unitsPerPage < kind.firstUnit
                    || bitmap.isAnySet(page * unitsPerPage, unitsPerPage))
            if isUsed {
                first = first ?? page
            } else if let from = first {
                try body(
                    start + from * Geometry.pageBytes..<start + page * Geometry.pageBytes,
                    kind.rawValue == ChunkKind.pages.rawValue)
                first = nil
            }
        }
    }

    /// Calls `body` with the offset of each inode slot in use.
    ///
    /// - Precondition: `holdsInodes(chunk)`.
    package func forEachUsedUnit(ofInodes chunk: UInt64, _ body: (UInt64) -> Void) {
        let kind = ChunkKind.inodes
        let bitmap = bitmap(kind, chunk)
        for word in 0..<kind.unitCount / 64 {
            var bits = region.load(bitmap.words + word * 8)
            while bits != 0 {
                let unit = word * 64 + UInt64(bits.trailingZeroBitCount)
                bits &= bits - 1
                body(geometry.chunkStart(chunk) + unit << kind.unitShift)
            }
        }
    }

    /// Whether a slot of inodes is in use. Where it is not, there may be anything.
    ///
    /// - Parameter offset: behind the headers.
    package func isUsedUnit(ofInodes offset: UInt64) -> Bool {
        let chunk = geometry.chunk(containing: offset)
        guard holdsInodes(chunk) else { return false }
        let unit = (offset - geometry.chunkStart(chunk)) >> ChunkKind.inodes.unitShift
        return bitmap(.inodes, chunk).isSet(unit)
    }

    /// Whether the chunk of an offset is one of pages that somebody owns.
    package func holdsPages(_ offset: UInt64) -> Bool {
        guard offset >= geometry.firstChunkOffset, offset < usedEnd else { return false }
        let chunk = geometry.chunk(containing: offset)
        let descriptor = geometry.descriptor(chunk)
        return !geometry.holdsDescriptors(chunk)
            && region.load(descriptor + Descriptor.state) != Descriptor.pool
            && region.load(descriptor + Descriptor.tag) >> 32 == ChunkKind.pages.rawValue
    }

    /// Whether a chunk's units are inodes, so that its pages may hold some.
    package func holdsInodes(_ chunk: UInt64) -> Bool {
        guard chunk < region.load(Superblock.freshChunk), !geometry.holdsDescriptors(chunk) else {
            return false
        }
        let descriptor = geometry.descriptor(chunk)
        return region.load(descriptor + Descriptor.state) != Descriptor.pool
            && region.load(descriptor + Descriptor.tag) >> 32 == ChunkKind.inodes.rawValue
    }
}

extension Bitmap {
    /// Whether any of up to 64 bits, which lie in one word, is set.
    func isAnySet(_ start: UInt64, _ count: UInt64) -> Bool {
        let bits = region.load(words + (start >> 6) * 8) >> (start & 63)
        return count >= 64 ? bits != 0 : bits & ((1 << count) - 1) != 0
    }
}
