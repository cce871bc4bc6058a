// Allocation: what moves or makes content without a buffer of the caller's: fallocate(2), lseek(2)
// for holes and data, and copy_file_range(2).

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// Modes of fallocate(2) that the store knows.
package enum AllocateMode {
    package static var keepSize: UInt32 { @_noLocks get { 1 } }
    package static var punchHole: UInt32 { @_noLocks get { 2 } }
    package static var zeroRange: UInt32 { @_noLocks get { 0x10 } }
}

extension StoreWorker {
    // MARK: fallocate(2)

    /// Allocates, punches or zeroes a range.
    ///
    /// - Throws: `EOPNOTSUPP` for a mode that is not known, `ENOSPC` (nothing is changed then),
    ///   `EPERM`, `EFBIG`, `EINVAL`, `ESTALE`.
    /// - Source: fallocate(2); mm/shmem.c, `shmem_fallocate()`.
    @_noLocks package func allocate(
        _ node: NodeID, offset: UInt64, length: UInt64, mode: UInt32
    ) throws(Errno) {
        let inode = try regular(node)
        let keep = mode & AllocateMode.keepSize != 0
        let what = mode & ~AllocateMode.keepSize
        let isPunch = what == AllocateMode.punchHole
        let isZero = what == AllocateMode.zeroRange
        guard what == 0 || (isPunch && keep) || isZero else { throw .notSupportedOnSocket }
        guard length > 0, offset <= Int64.max else { throw .invalidArgument }
        guard length <= UInt64(Int64.max) - offset else { throw .fileTooLarge }
        lock(inode)
        defer {
            changes.commit()
            unlock(inode)
        }
        let flags = region.load32(inode + Inode.flags)
        if flags & InodeFlags.immutable != 0 { throw .notPermitted }
        if flags & InodeFlags.append != 0 && what != 0 { throw .notPermitted }
        let end = offset + length
        if what != 0 {
            try fetchPage(inode, at: offset)
            try fetchPage(inode, at: end)
            try ownPage(inode, at: offset)
            try ownPage(inode, at: end)
        }
        if isPunch {
            guard canDropPages(inode, from: max(1, offset >> 12)) else { throw .noMemory }
            punchLocked(inode, from: offset, to: end)
        } else {
            guard isAffordable(inode, from: offset, to: end, zeroing: isZero) else {
                throw .noSpace
            }
            if isZero { try ownPages(inode, from: offset, to: end) }
            try allocateLocked(inode, from: offset, to: end)
            if isZero { zeroLocked(inode, from: offset, to: end) }
        }
        beginUpdate(inode)
        if !keep && end > region.load(inode + Inode.size) { changes.store(inode + Inode.size, end) }
        let now = cmem_now()
        moveTimes(inode, now)
        endUpdate(inode)
        if flags & InodeFlags.capability != 0 { dropCapability(inode) }
    }

    @_noLocks private func punchLocked(_ inode: InodeOffset, from start: UInt64, to end: UInt64) {
        let map = MapWord(region.load(inode + Inode.content))
        if map == .empty { return }
        if map.form == MapWord.blobForm {
            let bytes = map.detail * 64
            if start == 0 && end >= 4096 {
                changes.storeRelease(inode + Inode.content, 0)
                dischargePages(inode, 1)
                worker.retire(Retired(what: Reclaim.content, count: 1, offset: map.rawValue))
            } else if start < bytes {
                zeroLocked(inode, from: start, to: min(end, bytes))
            }
            return
        }
        let first = (start + 4095) >> 12
        let last = end >> 12
        if first > last {
            zeroLocked(inode, from: start, to: end)
            return
        }
        zeroLocked(inode, from: start, to: first << 12)
        zeroLocked(inode, from: last << 12, to: end)
        if first < last { dropPages(inode, from: first, to: last) }
    }

    /// Whether there is memory to write zeros into the pages of a range that were allocated before,
    /// and with `zeroing` into all that there are.
    @_noLocks private func isAffordable(
        _ inode: InodeOffset, from start: UInt64, to end: UInt64, zeroing: Bool
    ) -> Bool {
        let map = MapWord(region.load(inode + Inode.content))
        if region.privateEnd == 0 || map.form <= MapWord.blobForm { return true }
        var costly: UInt64 = 0
        var next = mapNext(map, from: start >> 12)
        while let found = next, found.index << 12 < end {
            if zeroing || found.value & Content.unwritten != 0 {
                costly += region.cost(found.value & ~Content.unwritten, pages: 1)
            }
            next = mapNext(map, from: found.index + 1)
        }
        return region.isAffordable(costly)
    }

