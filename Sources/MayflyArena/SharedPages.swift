// SharedPages: pages of content to which several entries of maps lead, and how many.
//
// A chunk of pages of which one is shared has a table: for each of its 512 pages the number of entries
// beyond the first, 32 bits each. It lies in small units, its offset is in the chunk's descriptor, and it
// goes when the chunk is given back. So a page that nobody shares costs a load to find that out, and
// snapshots, forks and images have the counts as they were.
//
// Ordering:
//   shares (descriptor)  0 -> table by compare-and-swap, of whoever shares the first page; back to 0 by
//                        the owner of an empty chunk, of which nobody knows a page
//   count                up by an addition of one who keeps an entry for the page meanwhile (its inode is
//                        locked), before the new entry can be found; down by compare-and-swap of
//                        one who frees an entry, when no reader can have the page from it any more. Who
//                        finds 0, and has an entry and the lock of its inode, has the page alone: no
//                        other entry leads there, no reader has it from another, and nobody else can
//                        count it up. So it is written in its place then, and copied otherwise
//
// A page that is freed goes by `ArenaWorker.free`, like all others; that counts down where there is
// something to count.

extension Descriptor {
    /// Units of 64 bytes of a table: 32 bits for each page.
    static var shareUnits: UInt64 { @_noLocks get { 32 } }
}

extension Arena {
    /// The table of a chunk of pages, or 0.
    @_noLocks func shareTable(_ chunk: UInt64) -> UInt64 {
        region.loadAcquire(geometry.descriptor(chunk) + Descriptor.shares)
    }

    /// Whether another entry leads to a page, too.
    ///
    /// - Parameter page: in use, in a chunk of pages.
    @_noLocks package func isShared(_ page: UInt64) -> Bool {
        let chunk = geometry.chunk(containing: page)
        let table = shareTable(chunk)
        if table == 0 { return false }
        return shareCount(table, (page - geometry.chunkStart(chunk)) >> 12) != 0
    }

    @_noLocks func shareCount(_ table: UInt64, _ unit: UInt64) -> UInt64 {
        region.loadAcquire(table + unit / 2 * 8) >> ((unit & 1) * 32) & 0xFFFF_FFFF
    }
}

extension ArenaWorker {
    /// Counts one more entry for each page of a run.
    ///
    /// - Returns: for how many pages, from the first on: fewer than `count` where there is no memory for
    ///   a table, or where more entries lead to a page than can be counted.
    /// - Precondition: an entry leads to each of them and stays meanwhile.
    /// - Complexity: O(count).
    @_noLocks package func share(_ offset: UInt64, count: UInt64) -> UInt64 {
        let geometry = arena.geometry
        var done: UInt64 = 0
        while done < count {
            let page = offset + done << 12
            let chunk = geometry.chunk(containing: page)
            var unit = (page - geometry.chunkStart(chunk)) >> 12
            guard let table = makeShareTable(chunk) else { return done }
            while done < count && unit < ChunkKind.pages.unitCount {
                // Far from the end, so that all who add at once stay below it.
                if arena.shareCount(table, unit) > 0xFFFF_0000 { return done }
                region.add(table + unit / 2 * 8, 1 << ((unit & 1) * 32))
                unit += 1
                done += 1
            }
        }
        return done
    }

    @_noLocks private func makeShareTable(_ chunk: UInt64) -> UInt64? {
        let word = arena.geometry.descriptor(chunk) + Descriptor.shares
        let table = arena.shareTable(chunk)
        if table != 0 { return table }
        guard let made = allocate(.small, count: Descriptor.shareUnits) else { return nil }
        if !made.isClean { region.zero(made.offset, Descriptor.shareUnits * 64) }
        region.store(Superblock.version, Superblock.sharingVersion)
        if region.exchange(word, expected: 0, desired: made.offset) { return made.offset }
        freeInside(
            .small, chunk: arena.geometry.chunk(containing: made.offset),
            unit: (made.offset & (Geometry.chunkBytes - 1)) >> ChunkKind.small.unitShift,
            count: Descriptor.shareUnits)
        return arena.shareTable(chunk)
    }

