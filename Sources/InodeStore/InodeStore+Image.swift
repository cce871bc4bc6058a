// A store and files: made in one, opened from one, written to one (Docs/ImageFormat.md).

internal import CMayflySystem
internal import Glibc
package import MayflyArena
package import SystemPackage

extension InodeStore {
    /// Opens an image: a private mapping, of which nothing is read before it is touched.
    ///
    /// The header is checked and that the root is a directory, no more: `check` proves the rest.
    ///
    /// - Parameters:
    ///   - descriptor: may be closed afterwards. Nobody may change the file while the store is used.
    ///   - limits: as of an empty store; what is in use stays so where it is more.
    /// - Throws: `ImageError`; `.system(EINVAL)` for more workers than the image has shards.
    /// - Complexity: O(1).
    package init(
        image descriptor: Int32, pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int,
        growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0),
        options: StoreOptions = StoreOptions()
    ) throws(ImageError) {
        let header = try ImageHeader(reading: descriptor)
        try self.init(
            mapping: BaseMapping(descriptor: descriptor, bytes: header.imageBytes), header,
            pageLimit: pageLimit, inodeLimit: inodeLimit, workerCount: workerCount, growth: growth,
            options: options)
    }

    /// Opens an image that others may change: what it is in the base's mapping.
    ///
    /// - Parameters:
    ///   - base: outlives the store.
    ///   - header: of the file.
    /// - Throws: as the other.
    package init(
        image base: SnapshotBase, header: ImageHeader, pageLimit: UInt64, inodeLimit: UInt64,
        workerCount: Int, growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0),
        options: StoreOptions = StoreOptions()
    ) throws(ImageError) {
        try self.init(
            mapping: base.mapping, header, pageLimit: pageLimit, inodeLimit: inodeLimit,
            workerCount: workerCount, growth: growth, options: options)
    }

    private init(
        mapping: BaseMapping, _ header: ImageHeader, pageLimit: UInt64, inodeLimit: UInt64,
        workerCount: Int, growth: (pageLimit: UInt64, inodeLimit: UInt64), options: StoreOptions
    ) throws(ImageError) {
        do throws(Errno) {
            try self.init(
                mapping, header, limits: (pageLimit, inodeLimit), growth: growth,
                workerCount: workerCount, options: options)
        } catch {
            throw .system(error)
        }
        guard hasSoundRoot else {
            unmap()
            throw .damagedHeader
        }
        arena.settle(limits: (pageLimit, inodeLimit * Self.inodeSpaceUnit))
    }

    /// Opens what lies in a file, which is an image or was frozen by `Arena.makeBase`. The arena is to
    /// be settled.
    ///
    /// - Parameter least: bytes of the region that are needed whatever the limits are.
    init(
        _ mapping: BaseMapping, _ header: ImageHeader, limits: (pages: UInt64, inodes: UInt64),
        growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0), workerCount: Int,
        least: UInt64 = 0, options: StoreOptions
    ) throws(Errno) {
        guard Self.accepts(pageLimit: limits.pages, inodeLimit: limits.inodes) else {
            throw .invalidArgument
        }
        let (arena, sideTable) = try Self.reserve(
            limits: limits, growth: growth, workerCount: workerCount,
            atLeast: max(header.imageBytes, least)
        ) { bytes throws(Errno) in
            try Arena(
                regionBytes: bytes, opening: mapping, header: header, workerCount: workerCount)
        }
        self.init(
            arena: arena, sideTable: sideTable,
            root: InodeOffset(arena.region.load(StoreSuperblock.root)),
            options: options)
    }

    private var hasSoundRoot: Bool {
        let geometry = arena.geometry
        let offset = root.rawValue
        guard offset & (Inode.bytes - 1) == 0, offset >= geometry.firstChunkOffset,
            offset < arena.baseBytes, arena.worker(0).isInode(offset)
        else { return false }
        return arena.region.load32(root + Inode.mode) & FileMode.typeMask == FileMode.directory
    }

    /// Room that a file has from the beginning in which a store is built.
    package static var buildingBytes: UInt64 { 8 * Geometry.chunkBytes }

    /// Makes an empty store whose region is a file: an image in the making, for one worker.
    ///
    /// - Parameter descriptor: an empty file, open for reading and writing.
    /// - Throws: as the other; errors of ftruncate(2) and fallocate(2).
    package init(
        building descriptor: Int32, pageLimit: UInt64 = 1 << 32, inodeLimit: UInt64 = 1 << 31,
        shardCount: Int = Geometry.defaultShardCount,
        mode: UInt32 = 0o755, owner: Caller = Caller(userID: 0, groupID: 0)
    ) throws(Errno) {
        // Above what any file system takes, and so the mapping is as long as the file may be.
        let bytes: UInt64 = 1 << 40
        guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw Errno(rawValue: errno) }
        let code = csys_reserve(descriptor, 0, Self.buildingBytes)
        if code != 0 { throw Errno(rawValue: code) }
        let arena = try Arena(
            regionBytes: bytes, shardCount: shardCount, pageLimit: pageLimit,
            inodeSpaceLimit: inodeLimit * Self.inodeSpaceUnit, workerCount: 1,
            backing: .sharedFile(descriptor: descriptor))
        let sideTable: Region
        do throws(Errno) {
            sideTable = try Region(
                reserving: bytes / Inode.bytes * Side.bytes, backing: .scattered)
        } catch {
            arena.unmap()
            throw error
        }
        self.init(arena: arena, sideTable: sideTable, root: .null, options: StoreOptions())
        let root: InodeOffset
        do throws(Errno) {
            root = try makeRoot(mode: mode, owner: owner)
        } catch {
            unmap()
            throw error
        }
        self.init(arena: arena, sideTable: sideTable, root: root, options: StoreOptions())
    }

    /// Makes sure of room on disk for this much content and what it needs beside, so that a full
    /// disk is an error here, and no signal where memory is touched. To be called before each step
    /// of building.
    ///
    /// - Parameters:
    ///   - reserved: bytes that are sure already; `buildingBytes` at first.
    ///   - isThere: whether so many bytes more may be taken.
    /// - Throws: `ENOSPC`, `EDQUOT`, `EFBIG`; `ENOMEM` where they may not.
    package func reserveRoom(
        for bytes: UInt64, in descriptor: Int32, reserved: inout UInt64,
        _ isThere: (UInt64) -> Bool
    ) throws(Errno) {
        // A chunk of each kind, one of descriptors, and the map.
        let need = arena.usedEnd + bytes + bytes / 256 + 6 * Geometry.chunkBytes
        if need <= reserved { return }
        let end = (need + 8 * Geometry.chunkBytes) & ~(Geometry.chunkBytes - 1)
        guard isThere(end - reserved) else { throw .noMemory }
        let code = csys_reserve(descriptor, reserved, end - reserved)
        if code != 0 { throw Errno(rawValue: code) }
        reserved = end
    }

    /// Ends building: frees what is not needed and makes the file an image.
    ///
    /// - Precondition: the worker has left. Afterwards the store is only unmapped.
    package func seal(_ descriptor: Int32) throws(Errno) {
        prepareForImage()
        try arena.sealInPlace(descriptor)
    }

    /// Writes the store to an empty file as an image.
    ///
    /// - Parameter base: what the store began as, where it is at hand; so that its holes are not read.
    /// - Precondition: nobody else uses the store, which is only unmapped afterwards.
    package func writeImage(to descriptor: Int32, base: BaseMapping? = nil) throws(Errno) {
        prepareForImage()
        try arena.writeImage(to: descriptor, base: base)
    }

    /// Writes the pages in which the store differs from an image to an empty file.
    ///
    /// - Parameters:
    ///   - pages: the image, with the layers that it has.
    ///   - name: what it is called, without a folder.
    ///   - base: what the store began as.
    /// - Precondition: as `writeImage`.
    /// - Throws: errors of pread(2) and pwrite(2); `EFBIG` for too many runs.
    /// - Complexity: O(chunks, inodes and changed pages) where the store began as that image or as a
    ///   layer on it, which nobody has changed; O(bytes in use) otherwise.
    package func writeLayer(
        to descriptor: Int32, over pages: ImagePages, named name: [UInt8], base: BaseMapping?
    ) throws(Errno) -> WrittenLayer {
        prepareForImage()
        // An image without a guard is a copy, of which nobody knows whether it is the file still.
        let above = base?.guardian == nil ? nil : base?.pages?.runs(above: pages.digests[0])
        return try arena.writeLayer(
            to: descriptor, over: pages, named: name,
            changed: above.map { PageRun.union($0 + changedRuns()) }, origin: base)
    }

    private func prepareForImage() {
        whileFrozen {
            for orphan in orphans() { endOrphan(orphan) }
            settle()
            for index in 0..<arena.workerCount { _ = worker(index).worker.trim() }
        }
        arena.settle(limits: (0, 0))
    }

    // MARK: what lies among pages of content

    /// Has pages in memory that lie among pages of content and hold more than that, as
    /// `checkForServing` has found them before in the same image.
    ///
    /// - Precondition: the store was just opened from the image; nobody else uses it.
    /// - Returns: whether all are there; not where the image is changed, or where memory is short.
    package func bring(_ runs: [PageRun]) -> Bool {
        do throws(Errno) {
            for run in runs.lazy.flatMap(\.byChunks) where arena.holdsPages(run.lowerBound) {
                try arena.bring(run.lowerBound, UInt64(run.count))
            }
            return true
        } catch { return false }
    }

    /// What was brought to memory of a store that was just opened from an image and checked.
    package var broughtRuns: [PageRun] {
        let first = arena.geometry.firstChunkOffset
        return arena.writtenRuns().flatMap(\.byChunks).filter {
            $0.lowerBound >= first && arena.holdsPages($0.lowerBound)
        }
    }

    // MARK: inodes without names

    /// Offsets of inodes that have no name left, and live for the kernel's references.
    ///
    /// - Precondition: nobody else uses the store.
    /// - Complexity: O(inodes).
    func orphans() -> [InodeOffset] {
        var found: [InodeOffset] = []
        for chunk in 0..<arena.region.load(Superblock.freshChunk) where arena.holdsInodes(chunk) {
            arena.forEachUsedUnit(ofInodes: chunk) {
                let inode = InodeOffset($0)
                if isOrphan(inode) { found.append(inode) }
            }
        }
        return found
    }

    /// Whether an inode without names is at an offset where one was before. Its chunk may have been
    /// given back since: then the region shows it again as the base has it, or has other things there.
    func isOrphan(_ inode: InodeOffset) -> Bool {
        arena.isUsedUnit(ofInodes: inode.rawValue)
            && arena.region.load32(inode + Inode.mode) != 0
            && arena.region.load32(inode + Inode.links) == 0
    }

    /// Ends an inode without names that nobody refers to, with what lies in it.
    ///
    /// - Precondition: the workers are entered, and nobody else uses the store.
    func endOrphan(_ inode: InodeOffset) {
        let worker = worker(0)
        if arena.region.load32(inode + Inode.flags) & InodeFlags.staging != 0 {
            _ = worker.emptyFrozen(NodeID(rawValue: worker.nodeID(inode)))
            // Whoever held it does not come back to it: what is rolled back is built no further.
            sideTable.store(worker.side(inode) + Side.lookups, 0)
        }
        worker.endIfUnused(inode)
    }
}
