// Rollback: making a store what it was, and what the kernel must forget then (Docs/Rollback.md).

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// What a rollback changed for the kernel: nodeids that it has references to.
package struct RollbackEffect: Sendable {
    /// Of inodes that are others now or gone.
    package var changedNodes: [UInt64] = []
    /// Of inodes that have another access time now, and are the same otherwise.
    package var touchedNodes: [UInt64] = []
    /// Names that lead elsewhere now.
    package var changedNames: [ChangedName] = []
    package var pagesDropped: UInt64 = 0
}

extension InodeStore {
    /// Makes the store what it was, between two requests.
    ///
    /// Limits stay as they are now, but for what is in use again. The kernel must be told
    /// afterwards of the names and nodes that the effect has.
    ///
    /// - Parameter snapshot: of this store, or the start of what it was opened from.
    /// - Throws: `ENOMEM` when there is no address space to compare the two; nothing is changed then.
    /// - Complexity: O(private pages now and then).
    @discardableResult
    package func rollBack(to snapshot: StoreSnapshot) throws(Errno) -> RollbackEffect {
        guard let effect = try rollBack(to: snapshot, renewsFiles: false, if: { _ in true }) else {
            preconditionFailure("InodeStore: a rollback that nobody refused did not happen")
        }
        return effect
    }

