// InodeStore: the tree of inodes in an arena.
//
// Lock order (outer first):
//
//     rename lock            one per store: a directory changes its parent
//      └─ inode locks        up to four, in the order of nodeids
//          └─ quota edge     one word per quota, held for O(shards) steps
//
// Readers (lookup, attributes, readlink, read, readdir, xattr reads) take none of them: they enter
// the worker's epoch, follow offsets, and what they hold is not reused until they leave.

internal import CMayflyMemory
package import MayflyArena
package import SystemPackage

/// Words of the superblock that are the store's.
enum StoreSuperblock {
    static var root: UInt64 { @_noLocks get { Superblock.storeWords } }
    /// Inodes that chattr(1) has made immutable or append-only, and 1; 0 where nobody has counted them,
    /// in an image of an older version (FixedInodes.swift).
    static var fixedInodes: UInt64 { @_noLocks get { Superblock.storeWords + 8 } }
}

/// How a mount's access times move, and who refuses to open what chattr(1) protects. Trivial.
@frozen package struct StoreOptions: Sendable {
    /// When reading moves an access time.
    ///
    /// Compared as a number: an enum's comparison goes through metadata.
    @frozen package struct AccessTimes: Sendable {
        let rawValue: UInt8
        @_noLocks init(rawValue: UInt8) { self.rawValue = rawValue }
        /// When it is older than a change, or than a day.
        package static var relative: AccessTimes { @_noLocks get { AccessTimes(rawValue: 0) } }
        package static var never: AccessTimes { @_noLocks get { AccessTimes(rawValue: 1) } }
        package static var strict: AccessTimes { @_noLocks get { AccessTimes(rawValue: 2) } }
    }

    package var accessTimes = AccessTimes.relative
    /// As `accessTimes`, for directories.
    package var directoryAccessTimes = AccessTimes.relative
    /// Whether OPEN is asked first, so that a WRITE comes through a descriptor that may write.
    package var checksOpen = false

    package init() {}
}