    /// Makes pages for the holes of a range; they count as holes until they are written.
    ///
    /// All or nothing: what can fail is done before anything can be seen.
    @_noLocks
    private func allocateLocked(
        _ inode: InodeOffset, from start: UInt64, to end: UInt64
    ) throws(Errno) {
        let field = inode + Inode.content
        let first = start >> 12
        let last = (end - 1) >> 12
        if MapWord(region.load(field)).form == MapWord.blobForm {
            try convertBlob(inode, MapWord(region.load(field)))
        }
        var present: UInt64 = 0
        var index = first
        while let found = mapNext(MapWord(region.load(field)), from: index), found.index <= last {
            present += 1
            index = found.index + 1
        }
        let quota = store.arena.pages
        let missing = last - first + 1 - present
        guard quota.reserve(missing, shard: shard) else { throw .noSpace }
        let before = region.load(field)
        // Where others are in between, what is new must be known from them until it is done.
        let isMarked = present > 0 || changes.areNoted
        let tag = isMarked ? Content.unwritten | Content.new : Content.unwritten
        do throws(Errno) {
            try fillHoles(field, from: first, to: last, tag: tag)
        } catch {
            takeBack(field, before, from: first, to: last, tag: tag)
            quota.release(missing, shard: shard)
            throw error
        }
        if isMarked { finishAllocation(field, from: first, to: last) }
        region.store(inode + Inode.pages, region.load(inode + Inode.pages) + missing)
    }

    /// - Throws: `ENOSPC` when it came to an end in the middle.
    @_noLocks private func fillHoles(
        _ field: UInt64, from first: UInt64, to last: UInt64, tag: UInt64
    ) throws(Errno) {
        var index = first
        while index <= last {
            // The whole leaf that is needed at once, not by doublings.
            _ = try ensureSlot(field, min(last, index | 511))
            let slot = try ensureSlot(field, index)
            let entries = min(
                entriesInLeaf(MapWord(region.load(field)), from: index), last - index + 1)
            var entry: UInt64 = 0
            while entry < entries {
                var holes: UInt64 = 0
                while entry + holes < entries && region.load(slot + (entry + holes) * 8) == 0 {
                    holes += 1
                }
                if holes == 0 {
                    entry += 1
                    continue
                }
                guard let run = worker.allocatePages(atMost: holes, goal: 0) else {
                    throw .noSpace
                }
                region.promise(run.offset, pages: run.count)
                var published: UInt64 = 0
                while published < run.count {
                    region.storeRelease(
                        slot + (entry + published) * 8, (run.offset + published << 12) | tag)
                    published += 1
                }
                entry += run.count
            }
            index += entries
        }
    }

    /// Gives back what `fillHoles` took before it failed. No reader has followed an entry that says
    /// that its page was never written.
    @_noLocks private func takeBack(
        _ field: UInt64, _ before: UInt64, from first: UInt64, to last: UInt64, tag: UInt64
    ) {
        let map = MapWord(region.load(field))
        var index = first
        while let found = mapNext(map, from: index), found.index <= last {
            index = found.index + 1
            if found.value & (Content.unwritten | Content.new) != tag { continue }
            region.storeRelease(mapSlot(map, found.index), 0)
            worker.free(.pages, found.value & ~tag, count: 1)
        }
        index = first
        while index <= last {
            dropLeafIfEmpty(map, index)
            index = (index | 511) + 1
        }
        if before == 0 && map != .empty {
            changes.storeRelease(field, 0)
            worker.retire(Retired(what: Reclaim.content, count: 1, offset: map.rawValue))
        }
        store.arena.recountUnwritten()
    }

    /// Makes new pages as all others, and those data that were allocated before.
    @_noLocks
    private func finishAllocation(_ field: UInt64, from first: UInt64, to last: UInt64) {
        let map = MapWord(region.load(field))
        var index = first
        while let found = mapNext(map, from: index), found.index <= last {
            let slot = mapSlot(map, found.index)
            if found.value & Content.new != 0 {
                region.storeRelease(slot, found.value & ~Content.new)
            } else {
                initializePage(slot)
            }
            index = found.index + 1
        }
    }