    /// The same, if the names that change may change.
    ///
    /// - Parameters:
    ///   - renewsFiles: whether files that change get another nodeid, as their size and times are the
    ///     kernel's; what is open of them answers ESTALE then.
    ///   - isAllowed: called while the store is frozen and before anything is changed.
    /// - Returns: nil when it said no.
    package func rollBack(
        to snapshot: StoreSnapshot, renewsFiles: Bool, if isAllowed: ([ChangedName]) -> Bool
    ) throws(Errno) -> RollbackEffect? {
        let result: Result<RollbackEffect?, Errno> = whileFrozen {
            do throws(Errno) {
                return .success(try rollBackFrozen(to: snapshot, renewsFiles, if: isAllowed))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Memory that a rollback takes beyond what it gives back, in bytes: copies of inodes as they were
    /// among it.
    package func rollBackBytes(to snapshot: StoreSnapshot) -> UInt64 {
        let runs = changedRuns()
        let now = runs.reduce(0) { $0 + UInt64($1.count) }
        let inodes = inodePages(in: Self.union(runs, snapshot.runs)).count
        return snapshot.privateBytes - min(snapshot.privateBytes, now)
            + UInt64(inodes) * Geometry.pageBytes
    }

    private func rollBackFrozen(
        to snapshot: StoreSnapshot, _ renewsFiles: Bool, if isAllowed: ([ChangedName]) -> Bool
    ) throws(Errno) -> RollbackEffect? {
        assert(arena.unmarkedRuns().isEmpty, "InodeStore: writes without a mark")
        let region = arena.region
        let end = arena.baseBytes
        let runs = changedRuns()
        let affected = Self.union(runs, snapshot.runs)
        var view = try SnapshotView(self, snapshot, runs: affected)
        var effect = RollbackEffect()
        effect.changedNames = changedNames(&view, renewsFiles: renewsFiles)
        guard isAllowed(effect.changedNames) else { return nil }

        let before = InodePages(region, inodePages(in: affected))
        let chunks = inodeChunks()
        let limits = (pages: arena.pages.limit, inodeSpace: arena.inodeSpace.limit)
        let allowance = region.load(Superblock.chunkAllowance)
        let generations = arena.generations
        let usedEnd = arena.usedEnd

        sideTable.store(Side.rollbacks, sideTable.load(Side.rollbacks) + 1)
        let dropped = runs.filter { $0.lowerBound < end }
        region.release(dropped, showing: snapshot.base.mapping)
        effect.pagesDropped = dropped.reduce(0) { $0 + UInt64($1.count) / Geometry.pageBytes }
        if usedEnd > end { region.clear(end, usedEnd - end) }
        snapshot.writeBack(to: region)

        arena.settle(limits: limits)
        region.store(Superblock.chunkAllowance, allowance)
        arena.raiseGenerations(to: generations)
        compare(before, renewsFiles, &effect)
        compareChunks(before: chunks, &effect)
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

    private func inodeChunks() -> Set<UInt64> {
        Set((0..<arena.region.load(Superblock.freshChunk)).filter { arena.holdsInodes($0) })
    }

    /// The same for whole chunks: in one that was given back no page differs from the base, so that its
    /// inodes come and go without a page that does.
    private func compareChunks(before: Set<UInt64>, _ effect: inout RollbackEffect) {
        let chunks = inodeChunks()
        for chunk in chunks.subtracting(before) {
            arena.forEachUsedUnit(ofInodes: chunk) { revive(InodeOffset($0)) }
        }
        let geometry = arena.geometry
        for chunk in before.subtracting(chunks) {
            let pages = stride(
                from: geometry.chunkStart(chunk), to: geometry.chunkStart(chunk + 1),
                by: Int(Geometry.pageBytes))
            for slot in pages.flatMap({ slots(of: $0) }) where isReferred(slot) {
                effect.changedNodes.append(worker(0).nodeID(slot))
                renumber(slot)
            }
        }
    }

    /// Puts the side table in order, and notes what the kernel must forget, where pages differ of chunks
    /// that held inodes before.
    private func compare(
        _ before: borrowing InodePages, _ renewsFiles: Bool, _ effect: inout RollbackEffect
    ) {
        for (index, page) in before.pages.enumerated() {
            for slot in slots(of: page) {
                let old = before.inode(index, slot.rawValue - page)
                let isThere = arena.isUsedUnit(ofInodes: slot.rawValue)
                if old.isInode {
                    compare(slot, old, isThere: isThere, renewsFiles, &effect)
                } else if isThere {
                    revive(slot)
                }
            }
        }
    }

    private func compare(
        _ inode: InodeOffset, _ old: InodePages.OldInode, isThere: Bool, _ renewsFiles: Bool,
        _ effect: inout RollbackEffect
    ) {
        let worker = worker(0)
        let region = arena.region
        let isReferred = isReferred(inode)
        // The kernel lets nobody make a name in a directory whose removal it has seen, whatever it
        // is told later (fs/namei.c, `vfs_rmdir()`: S_DEAD): it must meet it as another.
        let isBack = old.isDirectory && old.links == 0 && region.load32(inode + Inode.links) > 0
        if isThere, !isBack, region.load32(inode + Inode.generation) == old.generation {
            guard isReferred else { return }
            switch old.difference(to: region, inode) {
            case .none: break
            case .accessTime: effect.touchedNodes.append(worker.nodeID(inode))
            case .other:
                effect.changedNodes.append(worker.nodeID(inode))
                if renewsFiles, worker.type(inode) == FileMode.regular { renumber(inode) }
            }
            return
        }
        // Another inode is in the slot now, or none.
        if isReferred {
            effect.changedNodes.append(worker.nodeID(inode))
            renumber(inode)
        } else {
            revive(inode)
        }
    }

    /// Gives what is in a slot a nodeid that the kernel does not know, and no references.
    func renumber(_ inode: InodeOffset) {
        let side = worker(0).side(inode)
        worker(0).retireTag(inode)
        sideTable.store(side + Side.lookups, 0)
    }

    /// What had ended lives again.
    private func revive(_ inode: InodeOffset) {
        worker(0).beginSide(inode)
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
        var isDirectory: Bool {
            unsafe bytes.load(fromByteOffset: Int(Inode.mode), as: UInt32.self) & FileMode.typeMask
                == FileMode.directory
        }
        var links: UInt32 {
            unsafe bytes.load(fromByteOffset: Int(Inode.links), as: UInt32.self)
        }
        var generation: UInt32 {
            unsafe bytes.load(fromByteOffset: Int(Inode.generation), as: UInt32.self)
        }

        /// Whoever changes content changes the change time, too: with equal change times the kernel
        /// may keep what it has of it.
        func difference(to region: Region, _ inode: InodeOffset) -> Difference {
            let now = unsafe region.pointer(inode.rawValue)
            let seconds = Int(Inode.seconds + TimeField.access * 8)
            let nanoseconds = Int(Inode.nanoseconds + TimeField.access * 4)
            func isEqual(_ range: Range<Int>) -> Bool {
                unsafe cmem_compare(bytes + range.lowerBound, now + range.lowerBound, range.count)
                    == 0
            }
            if isEqual(0..<Int(Inode.bytes)) { return .none }
            let isSame =
                isEqual(0..<seconds) && isEqual(seconds + 8..<nanoseconds)
                && isEqual(nanoseconds + 4..<Int(Inode.bytes))
            return isSame ? .accessTime : .other
        }
    }
}