/// A file tree in one region. A trivial value.
@safe package struct InodeStore: Sendable {
    package let arena: Arena
    /// 32 volatile bytes for every inode slot.
    let sideTable: Region
    /// Offset of the root inode.
    let root: InodeOffset
    package let options: StoreOptions

    /// What an inode or a further link takes of the inode space, as tmpfs counts it.
    ///
    /// - Source: mm/shmem.c, BOGO_INODE_SIZE.
    package static var inodeSpaceUnit: UInt64 { @_noLocks get { 1024 } }

    /// Whether a store can have these limits: content of less than 64 TiB, and fewer inodes than nodeids
    /// can count.
    package static func accepts(pageLimit: UInt64, inodeLimit: UInt64) -> Bool {
        pageLimit > 0 && inodeLimit > 0 && pageLimit < 1 << 34 && inodeLimit < 1 << 32
    }

    /// Makes an empty tree: a root directory.
    ///
    /// - Parameters:
    ///   - pageLimit: exact limit of content in pages of 4 KiB.
    ///   - inodeLimit: exact limit of inodes, the root among them.
    ///   - workerCount: threads that work at the same time.
    ///   - growth: limits that `resize` is to reach later, where the address space can be had.
    ///   - mode: permission bits of the root.
    /// - Throws: `ENOMEM` when the address space cannot be had; `EINVAL` for impossible numbers.
    package init(
        pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int,
        growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0),
        shardCount: Int = Geometry.defaultShardCount, mode: UInt32 = 0o1777, owner: Caller,
        options: StoreOptions = StoreOptions(), backing: Backing = .anonymous
    ) throws(Errno) {
        self.options = options
        guard Self.accepts(pageLimit: pageLimit, inodeLimit: inodeLimit) else {
            throw .invalidArgument
        }
        (arena, sideTable) = try Self.reserve(
            limits: (pageLimit, inodeLimit), growth: growth, workerCount: workerCount
        ) { bytes throws(Errno) in
            try Arena(
                regionBytes: bytes, shardCount: shardCount,
                pageLimit: pageLimit, inodeSpaceLimit: inodeLimit * Self.inodeSpaceUnit,
                workerCount: workerCount, backing: backing)
        }
        let made = InodeStore(arena: arena, sideTable: sideTable, root: .null, options: options)
        root = try made.makeRoot(mode: mode, owner: owner)
        arena.finishSurviving()
    }

    /// Makes the root directory of an empty store.
    ///
    /// - Throws: `ENOSPC`.
    func makeRoot(mode: UInt32, owner: Caller) throws(Errno) -> InodeOffset {
        let first = arena.worker(0)
        first.enter()
        defer { first.leave() }
        guard let run = first.allocate(.inodes, count: 1),
            arena.inodeSpace.reserve(Self.inodeSpaceUnit, shard: 0)
        else { throw .noSpace }
        let worker = StoreWorker(store: self, index: 0)
        let root = InodeOffset(run.offset)
        worker.initialize(
            root, mode: FileMode.directory | mode & FileMode.permissions, caller: owner,
            device: 0)
        worker.region.store(root + Inode.parent, root.rawValue)
        worker.region.store32(root + Inode.links, 2)
        worker.region.store(StoreSuperblock.root, root.rawValue)
        worker.region.store(StoreSuperblock.fixedInodes, 1)
        return root
    }

    /// Around an arena whose tree is there already.
    init(arena: Arena, sideTable: Region, root: InodeOffset, options: StoreOptions) {
        self.arena = arena
        self.sideTable = sideTable
        self.root = root
        self.options = options
    }

    /// Reserves the region for limits, and for those that they may grow to if that can be had: it is
    /// only address space, but overcommit or a limit may refuse it.
    ///
    /// - Parameter make: an arena in that many bytes, a multiple of 2 MiB.
    static func reserve(
        limits: (pages: UInt64, inodes: UInt64), growth: (pageLimit: UInt64, inodeLimit: UInt64),
        workerCount: Int, atLeast least: UInt64 = 0, _ make: (UInt64) throws(Errno) -> Arena
    ) throws(Errno) -> (Arena, Region) {
        func attempt(_ bytes: UInt64) throws(Errno) -> (Arena, Region) {
            let arena = try make(bytes & ~(Geometry.chunkBytes - 1))
            do throws(Errno) {
                // Small pages: a huge one would hold the inodes of eight chunks, of which few may be
                // chunks of inodes, and could not be given back in parts.
                return (
                    arena,
                    try Region(
                        reserving: sideBytes(for: arena.geometry.bytes), backing: .scattered)
                )
            } catch {
                arena.unmap()
                throw error
            }
        }
        let need =
            least
            + reservation(
                pageLimit: limits.pages, inodeLimit: limits.inodes, workerCount: workerCount)
        let wanted =
            least
            + reservation(
                pageLimit: max(limits.pages, growth.pageLimit),
                inodeLimit: max(limits.inodes, growth.inodeLimit), workerCount: workerCount)
        if wanted > need, wanted < 1 << 46, let large = try? attempt(wanted) { return large }
        return try attempt(need)
    }

    /// Bytes of the side table of a region.
    static func sideBytes(for bytes: UInt64) -> UInt64 {
        (bytes / Inode.bytes * Side.bytes + Geometry.chunkBytes) & ~(Geometry.chunkBytes - 1)
    }

    /// The worker that owns shard `index`.
    package func worker(_ index: Int) -> StoreWorker { StoreWorker(store: self, index: index) }

    /// Bytes of content that all workers have copied, and given out as zeros of holes.
    package var traffic: (copied: UInt64, zeroed: UInt64) {
        (0..<arena.workerCount).reduce((0, 0)) { sum, index in
            let one = arena.worker(index).traffic
            return (sum.0 + one.copied, sum.1 + one.zeroed)
        }
    }

    /// Lets no more memory be taken than `maximumBytes`, as the limits are now; what is beyond is
    /// `ENOSPC`. To be called again now and then.
    package func keepWithinMaximum() { arena.allow(inUseAtMost: maximumChunkBytes) }

    /// Has what was promised and is touched by now counted, and the process's budget filled.
    package func askForMemory() {
        arena.recountUnwritten()
        cmem_budget_refresh()
    }

    /// Gives all memory back. Nothing may use the store any more.
    package func unmap() {
        sideTable.unmap()
        arena.unmap()
    }
}

