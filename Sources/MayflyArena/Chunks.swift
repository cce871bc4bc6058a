// Chunks: who owns which 2 MiB of the region, and the lists that lead to free units.
//
// A chunk belongs to one shard. Its owner alone hands out units; anyone frees them. States:
//
//     pool     nobody's, on the pool's stack or never handed out; zeros, or marked as not
//     active   the owner's: its current chunk, or on its list of chunks with free units
//     full     the owner's, on no list
//     pending  the owner's, on its stack of chunks that others gave room to
//
// Ordering (descriptor and shard words):
//   used      add/subtract by anyone, acquire and release
//   state     compare-and-swap: full -> pending by whoever frees past the threshold, full -> active
//             and pending -> active by the owner, pool <-> active by the owner
//   pending   stack head: pushed by anyone with release, taken whole by the owner with acquire
//   pool      stack head with a tag against ABA; the pushed chunk's memory is zero by then
//   others    owner only
//
// The owner of a shard is whoever has entered its worker (Epochs.swift).

internal import CMayflyMemory

/// Words of a chunk descriptor, by byte offset.
enum Descriptor {
    static var used: UInt64 { @_noLocks get { 0 } }
    static var state: UInt64 { @_noLocks get { 8 } }
    /// kind << 32 | owning shard; changes only while the chunk is nobody's.
    static var tag: UInt64 { @_noLocks get { 16 } }
    /// Next chunk + 1 on the list or stack that the state names.
    static var next: UInt64 { @_noLocks get { 24 } }
    /// Where the owner's next search starts.
    static var hint: UInt64 { @_noLocks get { 32 } }
    /// Units from here on were never used since the chunk was zero. `notZero` in the pool.
    static var clean: UInt64 { @_noLocks get { 40 } }
    /// Of a chunk in the pool: what is in it is not known.
    static var notZero: UInt64 { @_noLocks get { .max } }
    /// Of a chunk of pages: where the counts of its shared pages are, or 0 (SharedPages.swift).
    static var shares: UInt64 { @_noLocks get { 48 } }
    /// 512 bits of the `pages` kind.
    static var bitmap: UInt64 { @_noLocks get { 64 } }

    static var pool: UInt64 { @_noLocks get { 0 } }
    static var active: UInt64 { @_noLocks get { 1 } }
    static var full: UInt64 { @_noLocks get { 2 } }
    static var pending: UInt64 { @_noLocks get { 3 } }
}

/// Words of a shard header, by byte offset.
enum Shard {
    static var pageCredit: UInt64 { @_noLocks get { 0 } }
    static var inodeCredit: UInt64 { @_noLocks get { 8 } }
    /// Sequence from which inode generations are made.
    static var generation: UInt64 { @_noLocks get { 16 } }
    /// Per kind: current chunk + 1, head + 1 and tail + 1 of the chunks with free units.
    @_noLocks static func lists(_ kind: ChunkKind) -> UInt64 { 64 + kind.rawValue * 24 }
    static var pending: UInt64 { @_noLocks get { 192 } }
}

/// Units that were handed out.
@usableFromInline @frozen package struct Run: Sendable {
    /// Offset of the first unit in bytes.
    @usableFromInline package let offset: UInt64
    /// Number of units.
    @usableFromInline package let count: UInt64
    /// Whether the memory is known to be zero.
    @usableFromInline package let isClean: Bool
}

extension ArenaWorker {
    // MARK: taking

    /// Hands out exactly `count` units in one run.
    ///
    /// - Precondition: `count` fits a chunk; the caller has entered the worker.
    /// - Returns: nil when the region has no chunk left.
    /// - Complexity: O(1) expected; O(words of the bitmap) in a fragmented chunk.
    @_noLocks package func allocate(_ kind: ChunkKind, count: UInt64) -> Run? {
        assert(count > 0 && count <= kind.capacity, "ArenaWorker.allocate: \(count) units")
        let lists = header + Shard.lists(kind)
        let current = region.load(lists)
        if current != 0, let run = take(kind, chunk: current - 1, count: count) { return run }
        return allocateSlowly(kind, count: count)
    }

    /// Hands out between 1 and `count` pages in one run, behind `goal` if that page is free.
    ///
    /// - Parameter goal: offset of the page wanted first, or 0.
    @_noLocks package func allocatePages(atMost count: UInt64, goal: UInt64) -> Run? {
        assert(count > 0, "ArenaWorker.allocatePages: \(count)")
        let wanted = min(count, ChunkKind.pages.capacity)
        if goal != 0, let run = extend(goal, atMost: wanted) { return run }
        let lists = header + Shard.lists(.pages)
        let current = region.load(lists)
        if current != 0, let run = takePages(current - 1, atMost: wanted) { return run }
        guard let first = allocateSlowly(.pages, count: 1) else { return nil }
        if wanted == 1 { return first }
        guard let rest = extend(first.offset + Geometry.pageBytes, atMost: wanted - 1) else {
            return first
        }
        return Run(
            offset: first.offset, count: 1 + rest.count, isClean: first.isClean && rest.isClean)
    }