    /// Frees a run of a chunk that has a table, but for pages to which other entries lead.
    @_noLocks func freeUnshared(_ table: UInt64, chunk: UInt64, unit: UInt64, count: UInt64) {
        var first = unit
        var at = unit
        while at < unit + count {
            if countDown(table, at) {
                if first < at {
                    freeInside(.pages, chunk: chunk, unit: first, count: at - first)
                }
                first = at + 1
            }
            at += 1
        }
        if first < at { freeInside(.pages, chunk: chunk, unit: first, count: at - first) }
    }

    /// - Returns: false where no other entry leads to the page.
    @_noLocks private func countDown(_ table: UInt64, _ unit: UInt64) -> Bool {
        let word = table + unit / 2 * 8
        let one: UInt64 = 1 << ((unit & 1) * 32)
        while true {
            let counts = region.loadAcquire(word)
            if counts / one & 0xFFFF_FFFF == 0 { return false }
            if region.exchange(word, expected: counts, desired: counts - one) { return true }
        }
    }

    /// Frees the table of a chunk in which nothing is in use.
    @_noLocks func dropShareTable(_ kind: ChunkKind, _ chunk: UInt64) {
        guard kind.rawValue == ChunkKind.pages.rawValue else { return }
        let table = arena.shareTable(chunk)
        if table == 0 { return }
        region.store(arena.geometry.descriptor(chunk) + Descriptor.shares, 0)
        free(.small, table, count: Descriptor.shareUnits)
    }
}

// MARK: check and repair

extension ArenaCheck {
    /// Claims the tables of all chunks of pages. A table that cannot be one is noted, and its pages count
    /// as shared by nobody.
    mutating func claimShareTables() {
        for chunk in 0..<min(used, geometry.chunkCount) where !geometry.holdsDescriptors(chunk) {
            let table = region.load(geometry.descriptor(chunk) + Descriptor.shares)
            if table == 0 { continue }
            guard holdsPages(chunk) else {
                note("chunk \(chunk): a table of shared pages in a chunk of another kind")
                continue
            }
            if claim(.small, table, Descriptor.shareUnits, "the table of chunk \(chunk)") {
                entries[chunk] = [UInt32](repeating: 0, count: Int(ChunkKind.pages.unitCount))
            }
        }
    }

    private func holdsPages(_ chunk: UInt64) -> Bool {
        let descriptor = geometry.descriptor(chunk)
        return region.load(descriptor + Descriptor.tag) >> 32 == ChunkKind.pages.rawValue
            && region.load(descriptor + Descriptor.state) != Descriptor.pool
    }

    /// Whether a page lies in a chunk of which some are shared.
    package func mayShare(_ page: UInt64) -> Bool {
        page >= geometry.firstChunkOffset && page < geometry.bytes
            && entries[geometry.chunk(containing: page)] != nil
    }

    /// Claims a page of content that was written, for one of the entries that lead to it.
    ///
    /// - Returns: whether it is there, and what else leads to it are such entries.
    package mutating func claimContent(
        _ page: UInt64, _ owner: @autoclosure () -> String
    ) -> Bool {
        guard mayShare(page) else { return claim(.pages, page, 1, owner()) }
        let chunk = geometry.chunk(containing: page)
        let unit = Int((page - geometry.chunkStart(chunk)) >> 12)
        // One that was claimed otherwise is not counted here, and is claimed in vain.
        if page & 4095 != 0 || entries[chunk]![unit] == 0 {
            guard claim(.pages, page, 1, owner()) else { return false }
        }
        entries[chunk]![unit] += 1
        return true
    }

    /// Compares the counts with what was claimed.
    mutating func checkShares() {
        for (chunk, counts) in entries {
            let table = region.load(geometry.descriptor(chunk) + Descriptor.shares)
            for (unit, count) in counts.enumerated() {
                let counted = arena.shareCount(table, UInt64(unit))
                if counted != UInt64(max(count, 1)) - 1 {
                    note(
                        "chunk \(chunk): page \(unit) has \(count) entries, and \(counted) besides one"
                    )
                }
            }
        }
    }

    /// Makes the counts of a chunk say what was claimed.
    func rebuildShares(_ chunk: UInt64) {
        guard let counts = entries[chunk] else { return }
        let table = region.load(geometry.descriptor(chunk) + Descriptor.shares)
        for (unit, count) in counts.enumerated() {
            let word = table + UInt64(unit) * 4
            if region.load32(word) != max(count, 1) - 1 { region.store32(word, max(count, 1) - 1) }
        }
    }
}
