// Content: the bytes of files.
//
// A small file lies in a blob of 64-byte units; a larger one in pages of 4 KiB behind a radix map,
// in runs as long as the chunks allow, so that 1 MiB is a few long copies. An entry is the page's
// offset, and bit 0 says that the page is allocated but was never written (fallocate(2)): it reads
// as zeros and counts as a hole, as tmpfs has it.
//
// READ copies once, from here to the buffer it is given, and takes no lock; WRITE copies once, from
// its buffer to here, under the inode's lock. A page is filled before its entry is published.

internal import CMayflyMemory
package import MayflyArena
package import SystemPackage

enum Content {
    /// Bit of a map entry: allocated, never written.
    static var unwritten: UInt64 { @_noLocks get { 1 } }
    /// Bit of a map entry that is unwritten: new, while fallocate(2) holds the inode's lock.
    static var new: UInt64 { @_noLocks get { 2 } }
    /// The largest content that is kept in a blob, in bytes.
    static var blobLimit: UInt64 { @_noLocks get { 2048 } }
    /// What one COPY_FILE_RANGE moves at most, so that a request stays short. 16 MiB.
    static var copyLimit: UInt64 { @_noLocks get { 16 << 20 } }
    /// An OS page of the region that stays zero: what holes are copied from.
    static var zeroPage: UInt64 { @_noLocks get { 4096 } }
}

extension StoreWorker {
    /// What has come of the image; nil where all was here from the beginning.
    package var arrival: Arrival? { store.arena.arrival }

    /// Copies content. The one function that does, so that `traffic` tells every copy.
    @_noLocks func copyContent(
        _ target: UnsafeMutableRawPointer, _ source: UnsafeRawPointer, _ bytes: UInt64
    ) {
        unsafe cmem_copy(target, source, Int(truncatingIfNeeded: bytes))
        worker.countCopied(bytes)
    }

    // MARK: reading

    /// Copies content to `target`, at most `count` bytes, from `offset`.
    ///
    /// - Parameter touchesAccess: false for a file opened with O_NOATIME.
    /// - Returns: bytes copied; fewer than `count` only at the end of the file.
    /// - Throws: `ESTALE`; `EISDIR`, `EINVAL` for what is no regular file.
    /// - Concurrency: no lock; a concurrent write may be seen in part, as on tmpfs.
    @_noLocks package func read(
        _ node: NodeID, offset: UInt64, into target: UnsafeMutableRawPointer, count: UInt64,
        touchesAccess: Bool = true
    ) throws(Errno) -> UInt64 {
        let inode = try regular(node)
        let size = region.load(inode + Inode.size)
        guard offset < size else { return 0 }
        let wanted = min(count, size - offset)
        let map = region.loadAcquire(inode + Inode.content)
        let isGuarded = store.arena.isGuarded
        var isUnsure = false
        var done: UInt64 = 0
        while done < wanted {
            let extent = extent(map, at: offset + done, atMost: wanted - done)
            let to = unsafe target + Int(truncatingIfNeeded: done)
            if isGuarded, isInPages(map, extent) {
                isUnsure = try unsafe copyGuarded(to, extent) || isUnsure
            } else if extent.memory == 0 {
                unsafe cmem_zero(to, Int(truncatingIfNeeded: extent.bytes))
                worker.countZeroed(extent.bytes)
            } else {
                unsafe copyContent(to, region.pointer(extent.memory), extent.bytes)
            }
            done += extent.bytes
        }
        // After the copy: whoever changes the file moves its time first.
        if isUnsure && store.arena.isImageChanged { throw .ioError }
        if touchesAccess {
            touchAccess(inode)
            if region.load32(inode + Inode.timesSet) != 0 {
                noteRead(inode, offset: offset, count: wanted)
            }
        }
        return wanted
    }

    /// Whether an extent lies in pages, which may be the file's; blobs were copied with the image.
    @_noLocks func isInPages(
        _ map: UInt64, _ extent: (memory: UInt64, bytes: UInt64)
    ) -> Bool {
        extent.memory != 0 && MapWord.form(map) != MapWord.blobForm
    }