    /// Takes the run that starts at `goal`, when its chunk is ours and the page is free.
    @_noLocks private func extend(_ goal: UInt64, atMost count: UInt64) -> Run? {
        let geometry = arena.geometry
        guard goal >= geometry.firstChunkOffset, goal < geometry.bytes else { return nil }
        let chunk = geometry.chunk(containing: goal)
        let descriptor = geometry.descriptor(chunk)
        guard region.load(descriptor + Descriptor.tag) == index,  // kind 0: pages
            region.load(descriptor + Descriptor.state) == Descriptor.active
        else { return nil }
        let unit = (goal - geometry.chunkStart(chunk)) >> ChunkKind.pages.unitShift
        let clear = arena.bitmap(.pages, chunk).clearRun(from: unit, atMost: count)
        return clear == 0 ? nil : claim(.pages, chunk: chunk, unit: unit, count: clear)
    }

    @_noLocks private func take(_ kind: ChunkKind, chunk: UInt64, count: UInt64) -> Run? {
        let descriptor = arena.geometry.descriptor(chunk)
        if kind.capacity - region.load(descriptor + Descriptor.used) < count { return nil }
        let bitmap = arena.bitmap(kind, chunk)
        let hint = region.load(descriptor + Descriptor.hint)
        var unit = bitmap.findRun(of: count, from: hint)
        if unit == nil, hint > kind.firstUnit {
            unit = bitmap.findRun(of: count, from: kind.firstUnit)
        }
        guard let unit else { return nil }
        return claim(kind, chunk: chunk, unit: unit, count: count)
    }

    /// The longest wish first, whatever is free second.
    @_noLocks private func takePages(_ chunk: UInt64, atMost count: UInt64) -> Run? {
        if count > 1, let run = take(.pages, chunk: chunk, count: count) { return run }
        guard let first = take(.pages, chunk: chunk, count: 1) else { return nil }
        if count == 1 { return first }
        guard let rest = extend(first.offset + Geometry.pageBytes, atMost: count - 1) else {
            return first
        }
        return Run(
            offset: first.offset, count: 1 + rest.count, isClean: first.isClean && rest.isClean)
    }

    @_noLocks
    private func claim(_ kind: ChunkKind, chunk: UInt64, unit: UInt64, count: UInt64) -> Run {
        let descriptor = arena.geometry.descriptor(chunk)
        arena.bitmap(kind, chunk).set(unit, count)
        region.add(descriptor + Descriptor.used, count)
        region.store(descriptor + Descriptor.hint, unit + count)
        let clean = region.load(descriptor + Descriptor.clean)
        if unit + count > clean { region.store(descriptor + Descriptor.clean, unit + count) }
        return Run(
            offset: arena.geometry.chunkStart(chunk) + unit << kind.unitShift, count: count,
            isClean: unit >= clean)
    }

    @inline(never) @_noLocks
    private func allocateSlowly(_ kind: ChunkKind, count: UInt64) -> Run? {
        drainPending()
        let lists = header + Shard.lists(kind)
        let old = region.load(lists)
        if old != 0 {
            region.store(lists, 0)
            setAside(kind, old - 1)
        }
        // A few chunks with room, then a new one: a search must stay short.
        var tries = 0
        while tries < 4, let chunk = popPartial(kind) {
            if let run = take(kind, chunk: chunk, count: count) {
                region.store(lists, chunk + 1)
                return run
            }
            setAside(kind, chunk)
            tries += 1
        }
        guard let chunk = arena.takeChunk() else { return scrapeAll(kind, count: count) }
        let descriptor = arena.geometry.descriptor(chunk)
        var isZero = region.load(descriptor + Descriptor.clean) != Descriptor.notZero
        if !isZero && kind.rawValue == ChunkKind.inodes.rawValue {
            // Whoever looks at a slot knows by its first word that it holds no inode.
            clear(chunk)
            isZero = true
        } else if !isZero && kind.firstUnit > 0 {
            // The bitmap.
            region.zero(arena.geometry.chunkStart(chunk), kind.firstUnit << kind.unitShift)
        }
        region.store(descriptor + Descriptor.tag, kind.rawValue << 32 | index)
        region.store(descriptor + Descriptor.hint, kind.firstUnit)
        region.store(descriptor + Descriptor.clean, isZero ? kind.firstUnit : kind.unitCount)
        region.storeRelease(descriptor + Descriptor.state, Descriptor.active)
        region.store(lists, chunk + 1)
        return take(kind, chunk: chunk, count: count)
    }

