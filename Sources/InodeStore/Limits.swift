// Limits: changing them while the tree is in use.
//
// A region never moves, so what was reserved for it bounds how far it can grow.

internal import Arena

/// Why a limit stays as it was.
package enum LimitRefusal: Equatable, Sendable {
    /// More is in use: pages of 4 KiB, or inodes.
    case inUse(UInt64)
    /// The region has no room for it; the most that it has room for, all else as it is.
    case reservation(UInt64)
}

extension InodeStore {
    /// What must be reserved for limits: fragmentation and what waits for its readers must never be
    /// what says ENOSPC.
    static func reservation(pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int) -> UInt64 {
        let need = maximumBytes(pageLimit: pageLimit, inodeLimit: inodeLimit)
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
        let taken = Self.maximumBytes(pageLimit: 0, inodeLimit: inodes)
        let left = room - min(room, taken)
        let most = min(left / Self.maximumBytes(pageLimit: 1, inodeLimit: 0), (1 << 34) - 1)
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
        let taken = Self.maximumBytes(pageLimit: arena.pages.limit, inodeLimit: 0)
        let most = min((room - min(room, taken)) / unit, (1 << 32) - 1)
        guard newLimit <= max(most, space.limit / unit) else {
            return .reservation(max(most, space.limit / unit))
        }
        if space.resize(to: newLimit * unit, shard: 0) { return nil }
        return .inUse((space.limit - space.free + unit - 1) / unit)
    }

    /// Bytes of `maximumBytes` that the region was reserved for.
    private var room: UInt64 {
        let bytes = arena.geometry.bytes
        let slack = Self.slack(arena.workerCount)
        return (bytes - min(bytes, slack)) / Self.reservationFactor
    }
}
