// FoundInodes: what a check or a repair has found out about each inode, in tables by chunk. A dictionary of
// a hundred thousand inodes took most of the time of a repair.

internal import MayflyArena

/// What the walk of a tree has found out about its inodes.
struct FoundInodes {
    /// What is known of one.
    struct Inode {
        /// Dentries that lead to it.
        var names: UInt64 = 0
        /// The directory of the first of them.
        var parent = InodeOffset.null
        var subdirectories: UInt64 = 0
        var isFound = false
    }

    private let geometry: Geometry
    /// A row for each chunk that an inode was found in, else an empty one.
    private var chunks: [[Inode]]

    init(_ arena: Arena) {
        geometry = arena.geometry
        let used = min(arena.region.load(Superblock.freshChunk), arena.geometry.chunkCount)
        chunks = Array(repeating: [], count: Int(used))
    }

    /// Where an inode stands; nil for an offset that none can have.
    private func place(_ inode: InodeOffset) -> (chunk: Int, slot: Int)? {
        let offset = inode.rawValue
        guard offset >= geometry.firstChunkOffset, offset < geometry.bytes,
            offset & (1 << ChunkKind.inodes.unitShift - 1) == 0
        else { return nil }
        let chunk = geometry.chunk(containing: offset)
        guard chunk < UInt64(chunks.count) else { return nil }
        let slot = (offset - geometry.chunkStart(chunk)) >> ChunkKind.inodes.unitShift
        return (Int(chunk), Int(slot))
    }

    /// - Complexity: O(1), as all below.
    func has(_ inode: InodeOffset) -> Bool { self[inode] != nil }

    subscript(_ inode: InodeOffset) -> Inode? {
        guard let (chunk, slot) = place(inode), !chunks[chunk].isEmpty,
            chunks[chunk][slot].isFound
        else { return nil }
        return chunks[chunk][slot]
    }

    /// - Precondition: the inode is in a chunk of inodes that was handed out.
    mutating func add(_ inode: InodeOffset, parent: InodeOffset) {
        guard let (chunk, slot) = place(inode) else { return }
        if chunks[chunk].isEmpty {
            chunks[chunk] = Array(repeating: Inode(), count: Int(ChunkKind.inodes.unitCount))
        }
        chunks[chunk][slot] = Inode(parent: parent, isFound: true)
    }

    mutating func countName(_ inode: InodeOffset) {
        guard let (chunk, slot) = place(inode), !chunks[chunk].isEmpty else { return }
        chunks[chunk][slot].names += 1
    }

    mutating func countSubdirectory(_ inode: InodeOffset) {
        guard let (chunk, slot) = place(inode), !chunks[chunk].isEmpty else { return }
        chunks[chunk][slot].subdirectories += 1
    }

    /// Calls `body` with each in the order of their offsets.
    func forEach(_ body: (InodeOffset, Inode) -> Void) {
        for (chunk, row) in chunks.enumerated() where !row.isEmpty {
            let start = geometry.chunkStart(UInt64(chunk))
            for (slot, inode) in row.enumerated() where inode.isFound {
                body(InodeOffset(start + UInt64(slot) << ChunkKind.inodes.unitShift), inode)
            }
        }
    }
}
