// Content is written: copied once, under the inode's lock, into the blob or the pages of the file.

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

extension StoreWorker {
    /// Copies `count` bytes from `source` to `offset`.
    ///
    /// - Parameters:
    ///   - killPrivileges: whether the writer lacks CAP_FSETID, so that suid and sgid go.
    ///   - isWrittenBack: whether it comes from the kernel's pages, so that nobody knows when the
    ///     bytes were stored.
    /// - Returns: bytes written; fewer than `count` when the file system became full.
    /// - Throws: `ENOSPC` when nothing could be written, `EPERM` for an immutable file or an
    ///   append-only one before its end, `ESTALE`, `EISDIR`, `EINVAL`, `EFBIG`.
    @_noLocks package func write(
        _ node: NodeID, offset: UInt64, from source: UnsafeRawPointer, count: UInt64,
        killPrivileges: Bool, isWrittenBack: Bool = false
    ) throws(Errno) -> UInt64 {
        let inode = try regular(node)
        guard offset <= Int64.max, count <= UInt64(Int64.max) - offset else { throw .fileTooLarge }
        lock(inode)
        defer {
            changes.commit()
            unlock(inode)
        }
        let flags = region.load32(inode + Inode.flags)
        // Where OPEN is checked, a descriptor keeps the right that it was opened with.
        if flags & (InodeFlags.immutable | InodeFlags.append) != 0 && !store.options.checksOpen {
            guard flags & InodeFlags.immutable == 0, offset >= region.load(inode + Inode.size)
            else { throw .notPermitted }
        }
        if count == 0 { return 0 }
        let reached = try fetchRange(inode, from: offset, to: offset + count)
        let written = try unsafe writeLocked(
            inode, offset: offset, from: source, count: reached - offset)
        beginUpdate(inode)
        if offset + written > region.load(inode + Inode.size) {
            changes.store(inode + Inode.size, offset + written)
        }
        let now = cmem_now()
        if !isWrittenBack || !keepsTimes(inode, offset: offset, count: written, now: now) {
            moveTimes(inode, now)
        }
        if killPrivileges { clearSetID(inode) }
        endUpdate(inode)
        // A store into a mapping takes nothing away, and before a write(2) that the kernel keeps it sends
        // SETATTR. Source: mm/filemap.c, `__generic_file_write_iter()`.
        if flags & InodeFlags.capability != 0 && !isWrittenBack { dropCapability(inode) }
        return written
    }

    /// - Precondition: the lock is held; `count` > 0.
    /// - Throws: `ENOSPC` when nothing could be written.
    @_noLocks func writeLocked(
        _ inode: InodeOffset, offset: UInt64, from source: UnsafeRawPointer, count: UInt64
    ) throws(Errno) -> UInt64 {
        let map = MapWord(region.load(inode + Inode.content))
        if map.form <= MapWord.blobForm {
            if offset + count <= Content.blobLimit {
                try unsafe writeBlob(inode, map, offset: offset, from: source, count: count)
                return count
            }
            if map != .empty { try convertBlob(inode, map) }
        }
        let field = inode + Inode.content
        let last = (offset + count - 1) >> 12
        var done: UInt64 = 0
        while done < count {
            let index = (offset + done) >> 12
            do throws(Errno) {
                // The whole leaf that this write needs at once, not by doublings.
                _ = try ensureSlot(field, min(last, index | 511))
                let slot = try ensureSlot(field, index)
                let entries = min(
                    entriesInLeaf(MapWord(region.load(field)), from: index), last - index + 1)
                let end = min(count, (index + entries) << 12 - offset)
                let reached = unsafe fillLeaf(
                    inode, slot: slot, index: index, entries: entries, offset: offset,
                    from: source, done: done, end: end)
                done = reached
                if reached < end { throw Errno.noSpace }
            } catch {
                // No page came, perhaps, into the leaf that was made for it.
                dropLeafIfEmpty(MapWord(region.load(field)), index)
                if done == 0 { throw error }
                return done
            }
        }
        return done
    }

    /// Writes source[done..<end] through the entries of one leaf; returns how far it came.
    @_noLocks private func fillLeaf(
        _ inode: InodeOffset, slot: UInt64, index: UInt64, entries: UInt64, offset: UInt64,
        from source: UnsafeRawPointer, done start: UInt64, end: UInt64
    ) -> UInt64 {
        var done = start
        var entry: UInt64 = 0
        while entry < entries {
            let value = region.load(slot + entry * 8)
            let pageStart = (index + entry) << 12
            if value == 0 {
                var holes: UInt64 = 1
                while entry + holes < entries && region.load(slot + (entry + holes) * 8) == 0 {
                    holes += 1
                }
                let goal = index + entry > 0 ? previousPage(inode, index + entry) : 0
                guard let run = chargePages(inode, atMost: holes, goal: goal) else { return done }
                let until = min(end, (index + entry + run.count) << 12 - offset)
                unsafe fill(
                    run.offset, pages: run.count, start: pageStart, zeroed: run.isClean,
                    offset: offset, from: source, done: done, until: until)
                var published: UInt64 = 0
                while published < run.count {
                    region.storeRelease(
                        slot + (entry + published) * 8, run.offset + published << 12)
                    published += 1
                }
                done = until
                entry += run.count
                continue
            }
            let page = value & ~Content.unwritten
            let isShared = value & Content.unwritten == 0 && store.arena.isShared(page)
            var run: UInt64 = 1
            if value & Content.unwritten == 0 {
                while entry + run < entries
                    && region.load(slot + (entry + run) * 8) == page + run << 12
                    && store.arena.isShared(page + run << 12) == isShared
                {
                    run += 1
                }
            }
            if isShared {
                guard let own = replacementPages(inode, at: index + entry, atMost: run) else {
                    return done
                }
                let until = min(end, (index + entry + own.count) << 12 - offset)
                unsafe replace(
                    page, by: own, start: pageStart, offset: offset, from: source, done: done,
                    until: until)
                var published: UInt64 = 0
                while published < own.count {
                    region.storeRelease(
                        slot + (entry + published) * 8, own.offset + published << 12)
                    published += 1
                }
                retire(.pages, page, units: own.count)
                done = until
                entry += own.count
                continue
            }
            run = region.affordable(page, pages: run)
            if run == 0 { return done }
            let until = min(end, (index + entry + run) << 12 - offset)
            unsafe fill(
                page, pages: run, start: pageStart, zeroed: value & Content.unwritten == 0,
                offset: offset, from: source, done: done, until: until)
            if value & Content.unwritten != 0 { region.storeRelease(slot + entry * 8, page) }
            done = until
            entry += run
        }
        return done
    }

