// ImageHeader: what the first page of an image says, read before anything else of it is believed.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// Why a file is not taken for an image.
package enum ImageError: Error, Equatable {
    /// It cannot be read, or not mapped.
    case system(Errno)
    /// Its beginning is not that of an image.
    case foreign
    /// An image of another version of the format: this one's number.
    case version(UInt64)
    /// It is shorter, or longer, than it says.
    case length(is: UInt64, shouldBe: UInt64)
    /// Its first page is not what it was.
    case damagedHeader
    /// It was being made and never finished.
    case unfinished
    /// A layer of another version of the format: this one's number.
    case layerVersion(UInt64)
    /// A layer that says what cannot be, or is not what it was: what of it.
    case damagedLayer(String)
}

/// The first page of an image, of which the checksum was right.
package struct ImageHeader: Sendable, Equatable {
    package var version: UInt64
    /// Bytes of the file: whole chunks.
    package var imageBytes: UInt64
    package var shardCount: Int
    /// Pages of content, of 4 KiB.
    package var pagesInUse: UInt64
    /// Inode space in the store's unit.
    package var inodeSpaceInUse: UInt64
    /// Of all pages but the first (`Arena.bodyChecksum`); 0 in what a layer makes.
    package var bodyChecksum: UInt64
    /// Of the page as it stands, with the checksum of all others in it: of what the image is. Nil for
    /// what is no image.
    package var digest: ImageDigest?

    /// Reads and judges the first page of a file.
    ///
    /// - Complexity: O(1).
    package init(reading descriptor: Int32) throws(ImageError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .system(Errno(rawValue: errno))
        }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size >= 8 else { throw .foreign }
        var words = [UInt64](repeating: 0, count: 512)
        let code = unsafe words.withUnsafeMutableBytes { page in
            unsafe csys_read_all(
                descriptor, page.baseAddress, min(page.count, Int(status.st_size)), 0)
        }
        guard code == 0 else { throw .system(Errno(rawValue: code)) }
        try self.init(&words, bytes: UInt64(status.st_size))
    }

    /// Judges the first page of an image.
    ///
    /// - Parameters:
    ///   - words: the page.
    ///   - size: what the image has.
    init(_ words: inout [UInt64], bytes size: UInt64) throws(ImageError) {
        digest = unsafe words.withUnsafeBytes { unsafe ImageDigest(of: $0) }
        func word(_ offset: UInt64) -> UInt64 { words[Int(offset / 8)] }
        guard word(Superblock.magic) == Superblock.magicValue else { throw .foreign }
        version = word(Superblock.version)
        guard Superblock.knownVersions.contains(version) else { throw .version(version) }
        guard word(Superblock.imageBytes) != 0 else { throw .unfinished }
        imageBytes = word(Superblock.imageBytes)
        let checksum = word(Superblock.headerChecksum)
        words[Int(Superblock.headerChecksum / 8)] = 0
        guard unsafe cmem_page_checksum(words, Self.pageNumber) == checksum else {
            throw .damagedHeader
        }
        guard imageBytes == size else { throw .length(is: size, shouldBe: imageBytes) }
        shardCount = Int(truncatingIfNeeded: word(Superblock.shardCount))
        let chunks = word(Superblock.freshChunk)
        guard imageBytes % Geometry.chunkBytes == 0, shardCount > 0,
            shardCount <= Geometry.mostShards, imageBytes < 1 << 48,
            chunks == imageBytes / Geometry.chunkBytes - 1
        else { throw .damagedHeader }
        pagesInUse = word(Superblock.pageQuota + 8)
        inodeSpaceInUse = word(Superblock.inodeQuota + 8)
        // Whatever is counted takes an entry of a map or one of the smallest units, for which nobody
        // counts more than a page, or 1 KiB of inode space: nothing that is computed from them overflows.
        guard pagesInUse <= imageBytes / 8, inodeSpaceInUse <= imageBytes * 16 else {
            throw .damagedHeader
        }
        bodyChecksum = word(Superblock.bodyChecksum)
    }

    /// Of a file of so many bytes, of which nothing else is asked. For tests.
    init(bytes: UInt64) {
        version = Superblock.formatVersion
        imageBytes = bytes
        shardCount = 1
        pagesInUse = 0
        inodeSpaceInUse = 0
        bodyChecksum = 0
        digest = nil
    }

    /// Of a part of a region that is in memory, and of which nobody doubts.
    package init(trusting arena: Arena, bytes: UInt64) {
        version = Superblock.formatVersion
        imageBytes = bytes
        shardCount = Int(arena.geometry.shardCount)
        pagesInUse = arena.pages.limit - arena.pages.free
        inodeSpaceInUse = arena.inodeSpace.limit - arena.inodeSpace.free
        bodyChecksum = 0
        digest = nil
    }

    /// Of the image that a layer makes of its base: the first pages are in the layer.
    package init(ofLayer file: LayerFile, _ descriptor: Int32) throws(ImageError) {
        let buffer = UnsafeMutableRawPointer.allocate(
            byteCount: Int(Geometry.chunkBytes), alignment: 4096)
        defer { unsafe buffer.deallocate() }
        try unsafe LayerFile.read(file.runs[0], of: descriptor, into: buffer)
        var words = [UInt64](repeating: 0, count: 512)
        unsafe words.withUnsafeMutableBytes {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: buffer, count: 4096))
        }
        do throws(ImageError) {
            try self.init(&words, bytes: file.imageBytes)
        } catch .system(let error) {
            throw .system(error)
        } catch {
            throw .damagedLayer("the first page of its image is none")
        }
    }

    /// What the header's page counts as in its checksum.
    static let pageNumber: UInt64 = 1
}
