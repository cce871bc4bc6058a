// What a store takes of memory now, part by part.

internal import MayflyArena

/// Bytes in memory.
package struct StoreMemory: Sendable {
    /// Chunks: content and metadata.
    package var arenaBytes: UInt64
    /// The side table, the marks of written pages, and what waits to be freed.
    package var tableBytes: UInt64
}

extension InodeStore {
    /// - Concurrency: any thread; what changes meanwhile may be missing.
    /// - Complexity: O(pages in use).
    package var memory: StoreMemory {
        let end = arena.usedEnd
        let sideEnd =
            (end / Inode.bytes * Side.bytes + Geometry.pageBytes - 1)
            & ~(Geometry.pageBytes - 1)
        return StoreMemory(
            arenaBytes: arena.region.residentBytes(to: end),
            tableBytes: sideTable.residentBytes(to: sideEnd)
                + sideTable.residentMarkBytes(to: sideEnd)
                + arena.region.residentMarkBytes(to: end)
                + arena.volatileState.residentBytes(to: arena.volatileState.bytes))
    }
}