    /// Copies content of a store whose image others may change.
    ///
    /// - Returns: whether some of it is the file's, so that it counts only if that is unchanged
    ///   afterwards.
    /// - Throws: `EIO` where it is known to be changed, or cut.
    @_noLocks func copyGuarded(
        _ target: UnsafeMutableRawPointer, _ extent: (memory: UInt64, bytes: UInt64)
    ) throws(Errno) -> Bool {
        let arena = store.arena
        var isUnsure = false
        var done: UInt64 = 0
        while done < extent.bytes {
            let from = extent.memory + done
            let piece = arena.place(of: from, extent.bytes - done)
            let to = unsafe target + Int(truncatingIfNeeded: done)
            if piece.isFile {
                if arena.wasImageChanged { throw .ioError }
                try unsafe arena.readImage(from, into: to, piece.bytes)
                worker.countCopied(piece.bytes)
                isUnsure = true
            } else {
                unsafe copyContent(to, region.pointer(from), piece.bytes)
            }
            done += piece.bytes
        }
        return isUnsure
    }

    /// Brings the pages of a range that is to be overwritten from the image's file, so that readers
    /// find what was there until they find what is new.
    ///
    /// - Parameter asks: whether for memory, too; without, the budget may be overdrawn.
    /// - Returns: the end of what can be overwritten: `end`, or before it where memory comes to an end.
    /// - Throws: `EIO` where the image is changed and a page at an end, which keeps a part of what it
    ///   has, cannot be had; `.missing` where a page is not here yet; `ENOSPC` where there is no memory for the
    ///   first page.
    @_noLocks func fetchRange(
        _ inode: UInt64, from start: UInt64, to end: UInt64, asks: Bool = true
    ) throws(Errno) -> UInt64 {
        guard store.arena.isGuarded else { return end }
        let map = region.load(inode + Inode.content)
        let keepsHead = start & 4095 != 0
        let keepsTail = end & 4095 != 0 && end < region.load(inode + Inode.size)
        var at = start & ~4095
        while at < end {
            let extent = extent(map, at: at, atMost: end - at)
            if isInPages(map, extent) {
                let pages = (extent.bytes + 4095) >> 12
                let there = asks ? region.affordable(extent.memory, pages: pages) : pages
                let bytes = min(extent.bytes, there << 12)
                do throws(Errno) {
                    try store.arena.fetch(extent.memory, bytes)
                } catch {
                    // Readers find what was there until they find what is new, so who overwrites all of it waits
                    // as well.
                    if error == .missing { throw error }
                    let isHead = keepsHead && at <= start
                    let isTail = keepsTail && at + bytes >= end
                    if isHead || isTail { throw error }
                }
                if there < pages {
                    if at + bytes <= start { throw .noSpace }
                    return at + bytes
                }
            }
            at += extent.bytes
        }
        return end
    }

    /// - Throws: `EIO` where a part of a range could not be brought from a changed image.
    @_noLocks func checkFetched(_ inode: UInt64, from start: UInt64, to end: UInt64) throws(Errno) {
        let map = region.load(inode + Inode.content)
        var at = start
        while at < end {
            let extent = extent(map, at: at, atMost: end - at)
            if isInPages(map, extent) {
                var done: UInt64 = 0
                while done < extent.bytes {
                    let piece = store.arena.place(of: extent.memory + done, extent.bytes - done)
                    if piece.isFile { throw .ioError }
                    done += piece.bytes
                }
            }
            at += extent.bytes
        }
    }

    /// Brings one page, of which a part is to be zeroed, if the position is inside of it. That is part of
    /// a removal, which may overdraw the budget.
    ///
    /// - Throws: `EIO`.
    @_noLocks func fetchPage(_ inode: UInt64, at position: UInt64) throws(Errno) {
        if position & 4095 == 0 { return }
        _ = try fetchRange(inode, from: position, to: position + 1, asks: false)
    }

    /// A stretch of content that lies together: its memory (0 for zeros) and length in bytes.
    @_noLocks func extent(
        _ map: UInt64, at position: UInt64, atMost count: UInt64
    ) -> (memory: UInt64, bytes: UInt64) {
        if MapWord.form(map) == MapWord.blobForm {
            let bytes = MapWord.detail(map) * 64
            if position >= bytes { return (0, count) }
            return (MapWord.offset(map) + position, min(count, bytes - position))
        }
        let index = position >> 12
        let within = position & 4095
        let slot = mapSlot(map, index)
        if slot == 0 {
            if index >= MapWord.span(map) { return (0, count) }
            return (0, min(count, entriesInLeaf(map, from: index) << 12 - within))
        }
        let first = region.loadAcquire(slot)
        let pages = min(entriesInLeaf(map, from: index), (within + count + 4095) >> 12)
        let isHole = first == 0 || first & Content.unwritten != 0
        var run: UInt64 = 1
        while run < pages {
            let value = region.loadAcquire(slot + run * 8)
            if isHole {
                guard value == 0 || value & Content.unwritten != 0 else { break }
            } else {
                guard value == first + run << 12 else { break }
            }
            run += 1
        }
        return (isHole ? 0 : first + within, min(count, run << 12 - within))
    }

