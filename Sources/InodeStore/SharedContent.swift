// SharedContent: pages that several files have in common, and copying them when one is to be written
// (SharedPages.swift counts them).
//
// A copy within the store shares the pages of its source. Each file is charged for all of its pages, as if
// they were its own: st_blocks and the limit are what they would be, and a later write needs nothing that
// was not promised. What is written is copied first, page by page. Behind the end of a file its last page
// holds zeros, whoever shares it.

internal import CMayflyMemory
internal import MayflyArena
internal import SystemPackage

extension StoreWorker {
    /// Has a file share pages of another, from where both ranges begin.
    ///
    /// - Parameters:
    ///   - count: bytes, at most what the source has behind `start`.
    /// - Returns: bytes; 0 where the next ones are to be copied: in a blob or a hole, where pages do not
    ///   lie alike, or where the target has something already.
    /// - Precondition: both inodes are locked.
    /// - Throws: `ENOSPC`.
    @_noLocks func sharePages(
        of source: InodeOffset, at start: UInt64, to target: InodeOffset, at targetStart: UInt64,
        count: UInt64
    ) throws(Errno) -> UInt64 {
        let map = MapWord(region.load(source + Inode.content))
        let field = target + Inode.content
        guard (start | targetStart) & 4095 == 0, map.form > MapWord.blobForm,
            MapWord(region.load(field)).form != MapWord.blobForm
        else { return 0 }
        var wanted = count >> 12
        // The last page of both.
        if count & 4095 != 0, start + count == region.load(source + Inode.size),
            targetStart + count >= region.load(target + Inode.size)
        {
            wanted += 1
        }
        let index = start >> 12
        let slot = mapSlot(map, index)
        guard wanted > 0, slot != 0 else { return 0 }
        let first = region.load(slot)
        if first == 0 || first & Content.unwritten != 0 { return 0 }
        wanted = min(wanted, entriesInLeaf(map, from: index))
        var run: UInt64 = 1
        while run < wanted && region.load(slot + run * 8) == first + run << 12 { run += 1 }

        let to = targetStart >> 12
        _ = try ensureSlot(field, min(to + run - 1, to | 511))
        let entry = try ensureSlot(field, to)
        run = min(run, entriesInLeaf(MapWord(region.load(field)), from: to))
        var holes: UInt64 = 0
        while holes < run && region.load(entry + holes * 8) == 0 { holes += 1 }
        if holes == 0 { return 0 }
        let quota = store.arena.pages
        let reserved = quota.reserve(atMost: holes, shard: shard)
        let shared = reserved == 0 ? 0 : worker.share(first, count: reserved)
        quota.release(reserved - shared, shard: shard)
        if shared == 0 {
            dropLeafIfEmpty(MapWord(region.load(field)), to)
            if reserved == 0 { throw .noSpace }
            return 0
        }
        var published: UInt64 = 0
        while published < shared {
            region.storeRelease(entry + published * 8, first + published << 12)
            published += 1
        }
        region.store(target + Inode.pages, region.load(target + Inode.pages) + shared)
        return min(count, shared << 12)
    }

    /// Pages that take the place of others, which are charged already.
    ///
    /// - Returns: nil where there is no memory for one.
    @_noLocks func replacementPages(_ inode: InodeOffset, at index: UInt64, atMost count: UInt64)
        -> Run?
    {
        let goal = index > 0 ? previousPage(inode, index) : 0
        guard worker.canRetire(16), let run = worker.allocatePages(atMost: count, goal: goal) else {
            return nil
        }
        if region.affordable(run.offset, pages: run.count) == run.count { return run }
        worker.free(.pages, run.offset, count: run.count)
        return nil
    }

    /// Copies source[done..<until] into pages that take the place of shared ones, and what it does not cover
    /// from those.
    ///
    /// - Parameter start: the position in the file at which both begin.
    @_noLocks func replace(
        _ old: UInt64, by own: Run, start: UInt64, offset: UInt64, from source: UnsafeRawPointer,
        done: UInt64, until: UInt64
    ) {
        let head = offset + done - start
        let end = head + until - done
        let tail = own.count << 12 - end
        if head > 0 {
            unsafe copyContent(
                region.pointer(writing: own.offset, head), region.pointer(old), head)
        }
        if tail > 0 {
            unsafe copyContent(
                region.pointer(writing: own.offset + end, tail), region.pointer(old + end), tail)
        }
        unsafe copyContent(
            region.pointer(writing: own.offset + head, end - head), source + Int(done), end - head)
    }

    /// Gives a file pages of its own where it shares those of a range, so that they can be changed in
    /// their place.
    ///
    /// - Parameter end: at least `start`.
    /// - Precondition: the inode is locked.
    /// - Throws: `ENOSPC` where there is no memory for a copy; `EIO` of a changed image. What was replaced until then reads as before.
    @_noLocks func ownPages(_ inode: InodeOffset, from start: UInt64, to end: UInt64) throws(Errno)
    {
        let map = MapWord(region.load(inode + Inode.content))
        if map.form <= MapWord.blobForm || start >= end { return }
        var next = mapNext(map, from: start >> 12)
        while let found = next, found.index << 12 < end {
            let isWritten = found.value & Content.unwritten == 0
            if isWritten && store.arena.isShared(found.value) {
                guard let own = replacementPages(inode, at: found.index, atMost: 1) else {
                    throw .noSpace
                }
                do throws(Errno) {
                    // Of an image that others may change it comes to memory first.
                    if store.arena.isGuarded {
                        try store.arena.fetch(found.value, Geometry.pageBytes)
                    }
                } catch {
                    worker.free(.pages, own.offset, count: 1)
                    throw error
                }
                unsafe copyContent(
                    region.pointer(writing: own.offset, Geometry.pageBytes),
                    region.pointer(found.value), Geometry.pageBytes)
                region.storeRelease(mapSlot(map, found.index), own.offset)
                retire(.pages, found.value, units: 1)
            }
            next = mapNext(map, from: found.index + 1)
        }
    }

    /// The same for the page in which a position lies, if it is to be zeroed on one side of it.
    ///
    /// - Throws: `ENOSPC`.
    @_noLocks func ownPage(_ inode: InodeOffset, at position: UInt64) throws(Errno) {
        if position & 4095 != 0 { try ownPages(inode, from: position, to: position + 1) }
    }
}
