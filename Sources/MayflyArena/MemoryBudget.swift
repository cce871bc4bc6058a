// MemoryBudget: memory is asked for before it is taken (CMayflyMemory/Budget.c), so that its end is an
// error and not the OOM killer.
//
// Two things take memory: a chunk, counted off whole when it is taken; and a page of a private
// mapping of a file, which becomes the process's own with its first write, and is counted off by
// the mark of that write (WrittenPages.swift). A mark cannot fail. So who writes content asks before,
// and every other change is let go ahead while the budget is overdrawn by little.
//
// What fallocate(2) has given out lies in chunks that are counted off and is not touched yet: what
// the system says is left has it still. So it is promised, and counted anew now and then. Huge pages
// come whole with the first write to one of theirs, a node of a map perhaps: where memory is short, the
// system is asked which those are.

internal import CMayflyMemory
internal import Synchronization
package import SystemPackage

/// How far the budget may be overdrawn, in pages. The reserve is twice as much at least.
package enum Overdraft {
    /// By changes of metadata.
    package static var change: Int64 { @_noLocks get { 1024 } }
    /// By removing, which gives more back than it takes.
    package static var removal: Int64 { @_noLocks get { 2048 } }

    /// Whether the budget is overdrawn by so much, also after a second look.
    @inline(never) @_noLocks package static func isBeyond(_ pages: Int64) -> Bool {
        !cmem_budget_has(-pages)
    }
}

extension Region {
    // Words of the lowest page below the base.

    @_noLocks private func controlWord(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe (base - Int(truncatingIfNeeded: Self.markBytes(for: bytes)) + index * 64)
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Bytes from the start that are a private mapping of a file, whose pages cost when they are
    /// written; 0 for none. Changed while everybody is stopped.
    package var privateEnd: UInt64 {
        @_noLocks get { unsafe controlWord(0).pointee.load(ordering: .relaxed) }
    }

    func setPrivateEnd(_ bytes: UInt64) {
        unsafe controlWord(0).pointee.store(bytes, ordering: .relaxed)
    }

    /// Pages behind `privateEnd` that fallocate(2) was given and nobody has written, as counted last.
    var unwrittenPages: UInt64 {
        @_noLocks get { unsafe controlWord(1).pointee.load(ordering: .relaxed) }
    }

    /// Notes pages that were given out and stay untouched.
    @_noLocks package func promise(_ offset: UInt64, pages: UInt64) {
        if offset < privateEnd { return }
        unsafe _ = controlWord(1).pointee.wrappingAdd(pages, ordering: .relaxed)
        cmem_budget_promise(Int64(truncatingIfNeeded: pages))
    }

    @_noLocks func setUnwritten(_ pages: UInt64) {
        let old = unsafe controlWord(1).pointee.exchange(pages, ordering: .relaxed)
        cmem_budget_promise(Int64(truncatingIfNeeded: pages &- old))
    }

    /// Whether anything of the chunk of an offset was ever written.
    @_noLocks func isChunkMarked(_ offset: UInt64) -> Bool {
        unsafe markOfChunk(offset / Geometry.chunkBytes).pointee.load(ordering: .relaxed) != 0
    }

    /// How many of `pages` from `offset` may be written now, from the first on: those that are the
    /// process's own already, and as many others as there is memory for.
    @_noLocks package func affordable(_ offset: UInt64, pages: UInt64) -> UInt64 {
        let end = min(offset + pages << 12, privateEnd)
        if offset >= end { return pages }
        let costly = unmarkedPages(offset, end)
        if costly == 0 || cmem_budget_has(Int64(truncatingIfNeeded: costly)) { return pages }
        let left = cmem_budget_left()
        var count: Int64 = 0
        var page = offset
        while page < end {
            count += Int64(truncatingIfNeeded: unmarkedPages(page, page + Geometry.pageBytes))
            if count > 0 && count > left { return (page - offset) >> 12 }
            page += Geometry.pageBytes
        }
        return pages
    }

    /// Pages from `offset` that take memory when they are written.
    @_noLocks package func cost(_ offset: UInt64, pages: UInt64) -> UInt64 {
        let end = min(offset + pages << 12, privateEnd)
        return offset >= end ? 0 : unmarkedPages(offset, end)
    }

    /// Whether there is memory for so many pages.
    @_noLocks package func isAffordable(_ pages: UInt64) -> Bool {
        pages == 0 || cmem_budget_has(Int64(truncatingIfNeeded: pages))
    }

    @_noLocks private func unmarkedPages(_ offset: UInt64, _ end: UInt64) -> UInt64 {
        var count: UInt64 = 0
        var page = offset >> 12
        while page < end >> 12 {
            if unsafe markOfPage(page).pointee.load(ordering: .relaxed) == 0 { count += 1 }
            page += 1
        }
        return count
    }
}

extension Arena {
    /// Makes the first bytes of the region count as a private mapping of a file.
    func setBase(_ bytes: UInt64) {
        region.setPrivateEnd(bytes)
        if region.unwrittenPages > 0 { recountUnwritten() }
    }

