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
        let map = MapWord(region.loadAcquire(inode + Inode.content))
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
        _ map: MapWord, _ extent: (memory: UInt64, bytes: UInt64)
    ) -> Bool {
        extent.memory != 0 && map.form != MapWord.blobForm
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
        _ inode: InodeOffset, from start: UInt64, to end: UInt64, asks: Bool = true
    ) throws(Errno) -> UInt64 {
        guard store.arena.isGuarded else { return end }
        let map = MapWord(region.load(inode + Inode.content))
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
    @_noLocks func checkFetched(_ inode: InodeOffset, from start: UInt64, to end: UInt64)
        throws(Errno)
    {
        let map = MapWord(region.load(inode + Inode.content))
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
    @_noLocks func fetchPage(_ inode: InodeOffset, at position: UInt64) throws(Errno) {
        if position & 4095 == 0 { return }
        _ = try fetchRange(inode, from: position, to: position + 1, asks: false)
    }

    /// A stretch of content that lies together: its memory (0 for zeros) and length in bytes.
    @_noLocks func extent(
        _ map: MapWord, at position: UInt64, atMost count: UInt64
    ) -> (memory: UInt64, bytes: UInt64) {
        if map.form == MapWord.blobForm {
            let bytes = map.detail * 64
            if position >= bytes { return (0, count) }
            return (map.offset + position, min(count, bytes - position))
        }
        let index = position >> 12
        let within = position & 4095
        let slot = mapSlot(map, index)
        if slot == 0 {
            if index >= map.span { return (0, count) }
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

    @_noLocks func regular(_ node: NodeID) throws(Errno) -> InodeOffset {
        let inode = try inode(node)
        let type = type(inode)
        if type == FileMode.regular { return inode }
        throw type == FileMode.directory ? .isDirectory : .invalidArgument
    }
}
