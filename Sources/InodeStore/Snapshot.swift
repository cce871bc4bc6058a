// Snapshots: a frozen base, and the pages in which the store differed from it at one moment.
//
// The base is a file that the region is a private mapping of: the image that the store was opened
// from, or a memory file that holds what the store had when its first snapshot was taken. It never
// changes. So what a moment was is the base and the private pages of that moment, and a rollback
// drops the private pages there are and puts those back.

internal import Arena
internal import CMemory
internal import Glibc
internal import Synchronization
package import SystemPackage

/// The file behind a private mapping. Closed with the last who needs it.
package final class SnapshotBase: Sendable {
    package let descriptor: Int32
    package let bytes: UInt64
    /// Inodes in it without names; an image has none.
    let orphans: [UInt64]

    /// - Parameter descriptor: taken over.
    package convenience init(image descriptor: Int32, bytes: UInt64) {
        self.init(descriptor: descriptor, bytes: bytes, orphans: [])
    }

    init(descriptor: Int32, bytes: UInt64, orphans: [UInt64]) {
        self.descriptor = descriptor
        self.bytes = bytes
        self.orphans = orphans
    }

    deinit { close(descriptor) }
}

/// One moment of a store.
@safe package final class StoreSnapshot: @unchecked Sendable {
    // Sendable: written by `init` alone.
    package let base: SnapshotBase
    /// What the store was opened with.
    let header: ImageHeader
    /// Pages that differ from the base, in ascending order, and their copies, one after another.
    let runs: [PageRun]
    private let copies: UnsafeMutableRawPointer?
    /// Bytes of the copies.
    package let privateBytes: UInt64
    /// Inodes without names that the kernel held.
    let orphans: [UInt64]
    /// Content and inodes at that moment.
    package let pagesInUse: UInt64
    package let inodeSpaceInUse: UInt64

    /// Copies the pages that differ.
    ///
    /// - Precondition: the store is frozen.
    init(
        _ store: InodeStore, base: SnapshotBase, runs: [PageRun], orphans: [UInt64]
    ) throws(Errno) {
        self.base = base
        self.runs = runs
        self.orphans = orphans
        let arena = store.arena
        header = ImageHeader(trusting: arena, bytes: base.bytes)
        pagesInUse = header.pagesInUse
        inodeSpaceInUse = header.inodeSpaceInUse
        privateBytes = runs.reduce(0) { $0 + UInt64($1.count) }
        if runs.isEmpty {
            unsafe copies = nil
            return
        }
        guard let memory = unsafe cmem_map(Int(privateBytes)) else { throw Errno(rawValue: errno) }
        unsafe copies = memory
        var at = 0
        for run in runs {
            unsafe cmem_copy(memory + at, arena.region.pointer(run.lowerBound), run.count)
            at += run.count
        }
    }

    deinit {
        if let copies = unsafe copies { unsafe cmem_unmap(copies, Int(privateBytes)) }
    }

    /// Puts the copies into a region that shows the base.
    func write(to region: Region) {
        guard let copies = unsafe copies else { return }
        var at = 0
        for run in runs {
            unsafe cmem_copy(region.pointer(run.lowerBound), copies + at, run.count)
            at += run.count
        }
    }
}

/// What a rollback changed for the kernel: nodeids that it has references to, of inodes that are
/// others now or gone.
package struct RollbackEffect: Sendable {
    package var changedNodes: [UInt64] = []
    package var pagesDropped: UInt64 = 0
}

