// Geometry: how a region is divided, in bytes from its start.
//
//     0            superblock (one OS page)
//     64 KiB       shard headers, 256 bytes each
//     descriptors  one of 128 bytes for every chunk
//     firstChunk   chunks of 2 MiB, aligned to 2 MiB
//
// All of it follows from two numbers, the region's size and its shard count, which the superblock
// keeps: an image is readable wherever it was made.

/// The division of a region; a pure function of its size and shard count.
@usableFromInline @frozen package struct Geometry: Equatable, Sendable {
    /// A chunk: the unit of ownership, of huge pages and of giving back. 2 MiB.
    @inlinable package static var chunkBytes: UInt64 { @_noLocks get { 2 << 20 } }
    /// An OS page, the unit of file content. 4 KiB.
    @inlinable package static var pageBytes: UInt64 { @_noLocks get { 4096 } }
    /// Bytes of a chunk descriptor: two cache lines.
    @inlinable package static var descriptorBytes: UInt64 { @_noLocks get { 128 } }
    /// Bytes of a shard header: four cache lines, so that shards never share one.
    @inlinable package static var shardBytes: UInt64 { @_noLocks get { 256 } }
    @inlinable package static var shardsOffset: UInt64 { @_noLocks get { 64 << 10 } }

    /// Shards made for a region: as many as the queues of a large machine, whatever this one has.
    package static var defaultShardCount: Int { 256 }

    @usableFromInline package let bytes: UInt64
    @usableFromInline package let shardCount: UInt64
    @usableFromInline package let descriptorsOffset: UInt64
    @usableFromInline package let firstChunkOffset: UInt64
    @usableFromInline package let chunkCount: UInt64

    /// Whether a region can be divided so: whole chunks, eight at least, and one of them for use.
    package static func fits(bytes: UInt64, shardCount: Int) -> Bool {
        guard bytes % chunkBytes == 0, bytes / chunkBytes >= 8, bytes < 1 << 48,
            shardCount > 0, shardCount <= 65_535
        else { return false }
        let headers =
            shardsOffset + UInt64(shardCount) * shardBytes
            + bytes / chunkBytes * descriptorBytes
        return headers <= bytes - chunkBytes
    }

    /// - Precondition: `fits(bytes:shardCount:)`.
    package init(bytes: UInt64, shardCount: Int) {
        precondition(
            Self.fits(bytes: bytes, shardCount: shardCount),
            "Geometry: \(bytes) bytes, \(shardCount) shards")
        self.bytes = bytes
        self.shardCount = UInt64(shardCount)
        descriptorsOffset = Self.shardsOffset + UInt64(shardCount) * Self.shardBytes
        let slots = bytes / Self.chunkBytes
        let end = descriptorsOffset + slots * Self.descriptorBytes
        firstChunkOffset = (end + Self.chunkBytes - 1) & ~(Self.chunkBytes - 1)
        chunkCount = (bytes - firstChunkOffset) / Self.chunkBytes
    }

    @inlinable @_noLocks package func shard(_ index: UInt64) -> UInt64 {
        Self.shardsOffset + index * Self.shardBytes
    }
    @inlinable @_noLocks package func descriptor(_ chunk: UInt64) -> UInt64 {
        descriptorsOffset + chunk * Self.descriptorBytes
    }
    @inlinable @_noLocks package func chunkStart(_ chunk: UInt64) -> UInt64 {
        firstChunkOffset + chunk * Self.chunkBytes
    }
    @inlinable @_noLocks package func chunk(containing offset: UInt64) -> UInt64 {
        (offset - firstChunkOffset) / Self.chunkBytes
    }
}

/// What a chunk is divided into. The raw value is part of the image.
///
/// A struct, not an enum: an enum's comparison goes through metadata, which the request path bars.
@usableFromInline @frozen package struct ChunkKind: Sendable {
    @usableFromInline package let rawValue: UInt64
    /// log2 of the unit in bytes.
    @usableFromInline package let unitShift: UInt64
    /// The first unit that can be handed out; those before it hold the bitmap.
    @usableFromInline package let firstUnit: UInt64

    @inlinable @_noLocks
    init(rawValue: UInt64, unitShift: UInt64, firstUnit: UInt64) {
        self.rawValue = rawValue
        self.unitShift = unitShift
        self.firstUnit = firstUnit
    }

    /// Units of 4 KiB: file content, its map, large blobs. The bitmap stands in the descriptor.
    @inlinable package static var pages: ChunkKind {
        @_noLocks get { ChunkKind(rawValue: 0, unitShift: 12, firstUnit: 0) }
    }
    /// Units of 256 bytes: one inode each. The bitmap fills the first 4 units.
    @inlinable package static var inodes: ChunkKind {
        @_noLocks get { ChunkKind(rawValue: 1, unitShift: 8, firstUnit: 4) }
    }
    /// Units of 64 bytes in runs: dentries, small content, xattrs. The bitmap fills the first 64.
    @inlinable package static var small: ChunkKind {
        @_noLocks get { ChunkKind(rawValue: 2, unitShift: 6, firstUnit: 64) }
    }
    @inlinable @_noLocks package static func known(_ rawValue: UInt64) -> ChunkKind {
        if rawValue == 0 { return pages }
        if rawValue == 1 { return inodes }
        precondition(rawValue == 2, "ChunkKind: a descriptor names no kind")
        return small
    }

    /// Units in a chunk, the bitmap's own among them.
    @inlinable package var unitCount: UInt64 {
        @_noLocks get { Geometry.chunkBytes >> unitShift }
    }
    @inlinable package var capacity: UInt64 { @_noLocks get { unitCount - firstUnit } }
}

/// Byte offsets of the superblock's words. Part of the image's format.
package enum Superblock {
    package static let magicValue: UInt64 = 0x3147_4D49_594C_464D  // "MFLYIMG1"
    package static let formatVersion: UInt64 = 1

    @inlinable package static var magic: UInt64 { @_noLocks get { 0 } }
    @inlinable package static var version: UInt64 { @_noLocks get { 8 } }
    @inlinable package static var regionBytes: UInt64 { @_noLocks get { 16 } }
    @inlinable package static var shardCount: UInt64 { @_noLocks get { 24 } }
    /// First chunk that was never handed out: everything above is untouched.
    @inlinable package static var freshChunk: UInt64 { @_noLocks get { 64 } }
    /// Head of the pool of empty chunks: chunk + 1 in the low half, a tag against ABA in the high.
    @inlinable package static var pool: UInt64 { @_noLocks get { 128 } }
    /// Two quotas, each a free count and a limit, on cache lines of their own.
    @inlinable package static var pageQuota: UInt64 { @_noLocks get { 192 } }
    @inlinable package static var inodeQuota: UInt64 { @_noLocks get { 256 } }
    /// Chunks that may still be taken because there is memory for them; all ones: no such limit.
    /// Volatile: means nothing in an image.
    @inlinable package static var chunkAllowance: UInt64 { @_noLocks get { 320 } }
    /// From here on the words are the inode store's.
    @inlinable package static var storeWords: UInt64 { @_noLocks get { 1024 } }
}
