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
    package var orphanCount: Int { orphans.count }
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
            unsafe cmem_copy(
                region.pointer(writing: run.lowerBound, UInt64(run.count)), copies + at, run.count)
            at += run.count
        }
    }
}

/// What a rollback changed for the kernel: nodeids that it has references to.
package struct RollbackEffect: Sendable {
    /// Of inodes that are others now or gone.
    package var changedNodes: [UInt64] = []
    /// Of inodes that have another access time now, and are the same otherwise.
    package var touchedNodes: [UInt64] = []
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
            assert(arena.unmarkedRuns().isEmpty, "InodeStore: writes without a mark")
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
    /// - Complexity: O(chunks and private pages).
    package var privateBytes: UInt64 { changedRuns().reduce(0) { $0 + UInt64($1.count) } }

    /// Pages that differ from the base, or may; in ascending order.
    private func changedRuns() -> [PageRun] {
        let end = arena.baseBytes
        var runs = arena.writtenRuns()
        // Behind the base everything is private.
        try? arena.forEachUsedRun(from: end) { run throws(Errno) in
            if run.upperBound > end { runs.append(max(run.lowerBound, end)..<run.upperBound) }
        }
        return runs
    }

    private func orphans(in runs: [PageRun]) -> Set<UInt64> {
        var found: Set<UInt64> = []
        for page in inodePages(in: runs) {
            for slot in slots(of: page)
            where arena.region.load32(slot + Inode.mode) != 0 && isOrphan(slot) {
                found.insert(slot)
            }
        }
        return found
    }

    /// Those of some pages that hold inodes.
    private func inodePages(in runs: [PageRun]) -> [UInt64] {
        let geometry = arena.geometry
        var found: [UInt64] = []
        for run in runs {
            var page = max(run.lowerBound, geometry.firstChunkOffset)
            while page < run.upperBound {
                let chunk = geometry.chunk(containing: page)
                let end = min(run.upperBound, geometry.chunkStart(chunk + 1))
                if arena.holdsInodes(chunk) {
                    found += stride(from: page, to: end, by: Int(Geometry.pageBytes))
                }
                page = end
            }
        }
        return found
    }

    /// Where inodes may be in a page that holds some.
    func slots(of page: UInt64) -> StrideTo<UInt64> {
        let start = arena.geometry.chunkStart(arena.geometry.chunk(containing: page))
        let first = start + ChunkKind.inodes.firstUnit << ChunkKind.inodes.unitShift
        return stride(
            from: max(page, first), to: page + Geometry.pageBytes, by: Int(Inode.bytes))
    }

    // MARK: rollback

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
        assert(arena.unmarkedRuns().isEmpty, "InodeStore: writes without a mark")
        let region = arena.region
        let end = arena.baseBytes
        let runs = changedRuns()
        let affected = Self.union(runs, snapshot.runs)
        let before = InodePages(region, inodePages(in: affected))
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
        compare(before, inodePages(in: affected), &effect)
        for inode in snapshot.orphans where isOrphan(inode) { endOrphan(inode) }
        return effect
    }

    /// Runs of the one or the other, in ascending order.
    static func union(_ one: [PageRun], _ other: [PageRun]) -> [PageRun] {
        if other.isEmpty { return one }
        var runs: [PageRun] = []
        for run in (one + other).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = runs.last, run.lowerBound <= last.upperBound {
                runs[runs.count - 1] = last.lowerBound..<max(last.upperBound, run.upperBound)
            } else {
                runs.append(run)
            }
        }
        return runs
    }

    /// Puts the side table in order, and notes what the kernel must forget.
    ///
    /// - Parameter pages: those that hold inodes now; as those before in ascending order.
    private func compare(
        _ before: borrowing InodePages, _ pages: [UInt64], _ effect: inout RollbackEffect
    ) {
        let region = arena.region
        var next = 0
        for (index, page) in before.pages.enumerated() {
            while next < pages.count, pages[next] < page {
                reviveAll(in: pages[next])
                next += 1
            }
            let isKept = next < pages.count && pages[next] == page
            if isKept { next += 1 }
            for slot in slots(of: page) {
                let old = before.inode(index, slot - page)
                let isThere = isKept && region.load32(slot + Inode.mode) != 0
                if old.isInode {
                    compare(slot, old, isThere: isThere, &effect)
                } else if isThere {
                    revive(slot)
                }
            }
        }
        for page in pages[next...] { reviveAll(in: page) }
    }

    private func compare(
        _ inode: UInt64, _ old: InodePages.OldInode, isThere: Bool, _ effect: inout RollbackEffect
    ) {
        let worker = worker(0)
        let region = arena.region
        let side = worker.side(inode)
        let isReferred = sideTable.load(side + Side.lookups) & ~Side.dead > 0 || inode == root
        if isThere, region.load32(inode + Inode.generation) == old.generation {
            guard isReferred else { return }
            switch old.difference(to: region, inode) {
            case .none: break
            case .accessTime: effect.touchedNodes.append(worker.nodeID(inode))
            case .other: effect.changedNodes.append(worker.nodeID(inode))
            }
            return
        }
        // Another inode is in the slot now, or none.
        if isReferred {
            effect.changedNodes.append(worker.nodeID(inode))
            let tag = (sideTable.load(side + Side.tag) + 1) & 0xFF_FFFF
            sideTable.store(side + Side.tag, tag)
        }
        sideTable.store(side + Side.lookups, 0)
    }

    /// What had ended lives again.
    private func revive(_ inode: UInt64) {
        sideTable.store(worker(0).side(inode) + Side.lookups, 0)
    }

    private func reviveAll(in page: UInt64) {
        for slot in slots(of: page) where arena.region.load32(slot + Inode.mode) != 0 {
            revive(slot)
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

/// Pages of inodes as they were before a rollback.
@safe private struct InodePages: ~Copyable {
    /// Their offsets, ascending.
    let pages: [UInt64]
    private let copies: UnsafeMutableRawPointer

    init(_ region: Region, _ pages: [UInt64]) {
        self.pages = pages
        let bytes = Int(Geometry.pageBytes)
        unsafe copies = UnsafeMutableRawPointer.allocate(
            byteCount: pages.count * bytes, alignment: 8)
        for (index, page) in pages.enumerated() {
            unsafe cmem_copy(copies + index * bytes, region.pointer(page), bytes)
        }
    }

    deinit { unsafe copies.deallocate() }

    /// What lay at an offset in the index-th page. It is not kept longer than this.
    func inode(_ index: Int, _ offset: UInt64) -> OldInode {
        unsafe OldInode(
            bytes: UnsafeRawPointer(copies) + index * Int(Geometry.pageBytes) + Int(offset))
    }

    enum Difference { case none, accessTime, other }

    @safe struct OldInode {
        fileprivate let bytes: UnsafeRawPointer

        var isInode: Bool {
            unsafe bytes.load(fromByteOffset: Int(Inode.mode), as: UInt32.self) != 0
        }
        var generation: UInt32 {
            unsafe bytes.load(fromByteOffset: Int(Inode.generation), as: UInt32.self)
        }

        /// Whoever changes content changes the change time, too: with equal change times the kernel
        /// may keep what it has of it.
        func difference(to region: Region, _ inode: UInt64) -> Difference {
            let now = unsafe region.pointer(inode)
            let seconds = Int(Inode.seconds + TimeField.access * 8)
            let nanoseconds = Int(Inode.nanoseconds + TimeField.access * 4)
            func isEqual(_ range: Range<Int>) -> Bool {
                unsafe cmem_compare(bytes + range.lowerBound, now + range.lowerBound, range.count)
                    == 0
            }
            if isEqual(0..<Int(Inode.bytes)) { return .none }
            let isSame = isEqual(0..<seconds) && isEqual(seconds + 8..<nanoseconds)
                && isEqual(nanoseconds + 4..<Int(Inode.bytes))
            return isSame ? .accessTime : .other
        }
    }
}
