// ArenaCheck: whether the allocator's words say what is in use, no more and no less.
//
// Whoever owns the content claims every unit that it can reach; `finish` compares the claims with
// the bitmaps and proves the lists. Nothing here trusts an offset: a claim answers whether the
// memory may be looked at. For a quiet arena: no worker entered, nothing retired.

/// A proof in progress that every unit is reached exactly once.
package struct ArenaCheck {
    package let arena: Arena
    package private(set) var problems: [String] = []
    /// How many there are, those that are not kept among them.
    package private(set) var problemCount = 0
    /// Claimed units by chunk, in the form of its bitmap; nil where none is.
    var claimed: [Claims?]
    /// Chunks that were ever handed out.
    let used: UInt64
    /// Entries that lead to each page of a chunk that has a table of shared pages.
    var entries: [UInt64: [UInt32]] = [:]
    /// The list that each chunk was found on.
    private var places: [UInt64: String] = [:]

    var region: Region { arena.region }
    var geometry: Geometry { arena.geometry }

    package init(_ arena: Arena) {
        self.arena = arena
        used = arena.region.load(Superblock.freshChunk)
        claimed = Array(repeating: nil, count: Int(min(used, arena.geometry.chunkCount)))
        checkSuperblock()
        claimShareTables()
    }

    /// Notes a broken invariant; the first hundred are enough.
    package mutating func note(_ problem: String) {
        problemCount += 1
        if problems.count < 100 { problems.append(problem) }
    }

    private mutating func checkSuperblock() {
        if region.load(Superblock.magic) != Superblock.magicValue { note("superblock: magic") }
        if !Superblock.knownVersions.contains(region.load(Superblock.version)) {
            note("superblock: version \(region.load(Superblock.version))")
        }
        if region.load(Superblock.shardCount) != geometry.shardCount {
            note("superblock: geometry")
        }
        if used > geometry.chunkCount { note("superblock: \(used) chunks handed out") }
    }

    // MARK: claims

    /// Claims a run of units for `owner`, who reached it.
    ///
    /// - Returns: whether the memory is there and was claimed by nobody else.
    package mutating func claim(
        _ kind: ChunkKind, _ offset: UInt64, _ count: UInt64, _ owner: @autoclosure () -> String
    ) -> Bool {
        // What lies in one chunk, as all runs do that are right, is looked at once.
        let bytes = count << kind.unitShift
        guard let chunk = chunkOfUnits(kind, offset, bytes) else {
            note("\(owner()): \(offset) is no place for it, or in a chunk of another kind")
            return false
        }
        let unit = (offset - geometry.chunkStart(chunk)) >> kind.unitShift
        if claimed[Int(chunk)] == nil { claimed[Int(chunk)] = Claims(kind) }
        if claimed[Int(chunk)]?.take(unit, count) != true {
            note("\(owner()): \(offset) is reached twice")
            return false
        }
        return true
    }

    /// The chunk that a run of units lies in; nil where it cannot be one.
    private func chunkOfUnits(_ kind: ChunkKind, _ offset: UInt64, _ bytes: UInt64) -> UInt64? {
        guard offset >= geometry.firstChunkOffset, offset < geometry.bytes,
            bytes <= Geometry.chunkBytes, offset & ((1 << kind.unitShift) - 1) == 0
        else { return nil }
        let chunk = geometry.chunk(containing: offset)
        guard chunk < UInt64(claimed.count) else { return nil }
        let start = geometry.chunkStart(chunk)
        let descriptor = geometry.descriptor(chunk)
        guard offset + bytes <= start + Geometry.chunkBytes,
            region.load(descriptor + Descriptor.tag) >> 32 == kind.rawValue,
            region.load(descriptor + Descriptor.state) != Descriptor.pool,
            (offset - start) >> kind.unitShift >= kind.firstUnit
        else { return nil }
        return chunk
    }

    /// Whether an offset is that of a unit of pages, in use or not.
    package func isPage(_ offset: UInt64) -> Bool {
        offset & (Geometry.pageBytes - 1) == 0 && arena.holdsPages(offset)
    }

    /// A bit for each unit of a chunk.
    struct Claims {
        var words: [UInt64]

        init(_ kind: ChunkKind) {
            words = [UInt64](repeating: 0, count: Int(kind.unitCount / 64))
        }

        /// False where one of the units was taken before; some may be taken then.
        mutating func take(_ first: UInt64, _ count: UInt64) -> Bool {
            var unit = first
            var left = count
            while left > 0 {
                let bit = unit & 63
                let here = min(left, 64 - bit)
                let mask: UInt64 = (here == 64 ? .max : (1 << here) - 1) << bit
                if words[Int(unit >> 6)] & mask != 0 { return false }
                words[Int(unit >> 6)] |= mask
                unit += here
                left -= here
            }
            return true
        }
    }

    /// Offsets of all units of a kind that the bitmaps call used.
    package func unitsInUse(_ kind: ChunkKind) -> [UInt64] {
        var offsets: [UInt64] = []
        for chunk in 0..<min(used, geometry.chunkCount) {
            let descriptor = geometry.descriptor(chunk)
            guard region.load(descriptor + Descriptor.state) != Descriptor.pool,
                region.load(descriptor + Descriptor.tag) >> 32 == kind.rawValue,
                !geometry.holdsDescriptors(chunk)
            else { continue }
            let bitmap = arena.bitmap(kind, chunk)
            for unit in kind.firstUnit..<kind.unitCount where bitmap.isSet(unit) {
                offsets.append(geometry.chunkStart(chunk) + unit << kind.unitShift)
            }
        }
        return offsets
    }

    // MARK: the end of the proof

    /// Compares claims and bitmaps, and proves lists, quotas and workers' states.
    package mutating func finish(pagesInUse: UInt64, inodeSpaceInUse: UInt64) {
        for shard in 0..<geometry.shardCount { checkLists(shard) }
        checkPool()
        for chunk in 0..<min(used, geometry.chunkCount) { checkChunk(chunk) }
        checkShares()
        checkQuota(arena.pages, Superblock.pageQuota, "pages", inUse: pagesInUse)
        checkQuota(arena.inodeSpace, Superblock.inodeQuota, "inode space", inUse: inodeSpaceInUse)
        for index in 0..<arena.workerCount {
            let worker = arena.worker(index)
            if worker.hasRetired() { note("worker \(index): something is still retired") }
        }
    }

    private mutating func checkQuota(
        _ quota: Quota, _ words: UInt64, _ name: String, inUse: UInt64
    ) {
        var free = region.load(words)
        for shard in 0..<geometry.shardCount {
            let (sum, isOver) = free.addingReportingOverflow(
                region.load(geometry.shard(shard) + quota.credit))
            if isOver { note("\(name): shard \(shard) has a credit below zero") }
            free = sum
        }
        if quota.limit &- free != inUse {
            note("\(name): limit \(quota.limit), free \(free), in use \(inUse)")
        }
        if region.load(words + 16) != 0 { note("\(name): the edge is locked") }
        if region.load(words + 24) & 0xFFFF != 0 { note("\(name): an amount is on its way") }
    }

    private mutating func checkChunk(_ chunk: UInt64) {
        let descriptor = geometry.descriptor(chunk)
        if geometry.holdsDescriptors(chunk) {
            if !region.isZero(descriptor, Geometry.descriptorBytes) || places[chunk] != nil {
                note("chunk \(chunk): a chunk of descriptors in use")
            }
            return
        }
        let state = region.load(descriptor + Descriptor.state)
        let count = region.load(descriptor + Descriptor.used)
        let place = places[chunk] ?? "no list"
        if state == Descriptor.pool {
            if count != 0 || claimed[Int(chunk)] != nil {
                note("chunk \(chunk): pooled but in use")
            }
            if place != "pool" { note("chunk \(chunk): pooled but on \(place)") }
            if region.load(descriptor + Descriptor.clean) != Descriptor.notZero,
                !region.isZero(geometry.chunkStart(chunk), Geometry.chunkBytes)
            {
                note("chunk \(chunk): pooled but not zero")
            }
            return
        }
        let tag = region.load(descriptor + Descriptor.tag)
        guard tag >> 32 <= ChunkKind.small.rawValue, tag & 0xFFFF_FFFF < geometry.shardCount
        else { return note("chunk \(chunk): tag \(tag)") }
        let expected =
            state == Descriptor.full
            ? "no list" : state == Descriptor.pending ? "pending" : "active"
        if state > Descriptor.pending || place != expected {
            note("chunk \(chunk): state \(state) but on \(place)")
        }
        checkUnits(ChunkKind.known(tag >> 32), chunk, count)
    }

    private mutating func checkUnits(_ kind: ChunkKind, _ chunk: UInt64, _ count: UInt64) {
        let descriptor = geometry.descriptor(chunk)
        let bitmap = arena.bitmap(kind, chunk)
        if bitmap.population() != count {
            note("chunk \(chunk): \(bitmap.population()) bits set, \(count) counted")
        }
        let words = claimed[Int(chunk)]?.words
        for index in 0..<kind.unitCount / 64 {
            let set = region.load(bitmap.words + index * 8)
            let reached = words?[Int(index)] ?? 0
            if set & ~reached != 0 {
                note("chunk \(chunk): word \(index) of units in use that nothing reaches")
            }
            if reached & ~set != 0 { note("chunk \(chunk): word \(index) reached but free") }
        }
        let hint = region.load(descriptor + Descriptor.hint)
        let clean = region.load(descriptor + Descriptor.clean)
        guard hint >= kind.firstUnit, hint <= kind.unitCount, clean >= kind.firstUnit,
            clean <= kind.unitCount
        else { return note("chunk \(chunk): hint \(hint), clean \(clean)") }
        // A unit that is called clean is handed out without being zeroed.
        let start = geometry.chunkStart(chunk) + clean << kind.unitShift
        if !region.isZero(start, geometry.chunkStart(chunk) + Geometry.chunkBytes - start) {
            note("chunk \(chunk): units from \(clean) on are called clean but are not zero")
        }
    }

    // MARK: lists

    private mutating func checkLists(_ shard: UInt64) {
        // Numbers are made of it by multiplication (`nextGeneration`).
        if region.load(geometry.shard(shard) + Shard.generation) >= 1 << 48 {
            note("shard \(shard): the sequence of its generations")
        }
        for kind in [ChunkKind.pages, .inodes, .small] {
            let lists = geometry.shard(shard) + Shard.lists(kind)
            let tag = kind.rawValue << 32 | shard
            if region.load(lists) != 0 { _ = visit(region.load(lists), "active", tag: tag) }
            var last: UInt64 = 0
            var next = region.load(lists + 8)
            while next != 0, visit(next, "active", tag: tag) {
                last = next
                next = region.load(geometry.descriptor(next - 1) + Descriptor.next)
            }
            if region.load(lists + 16) != last { note("shard \(shard): tail of a list") }
        }
        var next = region.load(geometry.shard(shard) + Shard.pending)
        while next != 0, visit(next, "pending", tag: nil) {
            let descriptor = geometry.descriptor(next - 1)
            if region.load(descriptor + Descriptor.tag) & 0xFFFF_FFFF != shard {
                note("chunk \(next - 1): pending with another shard")
            }
            next = region.load(descriptor + Descriptor.next)
        }
    }

    private mutating func checkPool() {
        var next = region.load(Superblock.pool) & 0xFFFF_FFFF
        while next != 0, visit(next, "pool", tag: nil) {
            next = region.load(geometry.descriptor(next - 1) + Descriptor.next)
        }
    }

    /// Notes where a chunk was found; false when it was found before or does not exist.
    private mutating func visit(_ entry: UInt64, _ place: String, tag: UInt64?) -> Bool {
        let chunk = entry - 1
        guard chunk < used else {
            note("\(place) list: chunk \(chunk) was never handed out")
            return false
        }
        if let before = places[chunk] {
            note("chunk \(chunk): on \(before) and on \(place)")
            return false
        }
        places[chunk] = place
        if let tag, region.load(geometry.descriptor(chunk) + Descriptor.tag) != tag {
            note("chunk \(chunk): on a list of another owner or kind")
        }
        return true
    }
}
