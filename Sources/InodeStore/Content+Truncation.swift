// Content ends, or is given up: truncate(2) and whatever else drops pages of a file.

internal import MayflyArena

extension StoreWorker {
    /// Cuts or extends; the lock is held, times are the caller's.
    @_noLocks func resizeLocked(_ inode: InodeOffset, to size: UInt64) {
        if setSize(inode, size) { cut(inode, from: size) }
    }

    /// Sets the size alone. The size comes first: a reader must not find zeros where the file has ended.
    ///
    /// - Returns: whether to cut. Even at the same size: pages that fallocate(2) put beyond the end go.
    @_noLocks func setSize(_ inode: InodeOffset, _ size: UInt64) -> Bool {
        let old = region.load(inode + Inode.size)
        changes.store(inode + Inode.size, size)
        return size <= old
    }

    /// Gives up what lies behind the end. Nothing of it is noted: whoever finds it half done does the
    /// rest (Repair.swift).
    @_noLocks func cut(_ inode: InodeOffset, from size: UInt64) {
        let field = inode + Inode.content
        let map = MapWord(region.load(field))
        if map == .empty { return }
        if size == 0 {
            region.storeRelease(field, 0)
            dischargePages(inode, region.load(inode + Inode.pages))
            worker.retire(Retired(what: Reclaim.content, count: 1, offset: map.rawValue))
            return
        }
        if map.form == MapWord.blobForm {
            zeroLocked(inode, from: size, to: map.detail * 64)
            return
        }
        zeroLocked(inode, from: size, to: (size + 4095) & ~4095)
        dropPages(inode, from: (size + 4095) >> 12, to: .max)
    }

    /// Zeroes bytes that lie in written pages or in the blob; makes none.
    @_noLocks func zeroLocked(_ inode: InodeOffset, from start: UInt64, to end: UInt64) {
        let map = MapWord(region.load(inode + Inode.content))
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
    @_noLocks func canDropPages(_ inode: InodeOffset, from first: UInt64) -> Bool {
        let nodes: UInt64 = 64
        if worker.hasRoomToRetire(region.load(inode + Inode.pages) + nodes) { return true }
        let map = MapWord(region.load(inode + Inode.content))
        if first == 0 || map.form <= MapWord.blobForm { return worker.canRetire(nodes) }
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
    @_noLocks func dropPages(_ inode: InodeOffset, from first: UInt64, to end: UInt64) {
        let field = inode + Inode.content
        let map = MapWord(region.load(field))
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