    /// Counts a new chunk off the budget. In a file others see to it that there is room, and a private
    /// mapping takes memory page by page.
    @_noLocks func takeChunkMemory() -> Bool {
        let pages = Int64(truncatingIfNeeded: Geometry.chunkBytes / Geometry.pageBytes)
        if isBuilding || cmem_budget_take(pages) { return true }
        if region.unwrittenPages == 0 { return false }
        // Some of it may have been written since.
        recountUnwritten()
        return cmem_budget_take(pages)
    }

    /// Counts what was given out and not touched.
    ///
    /// - Complexity: O(chunks), where there was any; no more than a load otherwise.
    @_noLocks package func recountUnwritten() {
        if region.unwrittenPages == 0 { return }
        // System calls for each of them, but no more than take 10 ms.
        var asked = cmem_budget_is_tight() ? 1024 : 0
        var pages: UInt64 = 0
        var chunk = region.privateEnd == 0 ? 0 : geometry.chunk(containing: region.privateEnd)
        let end = region.load(Superblock.freshChunk)
        while chunk < end {
            let descriptor = geometry.descriptor(chunk)
            if region.load(descriptor + Descriptor.state) != Descriptor.pool,
                region.load(descriptor + Descriptor.tag) >> 32 == ChunkKind.pages.rawValue
            {
                let unwritten = unwrittenPages(ofChunk: chunk, asksSystem: false)
                let asks =
                    unwritten > 0 && asked > 0 && region.isChunkMarked(geometry.chunkStart(chunk))
                if asks { asked -= 1 }
                pages += asks ? unwrittenPages(ofChunk: chunk, asksSystem: true) : unwritten
            }
            chunk += 1
        }
        region.setUnwritten(pages)
    }

    /// - Parameter asksSystem: leaves out what is in memory, whether anybody has written it or not.
    @_noLocks
    private func unwrittenPages(ofChunk chunk: UInt64, asksSystem: Bool) -> UInt64 {
        let words = geometry.descriptor(chunk) + Descriptor.bitmap
        let first = geometry.chunkStart(chunk) >> 15
        let start = geometry.chunkStart(chunk)
        var resident: UInt64 = 0
        var count: UInt64 = 0
        var eight: UInt64 = 0
        while eight < 64 {
            if asksSystem && eight & 7 == 0 {
                resident = unsafe cmem_resident(region.pointer(start + eight << 15))
            }
            let used = region.load(words + (eight >> 3) * 8) >> ((eight & 7) * 8) & 0xFF
            if used != 0 {
                // A byte of 0 or 1 for each page, the first in the lowest: put together to bits.
                let marks = region.marksOfEight(first + eight).byteSwapped
                let written = marks &* 0x0102_0408_1020_4080 >> 56
                let here = resident >> ((eight & 7) * 8)
                count += UInt64((used & ~written & ~here).nonzeroBitCount)
            }
            eight += 1
        }
        return count
    }
}

/// Memory for something whose size is known before, promised until it is touched.
package struct MemoryClaim: ~Copyable {
    private static let step: UInt64 = 8 << 20
    private var left: Int64
    private var unchecked: UInt64 = 0

    /// - Throws: `ENOMEM` when there is less.
    package init(bytes: UInt64) throws(Errno) {
        let pages = Int64(clamping: (bytes + Geometry.pageBytes - 1) / Geometry.pageBytes)
        guard cmem_budget_claim(pages) == 0 else { throw .noMemory }
        left = pages
    }

    /// Says that so much of it is touched now.
    ///
    /// - Throws: `ENOMEM` when somebody else, who knows nothing of claims, has taken what there was.
    package mutating func touched(_ bytes: UInt64) throws(Errno) {
        let pages = min(left, Int64(clamping: bytes / Geometry.pageBytes))
        left -= pages
        cmem_budget_promise(-pages)
        unchecked += bytes
        if unchecked < Self.step { return }
        unchecked = 0
        cmem_budget_refresh()
        if cmem_budget_left() < -Overdraft.change { throw .noMemory }
    }

    /// Ends it before its scope does.
    package consuming func end() {}

    deinit { cmem_budget_promise(-left) }

    /// Bytes that could be claimed now.
    package static var available: UInt64 { UInt64(cmem_budget_available()) * Geometry.pageBytes }
}
