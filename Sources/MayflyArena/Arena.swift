// Arena: a region with its geometry, quotas, and the volatile state of those who work on it.

internal import CMayflyMemory
internal import Glibc
package import SystemPackage

/// The region and what belongs to it while it is mapped. A trivial value.
@safe package struct Arena: @unchecked Sendable {
    // Sendable: addresses of mappings that live until `unmap`, the last call on any copy.
    package let region: Region
    package let geometry: Geometry
    /// Whether the region is a shared mapping of a file.
    let isShared: Bool
    /// Whether that file is an image that is being made, whose maker sees to it that there is room.
    let isBuilding: Bool
    /// Address of the notes of changes under way (Survival.swift); 0 where nothing survives.
    package let notes: UInt64
    /// Epoch and worker states: volatile, not in the image.
    package let volatileState: Region
    /// Workers that exist; worker i owns shard i.
    package let workerCount: Int

    /// Makes an empty arena.
    ///
    /// - Parameters:
    ///   - regionBytes: size of the reservation, a multiple of 2 MiB.
    ///   - pageLimit: exact limit of pages of 4 KiB.
    ///   - inodeSpaceLimit: exact limit of inode space, in the store's unit.
    ///   - workerCount: threads that work on it at the same time, at most `shardCount`.
    /// - Throws: `ENOMEM` when the address space cannot be had, `EINVAL` for impossible numbers.
    package init(
        regionBytes: UInt64, shardCount: Int = Geometry.defaultShardCount, pageLimit: UInt64,
        inodeSpaceLimit: UInt64, workerCount: Int, backing: Backing = .anonymous
    ) throws(Errno) {
        try self.init(
            mapping: regionBytes, shardCount: shardCount, workerCount: workerCount,
            backing: backing)
        region.store(Superblock.magic, Superblock.magicValue)
        region.store(Superblock.version, Superblock.formatVersion)
        region.store(Superblock.shardCount, UInt64(shardCount))
        region.store(Superblock.chunkAllowance, .max)
        pages.initialize(limit: pageLimit)
        inodeSpace.initialize(limit: inodeSpaceLimit)
    }

    /// Opens what another process has left in a memory file. It is to be repaired before it is used.
    ///
    /// - Parameter isClean: whether it needs no repair, because its server ended between two requests.
    /// - Throws: `EINVAL` for a file that holds no such thing, or that was never finished; `ENOMEM`.
    package init(
        recovering descriptor: Int32, workerCount: Int, isClean: inout Bool
    ) throws(Errno) {
        let header = try SurvivingHeader(reading: descriptor)
        try self.init(
            mapping: header.regionBytes, shardCount: header.shardCount, workerCount: workerCount,
            backing: .surviving(descriptor: descriptor))
        guard region.load(Superblock.magic) == Superblock.magicValue,
            Superblock.knownVersions.contains(region.load(Superblock.version)),
            region.load(Superblock.shardCount) == UInt64(header.shardCount)
        else {
            unmap()
            throw .invalidArgument
        }
        markData(of: descriptor)
        isClean = takeOver()
    }

    /// Opens what a file holds as a private mapping. It is to be settled before it is used.
    ///
    /// - Parameter header: what was read from the file, and found good.
    /// - Throws: `ENOMEM`; `EINVAL` for more workers than the file has shards.
    package init(
        regionBytes: UInt64, opening base: BaseMapping, header: ImageHeader, workerCount: Int
    ) throws(Errno) {
        guard regionBytes >= header.imageBytes, base.bytes == header.imageBytes else {
            throw .invalidArgument
        }
        try self.init(
            mapping: regionBytes, shardCount: header.shardCount, workerCount: workerCount,
            backing: .privateFile(base))
        setBase(header.imageBytes)
        if let guardian = base.guardian {
            let address = unsafe UInt64(UInt(bitPattern: guardian.pointer))
            volatileState.store(WorkerState.imageGuard, address)
            volatileState.store(WorkerState.imageMapped, base.isMapped ? 1 : 0)
        }
    }

    private init(
        mapping regionBytes: UInt64, shardCount: Int, workerCount: Int, backing: Backing
    ) throws(Errno) {
        guard workerCount > 0, workerCount <= shardCount,
            Geometry.fits(bytes: regionBytes, shardCount: shardCount)
        else { throw .invalidArgument }
        assert(PrivatePages.prepare())
        geometry = Geometry(bytes: regionBytes, shardCount: shardCount)
        var notes: UInt64 = 0
        if case .surviving(let descriptor) = backing {
            notes = try Notes.map(descriptor, regionBytes: regionBytes)
        }
        self.notes = notes
        let region: Region
        do throws(Errno) {
            region = try Region(reserving: regionBytes, backing: backing)
        } catch {
            Notes.unmap(notes)
            throw error
        }
        self.region = region
        if case .sharedFile = backing { isBuilding = true } else { isBuilding = false }
        isShared = isBuilding || notes != 0
        self.workerCount = workerCount
        do throws(Errno) {
            volatileState = try WorkerState.reserve(workerCount)
        } catch {
            Notes.unmap(notes)
            region.unmap()
            throw error
        }
    }

    /// Takes the credits that shards hold back, and sets limits that are not below what is in use.
    ///
    /// - Precondition: nobody else uses the arena.
    package func settle(limits: (pages: UInt64, inodeSpace: UInt64)) {
        region.store(Superblock.imageBytes, 0)
        region.store(Superblock.headerChecksum, 0)
        region.store(Superblock.bodyChecksum, 0)
        region.store(Superblock.chunkAllowance, .max)
        pages.settle(limit: limits.pages)
        inodeSpace.settle(limit: limits.inodeSpace)
    }

    /// Bytes from the start that are a private mapping of a file; 0 without one.
    package var baseBytes: UInt64 { @_noLocks get { region.privateEnd } }

    /// The worker that owns shard `index`. One thread at a time may have entered it.
    package func worker(_ index: Int) -> ArenaWorker {
        precondition(index >= 0 && index < workerCount, "Arena.worker: \(index)")
        return ArenaWorker(arena: self, index: UInt64(index))
    }

    /// Pages of content and of what is charged like it.
    package var pages: Quota {
        @_noLocks get {
            Quota(
                region: region, geometry: geometry, global: Superblock.pageQuota,
                credit: Shard.pageCredit, batch: 256)
        }
    }
    /// Inode space, in the store's unit.
    package var inodeSpace: Quota {
        @_noLocks get {
            Quota(
                region: region, geometry: geometry, global: Superblock.inodeQuota,
                credit: Shard.inodeCredit, batch: 65_536)
        }
    }

    /// Bytes of chunks that have been handed out at least once and not given back.
    package var chunkBytesInUse: UInt64 {
        var count: UInt64 = 0
        for chunk in 0..<region.load(Superblock.freshChunk)
        where region.load(geometry.descriptor(chunk) + Descriptor.state) != Descriptor.pool {
            count += 1
        }
        return count * Geometry.chunkBytes
    }

    /// Sets how many bytes of chunks may be in use at once. What is asked beyond that is refused as
    /// in a full region.
    ///
    /// - Concurrency: any thread.
    package func allow(inUseAtMost most: UInt64) {
        // Each worker may have counted a chunk off that does not yet show as one in use.
        let underWay = UInt64(workerCount) * Geometry.chunkBytes
        var old: UInt64
        var chunks: UInt64
        repeat {
            old = region.load(Superblock.chunkAllowance)
            let taken = chunkBytesInUse + underWay
            chunks = (most - min(most, taken)) / Geometry.chunkBytes
        } while !region.exchange(Superblock.chunkAllowance, expected: old, desired: chunks)
    }

    /// Gives everything back to the system. Nothing may use the arena any more.
    package func unmap() {
        cmem_budget_promise(-Int64(clamping: region.unwrittenPages))
        WorkerState.unmap(volatileState, workerCount)
        Notes.unmap(notes)
        region.unmap()
    }
}

