// UsedPages: which pages of a region mean anything. What lies in free units is left out: the
// allocator hands it out as memory that must be zeroed, or finds zeros, which is as good.

package import SystemPackage

/// A run of OS pages of a region, in bytes from its start.
package typealias PageRun = Range<UInt64>

extension Arena {
    /// Bytes up to the last chunk that was ever handed out.
    package var usedEnd: UInt64 { geometry.chunkStart(region.load(Superblock.freshChunk)) }

    /// Calls `body` with the pages in use, in their order, as far as they end after `from`, and with
    /// whether they are units of pages: content and what lies among it.
    ///
    /// - Precondition: nobody changes the arena meanwhile.
    /// - Complexity: O(chunks), and the words of their bitmaps.
    package func forEachUsedRun(
        from: UInt64 = 0, _ body: (PageRun, Bool) throws(Errno) -> Void
    ) throws(Errno) {
        let page = Geometry.pageBytes
        if from < geometry.firstChunkOffset {
            try body(0..<page, false)
            let end = geometry.shard(geometry.shardCount)
            try body(Geometry.shardsOffset..<(end + page - 1) & ~(page - 1), false)
        }
        let fresh = region.load(Superblock.freshChunk)
        for chunk in 0..<fresh where geometry.chunkStart(chunk + 1) > from {
            if geometry.holdsDescriptors(chunk) {
                let last = min(fresh, chunk + Geometry.groupChunks) - 1
                let end = geometry.descriptor(last) + Geometry.descriptorBytes
                try body(geometry.chunkStart(chunk)..<(end + page - 1) & ~(page - 1), false)
            } else {
                try forEachUsedRun(ofChunk: chunk, body)
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
            let isUsed = page < pages
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