/// The right to work on a store with one shard: what every operation is called on. Trivial.
///
/// - Precondition of every operation: between `enter` and `leave`, by one thread at a time.
@safe package struct StoreWorker: Sendable {
    package let store: InodeStore
    package let worker: ArenaWorker
    let region: Region
    let sideTable: Region
    let region_firstChunk: UInt64
    let shard: UInt64
    /// What others can reach is written through this, so that it can be undone (Survival.swift).
    let changes: Changes

    init(store: InodeStore, index: Int) {
        self.store = store
        changes = store.arena.changes(shard: UInt64(index))
        worker = store.arena.worker(index)
        region = store.arena.region
        sideTable = store.sideTable
        region_firstChunk = store.arena.geometry.firstChunkOffset
        shard = UInt64(index)
    }

    /// Begins a batch of operations.
    @_noLocks package func enter() { worker.enter() }

    /// Ends a batch: no pointer from `lookup`, `readLink` or `readDirectory` is used any more.
    /// Frees what no reader can have any longer.
    @_noLocks package func leave() {
        if worker.hasRetired() { reclaim() }
        worker.leave()
    }

    /// Whether there is room to note what a request unlinks. More than any does, but for one that
    /// drops many pages of one file, which asks itself (`canDropPages`).
    @_noLocks package func canRetire() -> Bool { worker.canRetire(256) }

    /// Whether the store is a private mapping of a file, in which every first write takes a page.
    package var hasBase: Bool { @_noLocks get { region.privateEnd > 0 } }

    // MARK: nodeids

    /// The inode of a nodeid.
    ///
    /// - Throws: `ESTALE` for a number that names no live inode.
    @_noLocks func inode(_ node: NodeID) throws(Errno) -> InodeOffset {
        if node.rawValue == 1 { return store.root }
        let offset = node.slot << 8
        let inode = InodeOffset(offset)
        let geometry = store.arena.geometry
        guard offset < geometry.bytes, offset >= geometry.firstChunkOffset,
            sideTable.load(side(inode) + Side.tag) == node.tag,
            worker.isInode(offset), region.load32(inode + Inode.mode) != 0
        else { throw .staleNFSFileHandle }
        return inode
    }

    @_noLocks func nodeID(_ inode: InodeOffset) -> UInt64 {
        if inode == store.root { return 1 }
        return inode.rawValue >> 8 | sideTable.load(side(inode) + Side.tag) << NodeID.tagShift
    }

    @_noLocks func type(_ inode: InodeOffset) -> UInt32 {
        region.load32(inode + Inode.mode) & FileMode.typeMask
    }

    /// The inode of a nodeid that must be a directory.
    ///
    /// - Throws: `ESTALE`, `ENOTDIR`.
    @_noLocks func directory(_ node: NodeID) throws(Errno) -> InodeOffset {
        let inode = try inode(node)
        guard type(inode) == FileMode.directory else { throw .notDirectory }
        return inode
    }

    // MARK: inodes

    /// Writes a new inode that nobody can reach yet.
    @_noLocks
    func initialize(_ inode: InodeOffset, mode: UInt32, caller: Caller, device: UInt32) {
        var at = inode + 8
        while at < inode + Inode.bytes {
            region.store(at, 0)
            at += 8
        }
        region.store32(inode + Inode.flags, 0)
        region.store32(inode + Inode.links, 1)
        region.store32(inode + Inode.generation, worker.nextGeneration())
        region.store32(inode + Inode.userID, caller.userID)
        region.store32(inode + Inode.groupID, caller.groupID)
        region.store32(inode + Inode.device, device)
        if mode & FileMode.typeMask == FileMode.directory {
            region.store(inode + Inode.nextCookie, Directory.firstCookie)
            region.store(inode + Inode.bucketCount, 1)
        }
        let now = cmem_now()
        setTimeUnnoted(inode, TimeField.access, now)
        setTimeUnnoted(inode, TimeField.modification, now)
        setTimeUnnoted(inode, TimeField.change, now)
        setTimeUnnoted(inode, TimeField.birth, now)
        beginSide(inode)
        // Last: from here on the slot is an inode.
        region.store32(inode + Inode.mode, mode)
    }

    /// Takes an inode slot and its inode space.
    ///
    /// - Throws: `ENOSPC`.
    @_noLocks func allocateInode() throws(Errno) -> InodeOffset {
        guard store.arena.inodeSpace.reserve(InodeStore.inodeSpaceUnit, shard: shard) else {
            throw .noSpace
        }
        guard let run = worker.allocate(.inodes, count: 1) else {
            store.arena.inodeSpace.release(InodeStore.inodeSpaceUnit, shard: shard)
            throw .noSpace
        }
        return InodeOffset(run.offset)
    }

    /// Ends an inode without names if the kernel has no reference either.
    ///
    /// Its space is free at once; its memory when the last reader has left.
    @_noLocks func endIfUnused(_ inode: InodeOffset) {
        guard region.load32(inode + Inode.links) == 0, markDead(inode) else { return }
        countFixed(from: region.load32(inode + Inode.flags), to: 0)
        store.arena.pages.release(region.load(inode + Inode.pages), shard: shard)
        var space = InodeStore.inodeSpaceUnit
        space += xattrSpace(inode)
        store.arena.inodeSpace.release(space, shard: shard)
        worker.retire(Retired(what: Reclaim.inode, count: 1, offset: inode.rawValue))
    }

    /// FORGET: the kernel drops `count` references.
    @_noLocks package func forget(_ node: NodeID, count: UInt64) {
        guard node.rawValue != 1, let inode = try? inode(node) else { return }
        let word = side(inode) + Side.lookups
        // More than was given would wrap: a kernel that says so is wrong, and loses nothing.
        var current = sideTable.load(word)
        while true {
            let rest = current & Side.dead == 0 ? current - min(current, count) : current
            if sideTable.exchange(word, expected: current, desired: rest) {
                if rest == 0 { endIfUnused(inode) }
                return
            }
            current = sideTable.load(word)
        }
    }
}