/// One worker's right to its shard: the value every operation is called on. Trivial.
@safe package struct ArenaWorker: Sendable {
    package let arena: Arena
    package let index: UInt64
    package let region: Region
    /// Offset of the shard's header in the region.
    let header: UInt64
    /// Offset of the worker's state in the volatile memory.
    let state: UInt64

    @_noLocks init(arena: Arena, index: UInt64) {
        self.arena = arena
        self.index = index
        region = arena.region
        header = arena.geometry.shard(index)
        state = WorkerState.offset(index)
    }

    /// Whether an offset is the slot of an inode: in a chunk of inodes that somebody owns.
    @_noLocks package func isInode(_ offset: UInt64) -> Bool {
        let geometry = arena.geometry
        let chunk = geometry.chunk(containing: offset)
        let descriptor = geometry.descriptor(chunk)
        return region.load(descriptor + Descriptor.tag) >> 32 == ChunkKind.inodes.rawValue
            && region.loadAcquire(descriptor + Descriptor.state) != Descriptor.pool
            && offset - geometry.chunkStart(chunk)
                >= ChunkKind.inodes.firstUnit << ChunkKind.inodes.unitShift
    }

    /// A number that no other inode of this region has had (until 32 bits wrap).
    @_noLocks package func nextGeneration() -> UInt32 {
        let sequence = region.load(header + Shard.generation) + 1
        region.store(header + Shard.generation, sequence)
        return UInt32(truncatingIfNeeded: sequence * arena.geometry.shardCount + index)
    }
}

extension Arena {
    /// The sequences from which each shard makes generations.
    package var generations: [UInt64] {
        (0..<geometry.shardCount).map { region.load(geometry.shard($0) + Shard.generation) }
    }

    /// Lets no shard give a generation twice, whatever it was set back to.
    package func raiseGenerations(to least: [UInt64]) {
        for (shard, sequence) in least.enumerated() {
            let word = geometry.shard(UInt64(shard)) + Shard.generation
            if region.load(word) < sequence { region.store(word, sequence) }
        }
    }
}