    /// Zeroes a chunk that shows the file of a private mapping. Pages that are zero stay the file's.
    ///
    /// - Complexity: O(chunk); pages that were never used are holes of the file, and are only read.
    @inline(never) @_noLocks private func clear(_ chunk: UInt64) {
        let end = arena.geometry.chunkStart(chunk + 1)
        var page = arena.geometry.chunkStart(chunk)
        while page < end {
            let memory = unsafe region.pointer(page)
            // Where others may change the file, zeros may be something else the next moment.
            let isZero =
                unsafe !arena.isGuarded && memory.load(as: UInt64.self) == 0
                && cmem_compare(memory, memory + 8, Int(Geometry.pageBytes) - 8) == 0
            if !isZero { region.zero(page, Geometry.pageBytes) }
            page += Geometry.pageBytes
        }
    }

    /// Looks for room in every chunk there is, when there is no new one: in this shard's first, then in
    /// those of others, in the place of whoever sleeps.
    ///
    /// - Complexity: O(chunks) and their bitmaps; what is found serves what is asked next.
    @inline(never) @_noLocks
    private func scrapeAll(_ kind: ChunkKind, count: UInt64) -> Run? {
        if let run = scrape(kind, count: count) { return run }
        var other: UInt64 = 0
        while other < UInt64(arena.workerCount) {
            let neighbour = ArenaWorker(arena: arena, index: other)
            var tries: UInt64 = other == index ? 0 : 16
            while tries > 0 {
                if neighbour.tryEnter() {
                    let run = neighbour.scrape(kind, count: count)
                    neighbour.leave()
                    if let run { return run }
                    break
                }
                // It waits perhaps for a lock that the caller holds: not for ever.
                cmem_yield()
                tries -= 1
            }
            other += 1
        }
        return nil
    }

    /// Takes a run from any chunk of this shard, also of those that count as full.
    @_noLocks private func scrape(_ kind: ChunkKind, count: UInt64) -> Run? {
        drainPending()
        let lists = header + Shard.lists(kind)
        let current = region.load(lists)
        if current != 0, let run = take(kind, chunk: current - 1, count: count) { return run }
        let last = region.load(lists + 16)
        var isLast = last == 0
        while !isLast, let chunk = popPartial(kind) {
            isLast = chunk + 1 == last
            if let run = takeAside(kind, chunk, count: count) { return run }
        }
        let owned = kind.rawValue << 32 | index
        let end = region.load(Superblock.freshChunk)
        var chunk: UInt64 = 0
        while chunk < end {
            let descriptor = arena.geometry.descriptor(chunk)
            if region.load(descriptor + Descriptor.state) == Descriptor.full,
                region.load(descriptor + Descriptor.tag) == owned,
                kind.capacity - region.load(descriptor + Descriptor.used) >= count,
                region.exchange(
                    descriptor + Descriptor.state, expected: Descriptor.full,
                    desired: Descriptor.active),
                let run = takeAside(kind, chunk, count: count)
            {
                return run
            }
            chunk += 1
        }
        return nil
    }

    /// Takes from a chunk that is on no list, and makes it the current one if there is none.
    @_noLocks
    private func takeAside(_ kind: ChunkKind, _ chunk: UInt64, count: UInt64) -> Run? {
        let run = take(kind, chunk: chunk, count: count)
        let lists = header + Shard.lists(kind)
        if run != nil, region.load(lists) == 0 {
            region.store(lists, chunk + 1)
        } else {
            setAside(kind, chunk)
        }
        return run
    }

    // MARK: giving back

    /// Frees a run of units, of whatever shard.
    ///
    /// - Precondition: no reader can still reach them (retire first, Epochs.swift).
    /// - Complexity: O(count / 64) atomic operations.
    @_noLocks package func free(_ kind: ChunkKind, _ offset: UInt64, count: UInt64) {
        let geometry = arena.geometry
        var at = offset
        var left = count
        while left > 0 {
            let chunk = geometry.chunk(containing: at)
            let unit = (at - geometry.chunkStart(chunk)) >> kind.unitShift
            let here = min(left, kind.unitCount - unit)
            let shares = kind.rawValue == 0 ? arena.shareTable(chunk) : 0
            if shares == 0 {
                freeInside(kind, chunk: chunk, unit: unit, count: here)
            } else {
                freeUnshared(shares, chunk: chunk, unit: unit, count: here)
            }
            at += here << kind.unitShift
            left -= here
        }
    }