    /// A page that is allocated a second time becomes data: zeros that were written.
    ///
    /// - Source: mm/shmem.c, `shmem_get_folio_gfp()` with SGP_FALLOC.
    @_noLocks private func initializePage(_ word: UInt64) {
        let value = region.load(word)
        guard value & Content.unwritten != 0 else { return }
        let page = value & ~Content.unwritten
        region.zero(page, Geometry.pageBytes)
        region.storeRelease(word, page)
    }

    // MARK: lseek(2)

    /// The next offset with data (`SEEK_DATA`) or without (`SEEK_HOLE`).
    ///
    /// - Throws: `ENXIO` at or beyond the end of the file, and when no data follows.
    @_noLocks package func seek(_ node: NodeID, offset: UInt64, hole: Bool) throws(Errno) -> UInt64
    {
        let inode = try regular(node)
        let size = region.load(inode + Inode.size)
        guard offset < size else { throw .noSuchAddressOrDevice }
        let map = MapWord(region.loadAcquire(inode + Inode.content))
        var index = offset >> 12
        if map.form == MapWord.blobForm {
            if index > 0 {
                if hole { return offset }
                throw .noSuchAddressOrDevice
            }
            return hole ? min(size, 4096) : offset
        }
        if hole {
            while true {
                let value = mapValue(map, index)
                if value == 0 || value & Content.unwritten != 0 { break }
                index += 1
            }
            return min(size, max(offset, index << 12))
        }
        while let found = mapNext(map, from: index) {
            if found.value & Content.unwritten == 0 {
                guard found.index << 12 < size else { break }
                return max(offset, found.index << 12)
            }
            index = found.index + 1
        }
        throw .noSuchAddressOrDevice
    }

    // MARK: copy_file_range(2)

    /// Copies between two files, or within one, from memory to memory.
    ///
    /// - Returns: bytes copied, at most 16 MiB at once; 0 at the end of the source.
    /// - Throws: as `write`; `EINVAL` when the ranges overlap in one file.
    @_noLocks package func copyRange(
        from source: NodeID, at sourceOffset: UInt64, to target: NodeID, at targetOffset: UInt64,
        count: UInt64
    ) throws(Errno) -> UInt64 {
        let from = try regular(source)
        let to = try regular(target)
        guard sourceOffset <= Int64.max, targetOffset <= Int64.max,
            count <= UInt64(Int64.max) - max(sourceOffset, targetOffset)
        else { throw .fileTooLarge }
        var locks = LockSet(from, to)
        lockAll(&locks)
        defer {
            changes.commit()
            unlockAll(locks)
        }
        let flags = region.load32(to + Inode.flags)
        guard flags & (InodeFlags.immutable | InodeFlags.append) == 0 else { throw .notPermitted }
        let size = region.load(from + Inode.size)
        guard sourceOffset < size else { return 0 }
        var wanted = min(min(count, size - sourceOffset), Content.copyLimit)
        if wanted == 0 { return 0 }
        if from == to {
            let apart =
                sourceOffset + wanted <= targetOffset || targetOffset + wanted <= sourceOffset
            guard apart else { throw .invalidArgument }
        }
        // What is copied of an image is brought to memory first, as well.
        wanted = try fetchRange(from, from: sourceOffset, to: sourceOffset + wanted) - sourceOffset
        wanted = try fetchRange(to, from: targetOffset, to: targetOffset + wanted) - targetOffset
        if store.arena.isGuarded && store.arena.wasImageChanged {
            try checkFetched(from, from: sourceOffset, to: sourceOffset + wanted)
        }
        var done: UInt64 = 0
        while done < wanted {
            let map = MapWord(region.load(from + Inode.content))
            var piece = extent(map, at: sourceOffset + done, atMost: wanted - done)
            if piece.memory == 0 { piece = (Content.zeroPage, min(piece.bytes, 4096)) }
            do throws(Errno) {
                let shared = try sharePages(
                    of: from, at: sourceOffset + done, to: to, at: targetOffset + done,
                    count: wanted - done)
                if shared > 0 {
                    done += shared
                    continue
                }
                let written = try unsafe writeLocked(
                    to, offset: targetOffset + done, from: region.pointer(piece.memory),
                    count: piece.bytes)
                done += written
                if written < piece.bytes { break }
            } catch {
                if done == 0 { throw error }
                break
            }
        }
        beginUpdate(to)
        if targetOffset + done > region.load(to + Inode.size) {
            changes.store(to + Inode.size, targetOffset + done)
        }
        let now = cmem_now()
        moveTimes(to, now)
        endUpdate(to)
        if flags & InodeFlags.capability != 0 { dropCapability(to) }
        return done
    }
}
