// Geometry: how a region is divided, in bytes from its start.
//
//     0         superblock (one OS page), a page of zeros
//     64 KiB    shard headers, 256 bytes each
//     2 MiB     chunks of 2 MiB, aligned to 2 MiB
//
// Of every 16,384 chunks the first holds their descriptors, of 128 bytes each, and is never handed
// out. So where a chunk and its descriptor lie follows from its number alone, whatever the size of
// the region: an image is readable wherever it was made, and a small one is short.

/// The division of a region.
@usableFromInline @frozen package struct Geometry: Equatable, Sendable {
    /// A chunk: the unit of ownership, of huge pages and of giving back. 2 MiB.
    @inlinable package static var chunkBytes: UInt64 { @_noLocks get { 2 << 20 } }
    /// An OS page, the unit of file content. 4 KiB.
    @inlinable package static var pageBytes: UInt64 { @_noLocks get { 4096 } }
    /// Bytes of a chunk descriptor: two cache lines.
    @inlinable package static var descriptorBytes: UInt64 { @_noLocks get { 128 } }
    /// Chunks whose descriptors fill one chunk.
    @inlinable package static var groupChunks: UInt64 {
        @_noLocks get { chunkBytes / descriptorBytes }
    }
    /// Bytes of a shard header: four cache lines, so that shards never share one.
    @inlinable package static var shardBytes: UInt64 { @_noLocks get { 256 } }
    @inlinable package static var shardsOffset: UInt64 { @_noLocks get { 64 << 10 } }
    /// Shards whose headers fit before the first chunk.
    package static var mostShards: Int { Int((chunkBytes - shardsOffset) / shardBytes) }

    /// Shards made for a region: as many as the queues of a large machine, whatever this one has.
    package static var defaultShardCount: Int { 1024 }
    /// Shards for more workers than that.
    package static func shardCount(workers: Int) -> Int {
        min(mostShards, max(defaultShardCount, (workers + 63) / 64 * 64))
    }

    /// Size of the mapped range.
    @usableFromInline package let bytes: UInt64
    @usableFromInline package let shardCount: UInt64
    /// Chunks that the range has room for, those of descriptors among them.
    @usableFromInline package let chunkCount: UInt64

    @inlinable package var firstChunkOffset: UInt64 { @_noLocks get { Self.chunkBytes } }

    /// Whether a region can be divided so: whole chunks, eight at least.
    package static func fits(bytes: UInt64, shardCount: Int) -> Bool {
        bytes % chunkBytes == 0 && bytes / chunkBytes >= 8 && bytes < 1 << 48
            && shardCount > 0 && shardCount <= mostShards
    }

    /// - Precondition: `fits(bytes:shardCount:)`.
    package init(bytes: UInt64, shardCount: Int) {
        precondition(
            Self.fits(bytes: bytes, shardCount: shardCount),
            "Geometry: \(bytes) bytes, \(shardCount) shards")
        self.bytes = bytes
        self.shardCount = UInt64(shardCount)
        chunkCount = bytes / Self.chunkBytes - 1
    }

    @inlinable @_noLocks package func shard(_ index: UInt64) -> UInt64 {
        Self.shardsOffset + index * Self.shardBytes
    }
    @inlinable @_noLocks package func descriptor(_ chunk: UInt64) -> UInt64 {
        let within = chunk & (Self.groupChunks - 1)
        return chunkStart(chunk - within) + within * Self.descriptorBytes
    }
    @inlinable @_noLocks package func chunkStart(_ chunk: UInt64) -> UInt64 {
        firstChunkOffset + chunk * Self.chunkBytes
    }
    @inlinable @_noLocks package func chunk(containing offset: UInt64) -> UInt64 {
        (offset - firstChunkOffset) / Self.chunkBytes
    }
    /// Whether a chunk holds descriptors, so that nobody ever owns it.
    @inlinable @_noLocks package func holdsDescriptors(_ chunk: UInt64) -> Bool {
        chunk & (Self.groupChunks - 1) == 0
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
    /// 2: descriptors in the first chunk of each group; sealed images. 3: inodes know their names.
    package static let formatVersion: UInt64 = 3
    /// 4: pages that several files share (SharedPages.swift). An image without them is of 3.
    @inlinable package static var sharingVersion: UInt64 { @_noLocks get { 4 } }
    /// What is understood.
    package static let knownVersions = formatVersion...sharingVersion

    @inlinable package static var magic: UInt64 { @_noLocks get { 0 } }
    @inlinable package static var version: UInt64 { @_noLocks get { 8 } }
    /// Bytes of the file, in a sealed image; 0 while the region is in use.
    @inlinable package static var imageBytes: UInt64 { @_noLocks get { 16 } }
    @inlinable package static var shardCount: UInt64 { @_noLocks get { 24 } }
    /// Checksums of a sealed image: of the superblock's page, and of all other pages.
    @inlinable package static var headerChecksum: UInt64 { @_noLocks get { 32 } }
    @inlinable package static var bodyChecksum: UInt64 { @_noLocks get { 40 } }
    /// First chunk that was never handed out: everything above is untouched.
    @inlinable package static var freshChunk: UInt64 { @_noLocks get { 64 } }
    /// Head of the pool of empty chunks: chunk + 1 in the low half, a tag against ABA in the high.
    @inlinable package static var pool: UInt64 { @_noLocks get { 128 } }
    /// Two quotas, each a free count and a limit, on cache lines of their own.
    @inlinable package static var pageQuota: UInt64 { @_noLocks get { 192 } }
    @inlinable package static var inodeQuota: UInt64 { @_noLocks get { 256 } }
    /// Chunks that may still be taken within the store's limits; all ones: no such limit.
    /// Volatile: means nothing in an image.
    @inlinable package static var chunkAllowance: UInt64 { @_noLocks get { 320 } }
    /// From here on the words are the inode store's.
    @inlinable package static var storeWords: UInt64 { @_noLocks get { 1024 } }
}
