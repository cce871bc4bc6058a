// Reclaim: freeing what was unlinked, when no reader can have it any more.

internal import MayflyArena
internal import SystemPackage

/// What a retired item is, beyond the runs of units that bear their chunk kind's number.
enum Reclaim {
    /// An inode slot with all that hangs on it.
    static var inode: UInt32 { @_noLocks get { 16 } }
    /// A content map: the item's offset is the whole map word.
    static var content: UInt32 { @_noLocks get { 17 } }
    /// A cookie map, whose values are not pages.
    static var cookies: UInt32 { @_noLocks get { 18 } }
}

extension StoreWorker {
    /// Frees what can be freed.
    ///
    /// - Precondition: entered; nothing taken from the region before is used any more.
    @inline(never) @_noLocks func reclaim() {
        worker.refreshEpoch()
        while let item = worker.nextReclaimable() {
            if item.what == Reclaim.inode {
                freeInode(InodeOffset(item.offset))
            } else if item.what == Reclaim.content {
                freeMap(MapWord(item.offset), valuesArePages: true)
            } else if item.what == Reclaim.cookies {
                freeMap(MapWord(item.offset), valuesArePages: false)
            } else {
                worker.free(
                    ChunkKind.known(UInt64(item.what)), item.offset, count: UInt64(item.count))
            }
        }
    }

    @_noLocks func retire(_ kind: ChunkKind, _ offset: UInt64, units: UInt64) {
        worker.retire(
            Retired(
                what: UInt32(truncatingIfNeeded: kind.rawValue),
                count: UInt32(truncatingIfNeeded: units), offset: offset))
    }

    @_noLocks private func freeInode(_ inode: InodeOffset) {
        let type = type(inode)
        if type == FileMode.directory {
            freeDirectory(inode)
        } else {
            freeMap(MapWord(region.load(inode + Inode.content)), valuesArePages: true)
        }
        var xattr = region.load(inode + Inode.xattrs)
        while xattr != 0 {
            let next = region.load(xattr + Xattr.next)
            freeBlob(xattr, bytes: Xattr.bytes(region, xattr))
            xattr = next
        }
        region.store32(inode + Inode.mode, 0)
        worker.free(.inodes, inode.rawValue, count: 1)
    }

    // MARK: blobs: memory of any size up to a chunk, in 64-byte units or in pages

    /// Up to here a blob takes units of 64 bytes, above it whole pages.
    @_noLocks private static func isSmall(_ bytes: UInt64) -> Bool { bytes <= 2048 }

    /// - Throws: `ENOSPC` when the region is used up.
    @_noLocks func allocateBlob(bytes: UInt64) throws(Errno) -> Run {
        let run =
            Self.isSmall(bytes)
            ? worker.allocate(.small, count: (bytes + 63) >> 6)
            : worker.allocate(.pages, count: (bytes + 4095) >> 12)
        guard let run else { throw .noSpace }
        return run
    }

    @_noLocks func freeBlob(_ offset: UInt64, bytes: UInt64) {
        if Self.isSmall(bytes) {
            worker.free(.small, offset, count: (bytes + 63) >> 6)
        } else {
            worker.free(.pages, offset, count: (bytes + 4095) >> 12)
        }
    }

    @_noLocks func retireBlob(_ offset: UInt64, bytes: UInt64) {
        if Self.isSmall(bytes) {
            retire(.small, offset, units: (bytes + 63) >> 6)
        } else {
            retire(.pages, offset, units: (bytes + 4095) >> 12)
        }
    }
}

extension StoreWorker {
    /// Looks after a shard whose worker is idle: frees what can be freed and, if asked, gives empty
    /// chunks back to the system. Does nothing when the worker is busy: then it does so itself.
    package func maintain(trims: Bool) {
        guard worker.tryEnter() else { return }
        if worker.hasRetired() { reclaim() }
        if trims {
            _ = worker.trim { releaseSide(ofChunk: $0) }
            worker.trimRetired()
        }
        worker.leave()
    }
}