    /// Copies source[done..<until] into pages that begin at file position `start`; what the copy
    /// does not cover is zeroed unless `zeroed` says that it holds what it should.
    @_noLocks private func fill(
        _ memory: UInt64, pages: UInt64, start: UInt64, zeroed: Bool, offset: UInt64,
        from source: UnsafeRawPointer, done: UInt64, until: UInt64
    ) {
        let head = offset + done - start
        let bytes = until - done
        let tail = pages << 12 - head - bytes
        if !zeroed {
            if head > 0 { region.zero(memory, head) }
            if tail > 0 { region.zero(memory + head + bytes, tail) }
        }
        unsafe copyContent(
            region.pointer(writing: memory + head, bytes), source + Int(done), bytes)
    }

    /// Where the page before `index` ends, as a place to go on.
    @_noLocks func previousPage(_ inode: InodeOffset, _ index: UInt64) -> UInt64 {
        let value = mapValue(MapWord(region.load(inode + Inode.content)), index - 1)
        return value == 0 ? 0 : (value & ~Content.unwritten) + Geometry.pageBytes
    }

    /// Takes between 1 and `count` pages and charges them to the inode.
    @_noLocks
    private func chargePages(_ inode: InodeOffset, atMost count: UInt64, goal: UInt64) -> Run? {
        let quota = store.arena.pages
        let reserved = quota.reserve(atMost: count, shard: shard)
        if reserved == 0 { return nil }
        guard let run = worker.allocatePages(atMost: reserved, goal: goal) else {
            quota.release(reserved, shard: shard)
            return nil
        }
        if region.affordable(run.offset, pages: run.count) < run.count {
            worker.free(.pages, run.offset, count: run.count)
            quota.release(reserved, shard: shard)
            return nil
        }
        quota.release(reserved - run.count, shard: shard)
        region.store(inode + Inode.pages, region.load(inode + Inode.pages) + run.count)
        return run
    }

    @_noLocks func dischargePages(_ inode: InodeOffset, _ count: UInt64) {
        region.store(inode + Inode.pages, region.load(inode + Inode.pages) - count)
        store.arena.pages.release(count, shard: shard)
    }

    // MARK: blobs

    @_noLocks private func writeBlob(
        _ inode: InodeOffset, _ map: MapWord, offset: UInt64, from source: UnsafeRawPointer,
        count: UInt64
    ) throws(Errno) {
        let had = map == .empty ? 0 : map.detail
        let needed = (offset + count + 63) >> 6
        // What could be half done in its place goes to a new one.
        if needed <= had && !changes.areNoted {
            unsafe copyContent(
                region.pointer(writing: map.offset + offset, count), source, count)
            return
        }
        // Twice as large each time, so that appending stays linear.
        var units = max(needed, had)
        if had > 0 && needed > had { units = min(max(needed, had * 2), Content.blobLimit >> 6) }
        if map == .empty {
            guard store.arena.pages.reserve(1, shard: shard) else { throw .noSpace }
        }
        guard let run = worker.allocate(.small, count: units) else {
            if map == .empty { store.arena.pages.release(1, shard: shard) }
            throw .noSpace
        }
        let kept = had * 64
        if had > 0 {
            unsafe copyContent(
                region.pointer(writing: run.offset, kept), region.pointer(map.offset),
                kept)
        }
        if !run.isClean { region.zero(run.offset + kept, units * 64 - kept) }
        unsafe copyContent(region.pointer(writing: run.offset + offset, count), source, count)
        changes.storeRelease(
            inode + Inode.content,
            MapWord(form: MapWord.blobForm, detail: units, offset: run.offset).rawValue)
        if had > 0 {
            retire(.small, map.offset, units: had)
        } else {
            region.store(inode + Inode.pages, 1)
        }
    }

    /// Moves a blob's bytes into a page.
    @_noLocks func convertBlob(_ inode: InodeOffset, _ map: MapWord) throws(Errno) {
        guard let page = worker.allocatePages(atMost: 1, goal: 0) else { throw .noSpace }
        guard let leaf = worker.allocate(.small, count: 1) else {
            worker.free(.pages, page.offset, count: 1)
            throw .noSpace
        }
        let bytes = map.detail * 64
        unsafe copyContent(
            region.pointer(writing: page.offset, bytes), region.pointer(map.offset), bytes)
        if !page.isClean { region.zero(page.offset + bytes, 4096 - bytes) }
        region.zero(leaf.offset, 64)
        region.store(leaf.offset, page.offset)
        changes.storeRelease(
            inode + Inode.content, MapWord(form: 3, detail: 3, offset: leaf.offset).rawValue)
        retire(.small, map.offset, units: map.detail)
    }
}