extension InodeStore {
    /// Takes a snapshot between two requests.
    ///
    /// - Parameter base: the one that the store has; nil where it has none yet.
    /// - Throws: `ENOMEM`, `EMFILE`.
    /// - Complexity: O(private pages); without a base O(bytes in use), once.
    package func snapshot(base: SnapshotBase?) throws(Errno) -> StoreSnapshot {
        let result: Result<StoreSnapshot, Errno> = whileFrozen {
            do throws(Errno) {
                return .success(try snapshotFrozen(base: base))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func snapshotFrozen(base: SnapshotBase?) throws(Errno) -> StoreSnapshot {
        if let base {
            let runs = changedRuns()
            let orphans = orphans(in: runs).union(base.orphans.filter(isOrphan))
            return try StoreSnapshot(self, base: base, runs: runs, orphans: orphans.sorted())
        }
        let orphans = orphans()
        let descriptor = try arena.makeBase()
        let base = SnapshotBase(
            descriptor: descriptor, bytes: arena.baseBytes, orphans: orphans)
        return try StoreSnapshot(self, base: base, runs: [], orphans: orphans)
    }

    /// What a store was that was just opened from an image.
    package func start(of base: SnapshotBase) -> StoreSnapshot? {
        try? StoreSnapshot(self, base: base, runs: [], orphans: [])
    }

    /// Bytes that a store does not share: what it has changed of its base, and all that is behind it.
    ///
    /// - Complexity: O(page tables).
    package var privateBytes: UInt64 { changedRuns().reduce(0) { $0 + UInt64($1.count) } }

    /// Pages that differ from the base, or may.
    private func changedRuns() -> [PageRun] {
        let end = arena.baseBytes
        var runs = arena.privateRuns() ?? allRuns(to: end)
        // Behind the base everything is private.
        try? arena.forEachUsedRun(from: end) { run throws(Errno) in
            if run.upperBound > end { runs.append(max(run.lowerBound, end)..<run.upperBound) }
        }
        return runs
    }

    private func allRuns(to end: UInt64) -> [PageRun] {
        var runs: [PageRun] = []
        try? arena.forEachUsedRun { run throws(Errno) in
            if run.lowerBound < end { runs.append(run.clamped(to: 0..<end)) }
        }
        return runs
    }

    private func orphans(in runs: [PageRun]) -> Set<UInt64> {
        var found: Set<UInt64> = []
        forEachInode(in: runs) { if isOrphan($0) { found.insert($0) } }
        return found
    }

    /// Calls `body` with each slot that holds an inode in these pages.
    private func forEachInode(in runs: [PageRun], _ body: (UInt64) -> Void) {
        let geometry = arena.geometry
        for run in runs {
            var page = max(run.lowerBound, geometry.firstChunkOffset)
            while page < run.upperBound {
                let chunk = geometry.chunk(containing: page)
                guard arena.holdsInodes(chunk) else {
                    page = geometry.chunkStart(chunk + 1)
                    continue
                }
                let first = geometry.chunkStart(chunk)
                    + ChunkKind.inodes.firstUnit << ChunkKind.inodes.unitShift
                for slot in stride(from: page, to: page + Geometry.pageBytes, by: 256)
                where slot >= first && arena.region.load32(slot + Inode.mode) != 0 {
                    body(slot)
                }
                page += Geometry.pageBytes
            }
        }
    }

    // MARK: rollback

    /// What tells an inode from another in the same slot, and whether it changed.
    private struct Identity {
        var nodeID: UInt64
        var generation: UInt32
        var sum: UInt64
    }

    private func identities(in runs: [PageRun]) -> [UInt64: Identity] {
        let worker = worker(0)
        let region = arena.region
        var found: [UInt64: Identity] = [:]
        forEachInode(in: runs) { inode in
            var sum: UInt64 = 0
            for word in stride(from: inode, to: inode + Inode.bytes, by: 8) {
                sum = (sum ^ region.load(word)) &* 0x9E37_79B9_7F4A_7C15
                sum ^= sum >> 29
            }
            found[inode] = Identity(
                nodeID: worker.nodeID(inode), generation: region.load32(inode + Inode.generation),
                sum: sum)
        }
        return found
    }

    /// Makes the store what it was, between two requests.
    ///
    /// Limits stay as they are now, but for what is in use again. The kernel must be told
    /// afterwards: every name, and the nodes that the effect names.
    ///
    /// - Parameter snapshot: of this store, or the start of what it was opened from.
    /// - Complexity: O(private pages now and then).
    package func rollBack(to snapshot: StoreSnapshot) -> RollbackEffect {
        whileFrozen { rollBackFrozen(to: snapshot) }
    }

    private func rollBackFrozen(to snapshot: StoreSnapshot) -> RollbackEffect {
        let region = arena.region
        let end = arena.baseBytes
        let runs = changedRuns()
        let before = identities(in: runs + snapshot.runs)
        let limits = (pages: arena.pages.limit, inodeSpace: arena.inodeSpace.limit)
        let allowance = region.load(Superblock.chunkAllowance)
        let generations = arena.generations
        let usedEnd = arena.usedEnd
        var effect = RollbackEffect()

        let dropped = runs.filter { $0.lowerBound < end }
        region.release(dropped)
        effect.pagesDropped = dropped.reduce(0) { $0 + UInt64($1.count) / Geometry.pageBytes }
        if usedEnd > end { region.release(end, usedEnd - end) }
        snapshot.write(to: region)

        arena.settle(limits: limits)
        region.store(Superblock.chunkAllowance, allowance)
        arena.raiseGenerations(to: generations)
        let after = identities(in: runs + snapshot.runs)
        compare(before, after, &effect)
        for inode in snapshot.orphans where isOrphan(inode) { endOrphan(inode) }
        return effect
    }

    /// Puts the side table in order, and notes what the kernel must forget.
    private func compare(
        _ before: [UInt64: Identity], _ after: [UInt64: Identity], _ effect: inout RollbackEffect
    ) {
        let worker = worker(0)
        for (inode, old) in before {
            let side = worker.side(inode)
            let isReferred = sideTable.load(side + Side.lookups) & ~Side.dead > 0 || inode == root
            if let new = after[inode], new.generation == old.generation {
                if new.sum != old.sum && isReferred { effect.changedNodes.append(old.nodeID) }
                continue
            }
            // Another inode is in the slot now, or none.
            if isReferred {
                effect.changedNodes.append(old.nodeID)
                let tag = (sideTable.load(side + Side.tag) + 1) & 0xFF_FFFF
                sideTable.store(side + Side.tag, tag)
            }
            sideTable.store(side + Side.lookups, 0)
        }
        // What had ended lives again.
        for inode in after.keys where before[inode] == nil {
            sideTable.store(worker.side(inode) + Side.lookups, 0)
        }
    }

    // MARK: fork

    /// A store of its own that begins as a moment of another was: a private mapping of the same
    /// base, with the same pages put in. Inodes without names are left out.
    ///
    /// - Throws: as `init(image:)`.
    /// - Complexity: O(private pages of the snapshot).
    package init(
        snapshot: StoreSnapshot, pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int,
        growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0),
        options: StoreOptions = StoreOptions()
    ) throws(Errno) {
        try self.init(
            snapshot.base.descriptor, snapshot.header, limits: (pageLimit, inodeLimit),
            growth: growth, workerCount: workerCount,
            least: snapshot.runs.last?.upperBound ?? 0, options: options)
        snapshot.write(to: arena.region)
        arena.settle(limits: (pageLimit, inodeLimit * Self.inodeSpaceUnit))
        if snapshot.orphans.isEmpty { return }
        whileFrozen {
            for inode in snapshot.orphans where isOrphan(inode) { endOrphan(inode) }
        }
    }
}
