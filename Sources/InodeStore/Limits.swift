// Limits: what they come to in memory, and changing them while the tree is in use.
//
// A region never moves, so what was reserved for it bounds how far it can grow.
//
// Two quotas, of pages and of inode space, are what users see. Beside them the store keeps what
// nobody is charged for: nodes of maps (a page each, where a sparse file has a page of its own in
// each), cookies of directories that shrank, and room in chunks that are partly empty. What all of it
// comes to is bounded by the number of chunks: past `maximumChunkBytes` none is taken, and who asks
// for one is told ENOSPC.

internal import MayflyArena

/// Why a limit stays as it was.
package enum LimitRefusal: Equatable, Sendable {
    /// More is in use: pages of 4 KiB, or inodes.
    case inUse(UInt64)
    /// The region has no room for it; the most that it has room for, all else as it is.
    case reservation(UInt64)
}

extension InodeStore {
    /// What the quotas let a mount keep, in bytes: content and metadata.
    ///
    /// An inode with its name and share of the tables stays below 1 KiB, and the map of a page takes
    /// 8 bytes, once more for slack, where pages lie together.
    static func chargedBytes(pageLimit: UInt64, inodeLimit: UInt64) -> UInt64 {
        pageLimit * (Geometry.pageBytes + 16) + inodeLimit * inodeSpaceUnit
    }

    /// The most memory that a store with these limits takes, in bytes, whatever is done to it: what
    /// is charged, a quarter of the content for what is not, and chunks that each worker has begun.
    package static func maximumBytes(
        pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int
    ) -> UInt64 {
        let content = chargedBytes(pageLimit: pageLimit, inodeLimit: 0)
        return content + content / 4 + chargedBytes(pageLimit: 0, inodeLimit: inodeLimit)
            + UInt64(workerCount + 1) * 16 << 20
    }

    /// The most memory that the store takes with the limits it has; what it began with, an image or
    /// a snapshot, comes on top.
    package var maximumBytes: UInt64 {
        Self.maximumBytes(
            pageLimit: limits.pages, inodeLimit: limits.inodes, workerCount: arena.workerCount)
            + arena.baseBytes
    }

    /// The part of it that is chunks. The side table takes an eighth of that at most, where all of
    /// them are chunks of inodes.
    var maximumChunkBytes: UInt64 { maximumBytes / 9 * 8 }

    /// What must be reserved for limits: address space must never be what says ENOSPC.
    static func reservation(pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int) -> UInt64 {
        let need = chargedBytes(pageLimit: pageLimit, inodeLimit: inodeLimit)
        return need * reservationFactor + slack(workerCount)
    }

    private static var reservationFactor: UInt64 { 3 }
    private static func slack(_ workerCount: Int) -> UInt64 {
        UInt64(workerCount) * 16 * Geometry.chunkBytes + (1 << 30)
    }

    /// Pages of 4 KiB, and inodes.
    package var limits: (pages: UInt64, inodes: UInt64) {
        (arena.pages.limit, arena.inodeSpace.limit / Self.inodeSpaceUnit)
    }

    /// Sets the limit of pages, between what is in use and what the region has room for.
    ///
    /// - Concurrency: any thread, also while requests are answered.
    /// - Returns: nil when it was set.
    package func resize(pages newLimit: UInt64) -> LimitRefusal? {
        let inodes = arena.inodeSpace.limit / Self.inodeSpaceUnit
        let taken = Self.chargedBytes(pageLimit: 0, inodeLimit: inodes)
        let left = room - min(room, taken)
        let most = min(left / Self.chargedBytes(pageLimit: 1, inodeLimit: 0), (1 << 34) - 1)
        guard newLimit <= max(most, arena.pages.limit) else {
            return .reservation(max(most, arena.pages.limit))
        }
        if arena.pages.resize(to: newLimit, shard: 0) { return nil }
        return .inUse(arena.pages.limit - arena.pages.free)
    }

    /// Sets the limit of inodes, likewise.
    package func resize(inodes newLimit: UInt64) -> LimitRefusal? {
        let space = arena.inodeSpace
        let unit = Self.inodeSpaceUnit
        let taken = Self.chargedBytes(pageLimit: arena.pages.limit, inodeLimit: 0)
        let most = min((room - min(room, taken)) / unit, (1 << 32) - 1)
        guard newLimit <= max(most, space.limit / unit) else {
            return .reservation(max(most, space.limit / unit))
        }
        if space.resize(to: newLimit * unit, shard: 0) { return nil }
        return .inUse((space.limit - space.free + unit - 1) / unit)
    }

    /// Bytes of `chargedBytes` that the region was reserved for.
    private var room: UInt64 {
        let bytes = arena.geometry.bytes
        let slack = Self.slack(arena.workerCount)
        return (bytes - min(bytes, slack)) / Self.reservationFactor
    }
}