    @_noLocks func regular(_ node: NodeID) throws(Errno) -> UInt64 {
        let inode = try inode(node)
        let type = type(inode)
        if type == FileMode.regular { return inode }
        throw type == FileMode.directory ? .isDirectory : .invalidArgument
    }

    // MARK: writing

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
        _ inode: UInt64, offset: UInt64, from source: UnsafeRawPointer, count: UInt64
    ) throws(Errno) -> UInt64 {
        let map = region.load(inode + Inode.content)
        if MapWord.form(map) <= MapWord.blobForm {
            if offset + count <= Content.blobLimit {
                try unsafe writeBlob(inode, map, offset: offset, from: source, count: count)
                return count
            }
            if map != 0 { try convertBlob(inode, map) }
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
                    entriesInLeaf(region.load(field), from: index), last - index + 1)
                let end = min(count, (index + entries) << 12 - offset)
                let reached = unsafe fillLeaf(
                    inode, slot: slot, index: index, entries: entries, offset: offset,
                    from: source, done: done, end: end)
                done = reached
                if reached < end { throw Errno.noSpace }
            } catch {
                // No page came, perhaps, into the leaf that was made for it.
                dropLeafIfEmpty(region.load(field), index)
                if done == 0 { throw error }
                return done
            }
        }
        return done
    }

    /// Writes source[done..<end] through the entries of one leaf; returns how far it came.
    @_noLocks private func fillLeaf(
        _ inode: UInt64, slot: UInt64, index: UInt64, entries: UInt64, offset: UInt64,
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
    @_noLocks func previousPage(_ inode: UInt64, _ index: UInt64) -> UInt64 {
        let value = mapValue(region.load(inode + Inode.content), index - 1)
        return value == 0 ? 0 : (value & ~Content.unwritten) + Geometry.pageBytes
    }

    /// Takes between 1 and `count` pages and charges them to the inode.
    @_noLocks
    private func chargePages(_ inode: UInt64, atMost count: UInt64, goal: UInt64) -> Run? {
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

    @_noLocks func dischargePages(_ inode: UInt64, _ count: UInt64) {
        region.store(inode + Inode.pages, region.load(inode + Inode.pages) - count)
        store.arena.pages.release(count, shard: shard)
    }

    // MARK: blobs

    @_noLocks private func writeBlob(
        _ inode: UInt64, _ map: UInt64, offset: UInt64, from source: UnsafeRawPointer,
        count: UInt64
    ) throws(Errno) {
        let had = map == 0 ? 0 : MapWord.detail(map)
        let needed = (offset + count + 63) >> 6
        // What could be half done in its place goes to a new one.
        if needed <= had && !changes.areNoted {
            unsafe copyContent(
                region.pointer(writing: MapWord.offset(map) + offset, count), source, count)
            return
        }
        // Twice as large each time, so that appending stays linear.
        var units = max(needed, had)
        if had > 0 && needed > had { units = min(max(needed, had * 2), Content.blobLimit >> 6) }
        if map == 0 {
            guard store.arena.pages.reserve(1, shard: shard) else { throw .noSpace }
        }
        guard let run = worker.allocate(.small, count: units) else {
            if map == 0 { store.arena.pages.release(1, shard: shard) }
            throw .noSpace
        }
        let kept = had * 64
        if had > 0 {
            unsafe copyContent(
                region.pointer(writing: run.offset, kept), region.pointer(MapWord.offset(map)),
                kept)
        }
        if !run.isClean { region.zero(run.offset + kept, units * 64 - kept) }
        unsafe copyContent(region.pointer(writing: run.offset + offset, count), source, count)
        changes.storeRelease(
            inode + Inode.content,
            MapWord.make(form: MapWord.blobForm, detail: units, offset: run.offset))
        if had > 0 {
            retire(.small, MapWord.offset(map), units: had)
        } else {
            region.store(inode + Inode.pages, 1)
        }
    }

    /// Moves a blob's bytes into a page.
    @_noLocks func convertBlob(_ inode: UInt64, _ map: UInt64) throws(Errno) {
        guard let page = worker.allocatePages(atMost: 1, goal: 0) else { throw .noSpace }
        guard let leaf = worker.allocate(.small, count: 1) else {
            worker.free(.pages, page.offset, count: 1)
            throw .noSpace
        }
        let bytes = MapWord.detail(map) * 64
        unsafe copyContent(
            region.pointer(writing: page.offset, bytes), region.pointer(MapWord.offset(map)), bytes)
        if !page.isClean { region.zero(page.offset + bytes, 4096 - bytes) }
        region.zero(leaf.offset, 64)
        region.store(leaf.offset, page.offset)
        changes.storeRelease(
            inode + Inode.content, MapWord.make(form: 3, detail: 3, offset: leaf.offset))
        retire(.small, MapWord.offset(map), units: MapWord.detail(map))
    }

    // MARK: truncate(2)

    /// Cuts or extends; the lock is held, times are the caller's.
    @_noLocks func resizeLocked(_ inode: UInt64, to size: UInt64) {
        if setSize(inode, size) { cut(inode, from: size) }
    }

    /// Sets the size alone. The size comes first: a reader must not find zeros where the file has ended.
    ///
    /// - Returns: whether to cut. Even at the same size: pages that fallocate(2) put beyond the end go.
    @_noLocks func setSize(_ inode: UInt64, _ size: UInt64) -> Bool {
        let old = region.load(inode + Inode.size)
        changes.store(inode + Inode.size, size)
        return size <= old
    }

    /// Gives up what lies behind the end. Nothing of it is noted: whoever finds it half done does the
    /// rest (Repair.swift).
    @_noLocks func cut(_ inode: UInt64, from size: UInt64) {
        let field = inode + Inode.content
        let map = region.load(field)
        if map == 0 { return }
        if size == 0 {
            region.storeRelease(field, 0)
            dischargePages(inode, region.load(inode + Inode.pages))
            worker.retire(Retired(what: Reclaim.content, count: 1, offset: map))
            return
        }
        if MapWord.form(map) == MapWord.blobForm {
            zeroLocked(inode, from: size, to: MapWord.detail(map) * 64)
            return
        }
        zeroLocked(inode, from: size, to: (size + 4095) & ~4095)
        dropPages(inode, from: (size + 4095) >> 12, to: .max)
    }

    /// Zeroes bytes that lie in written pages or in the blob; makes none.
    @_noLocks func zeroLocked(_ inode: UInt64, from start: UInt64, to end: UInt64) {
        let map = region.load(inode + Inode.content)
        var position = start
        while position < end {
            let extent = extent(map, at: position, atMost: end - position)
            if extent.memory != 0 { region.zero(extent.memory, extent.bytes) }
            position += extent.bytes
        }
    }

    /// Whether there is room to note all that dropping an inode's pages from an index on unlinks.
    ///
    /// - Complexity: O(1) for a file that cannot lie in more runs than there is room for; else O(pages).
    @_noLocks func canDropPages(_ inode: UInt64, from first: UInt64) -> Bool {
        let nodes: UInt64 = 64
        if worker.hasRoomToRetire(region.load(inode + Inode.pages) + nodes) { return true }
        let map = region.load(inode + Inode.content)
        if first == 0 || MapWord.form(map) <= MapWord.blobForm { return worker.canRetire(nodes) }
        var items = nodes
        var next: UInt64 = 0
        var found = mapNext(map, from: first)
        while let entry = found {
            let page = entry.value & ~Content.unwritten
            // A run ends with its leaf, which may be dropped, and a node above it.
            if page != next || entry.index & 511 == 0 { items += 1 }
            if entry.index & 511 == 0 { items += 2 }
            next = page + Geometry.pageBytes
            found = mapNext(map, from: entry.index + 1)
        }
        return worker.canRetire(items)
    }

    /// Gives back the pages from index `first` to before `end`.
    ///
    /// - Precondition: `canDropPages`.
    @_noLocks func dropPages(_ inode: UInt64, from first: UInt64, to end: UInt64) {
        let field = inode + Inode.content
        let map = region.load(field)
        var index = first
        var freed: UInt64 = 0
        while let found = mapNext(map, from: index), found.index < end {
            let slot = mapSlot(map, found.index)
            let left = min(entriesInLeaf(map, from: found.index), end - found.index)
            let page = found.value & ~Content.unwritten
            region.storeRelease(slot, 0)
            var run: UInt64 = 1
            while run < left {
                let value = region.load(slot + run * 8) & ~Content.unwritten
                guard value == page + run << 12 else { break }
                region.storeRelease(slot + run * 8, 0)
                run += 1
            }
            retire(.pages, page, units: run)
            freed += run
            index = found.index + run
            dropLeafIfEmpty(map, found.index)
        }
        dischargePages(inode, freed)
    }
}