    @_noLocks
    func freeInside(_ kind: ChunkKind, chunk: UInt64, unit: UInt64, count: UInt64) {
        let descriptor = arena.geometry.descriptor(chunk)
        arena.bitmap(kind, chunk).clear(unit, count)
        let used = region.subtract(descriptor + Descriptor.used, count)
        guard region.loadAcquire(descriptor + Descriptor.state) == Descriptor.full,
            kind.capacity - used >= kind.capacity / 4,
            region.exchange(
                descriptor + Descriptor.state, expected: Descriptor.full,
                desired: Descriptor.pending)
        else { return }
        // Ours alone until it is pushed: only the owner takes a chunk out of `pending`.
        let owner = region.load(descriptor + Descriptor.tag) & 0xFFFF
        let head = arena.geometry.shard(owner) + Shard.pending
        var first = region.load(head)
        repeat {
            first = region.load(head)
            region.store(descriptor + Descriptor.next, first)
        } while !region.exchange(head, expected: first, desired: chunk + 1)
    }

    // MARK: lists of the owner

    /// A chunk that could not serve: on no list when nearly full, else to the end of the list.
    @_noLocks private func setAside(_ kind: ChunkKind, _ chunk: UInt64) {
        let descriptor = arena.geometry.descriptor(chunk)
        let room = kind.capacity - region.load(descriptor + Descriptor.used)
        guard room < kind.capacity / 8 else { return appendPartial(kind, chunk) }
        region.storeRelease(descriptor + Descriptor.state, Descriptor.full)
        // Units freed before the state was seen would be forgotten: look once more, by an addition.
        // Additions to one word are in one order, so either this one sees the other's, or whoever
        // frees next sees the state; a mere load could run ahead of the store above.
        let now = kind.capacity - region.add(descriptor + Descriptor.used, 0)
        if now >= kind.capacity / 4,
            region.exchange(
                descriptor + Descriptor.state, expected: Descriptor.full,
                desired: Descriptor.active)
        {
            appendPartial(kind, chunk)
        }
    }

    @_noLocks func appendPartial(_ kind: ChunkKind, _ chunk: UInt64) {
        let lists = header + Shard.lists(kind)
        region.store(arena.geometry.descriptor(chunk) + Descriptor.next, 0)
        let tail = region.load(lists + 16)
        if tail == 0 {
            region.store(lists + 8, chunk + 1)
        } else {
            region.store(arena.geometry.descriptor(tail - 1) + Descriptor.next, chunk + 1)
        }
        region.store(lists + 16, chunk + 1)
    }

    @_noLocks private func popPartial(_ kind: ChunkKind) -> UInt64? {
        let lists = header + Shard.lists(kind)
        let first = region.load(lists + 8)
        guard first != 0 else { return nil }
        let next = region.load(arena.geometry.descriptor(first - 1) + Descriptor.next)
        region.store(lists + 8, next)
        if next == 0 { region.store(lists + 16, 0) }
        return first - 1
    }

    /// Brings chunks that others gave room to back to the lists.
    @_noLocks private func drainPending() {
        let head = header + Shard.pending
        guard region.load(head) != 0 else { return }
        var next = region.swap(head, 0)
        while next != 0 {
            let chunk = next - 1
            let descriptor = arena.geometry.descriptor(chunk)
            // Read before the state changes: afterwards it may be pushed again.
            next = region.load(descriptor + Descriptor.next)
            let kind = ChunkKind.known(region.load(descriptor + Descriptor.tag) >> 32)
            region.storeRelease(descriptor + Descriptor.state, Descriptor.active)
            appendPartial(kind, chunk)
        }
    }

    /// Gives the memory of empty chunks back to the system and the chunks to the pool.
    ///
    /// - Parameter onEmptyInodes: called for a chunk of inodes, while nobody can take it.
    /// - Returns: the number of chunks given back.
    /// - Precondition: the caller has entered the worker. Not for the request path.
    package func trim(_ onEmptyInodes: (UInt64) -> Void = { _ in }) -> Int {
        drainPending()
        var given = 0
        for kind in [ChunkKind.pages, .inodes, .small] {
            let lists = header + Shard.lists(kind)
            var left = 0
            var chunk = region.load(lists + 8)
            while chunk != 0 {
                left += 1
                chunk = region.load(arena.geometry.descriptor(chunk - 1) + Descriptor.next)
            }
            while left > 0, let chunk = popPartial(kind) {
                left -= 1
                if region.loadAcquire(arena.geometry.descriptor(chunk) + Descriptor.used) == 0 {
                    if kind.rawValue == ChunkKind.inodes.rawValue { onEmptyInodes(chunk) }
                    dropShareTable(kind, chunk)
                    arena.giveBack(chunk)
                    given += 1
                } else {
                    appendPartial(kind, chunk)
                }
            }
            let current = region.load(lists)
            if current != 0,
                region.loadAcquire(arena.geometry.descriptor(current - 1) + Descriptor.used) == 0
            {
                region.store(lists, 0)
                if kind.rawValue == ChunkKind.inodes.rawValue { onEmptyInodes(current - 1) }
                dropShareTable(kind, current - 1)
                arena.giveBack(current - 1)
                given += 1
            }
        }
        return given
    }
}
