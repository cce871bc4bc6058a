// Arena and files: writing a region as an image, and freezing one as the base of a private mapping.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import SystemPackage

extension Arena {
    /// Writes what is in use to the same offsets of an empty file.
    ///
    /// - Parameter base: as `forEachFilledRun` has it.
    /// - Precondition: nobody changes the arena meanwhile.
    /// - Throws: errors of pwrite(2).
    package func writeUsed(to descriptor: Int32, base: BaseMapping? = nil) throws(Errno) {
        try forEachFilledRun(base: base) { run, isContent throws(Errno) in
            try unsafe forEachPiece(of: run, isContent: isContent) {
                offset, bytes, count throws(Errno) in
                try unsafe Self.write(bytes, count, at: offset, to: descriptor)
            }
        }
    }

    /// Writes pages, and leaves holes where they are zero.
    private static func write(
        _ bytes: UnsafeRawPointer, _ count: Int, at offset: UInt64, to descriptor: Int32
    ) throws(Errno) {
        let page = Int(Geometry.pageBytes)
        func isZero(_ at: Int) -> Bool {
            let start = unsafe bytes + at
            return unsafe start.loadUnaligned(as: UInt64.self) == 0
                && cmem_compare(start, start + 8, page - 8) == 0
        }
        var at = 0
        while at < count {
            if isZero(at) {
                at += page
                continue
            }
            var end = at + page
            while end < count, !isZero(end) { end += page }
            let code = unsafe csys_write_all(descriptor, bytes + at, end - at, offset + UInt64(at))
            if code != 0 { throw Errno(rawValue: code) }
            at = end
        }
    }

    /// Writes the arena to an empty file and makes it an image.
    ///
    /// - Precondition: nobody else uses the arena; it is settled with limits of 0, so that no quota
    ///   has anything free.
    package func writeImage(to descriptor: Int32, base: BaseMapping? = nil) throws(Errno) {
        let bytes = usedEnd
        guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw Errno(rawValue: errno) }
        seal(bytes, base: base)
        try writeUsed(to: descriptor, base: base)
    }

    /// Ends the making of an image in a shared mapping: nothing is written to it any more.
    ///
    /// - Precondition: as `writeImage`.
    package func sealInPlace(_ descriptor: Int32) throws(Errno) {
        let bytes = usedEnd
        // What is free is a hole, however it was used before: the same input gives the same bytes.
        var end: UInt64 = 0
        func punch(to next: UInt64) {
            if end < next, csys_punch(descriptor, end, next - end) != 0 {
                region.zero(end, next - end)
            }
        }
        try forEachUsedRun { run, _ throws(Errno) in
            punch(to: run.lowerBound)
            end = run.upperBound
        }
        punch(to: bytes)
        zeroFreeUnits()
        seal(bytes)
        guard unsafe msync(region.base, Int(bytes), MS_SYNC) == 0,
            ftruncate(descriptor, off_t(bytes)) == 0
        else { throw Errno(rawValue: errno) }
    }

    private func seal(_ bytes: UInt64, base: BaseMapping? = nil) {
        region.store(Superblock.imageBytes, bytes)
        region.store(Superblock.bodyChecksum, bodyChecksum(base: base))
        region.store(Superblock.headerChecksum, 0)
        let sum = unsafe cmem_page_checksum(region.pointer(0), ImageHeader.pageNumber)
        region.store(Superblock.headerChecksum, sum)
    }

    /// The checksums of all pages in use but the first, added up. Zero pages count nothing, so that
    /// holes do not either.
    ///
    /// - Complexity: O(bytes in use).
    package func bodyChecksum(base: BaseMapping? = nil) -> UInt64 {
        var sum: UInt64 = 0
        try? forEachFilledRun(base: base) { run, isContent throws(Errno) in
            try unsafe forEachPiece(of: run, isContent: isContent) {
                offset, bytes, count throws(Errno) in
                for at in stride(from: 0, to: count, by: Int(Geometry.pageBytes)) {
                    let number = (offset + UInt64(at)) / Geometry.pageBytes
                    if number == 0 { continue }
                    sum &+= unsafe cmem_page_checksum(bytes + at, number + 1)
                }
            }
        }
        return sum
    }

    /// Clears the units that are free in pages that are in use.
    private func zeroFreeUnits() {
        for chunk in 0..<region.load(Superblock.freshChunk) where !geometry.holdsDescriptors(chunk)
        {
            let descriptor = geometry.descriptor(chunk)
            guard region.load(descriptor + Descriptor.state) != Descriptor.pool else { continue }
            let kind = ChunkKind.known(region.load(descriptor + Descriptor.tag) >> 32)
            if kind.rawValue == ChunkKind.pages.rawValue { continue }
            let bitmap = bitmap(kind, chunk)
            for unit in kind.firstUnit..<region.load(descriptor + Descriptor.clean)
            where !bitmap.isSet(unit) {
                let at = geometry.chunkStart(chunk) + unit << kind.unitShift
                region.zero(at, 1 << kind.unitShift)
            }
        }
    }
}
