// Repair: a store made whole that its process has left in the middle of things (Docs/Survival.md). The
// writing twin of Check.swift.
//
// First what was noted of unfinished changes is put back (Survival.swift), so that the tree is what it
// was between two changes. Then what changes do not note is put right: pages behind the end of a file,
// and how many pages it has. Last the tree is walked, and the allocator's words are made to say what
// was reached; so everything without a name is freed, whoever had it open.

internal import MayflyArena
package import SystemPackage

/// What a repair found and did.
package struct RepairReport: Sendable {
    /// One line for each thing that cannot be right, at most a hundred. Nothing is freed then.
    package var problems: [String] = []
    /// Changes that were under way and were undone.
    package var undone = 0
    /// Files whose cutting was under way and was completed.
    package var completed = 0
    package var inodes: UInt64 = 0
    /// Whether there was nothing to do, because the process had ended between two changes.
    package var wasClean = false
}

extension InodeStore {
    /// Opens what another process has left in a memory file, and repairs it where that process has died.
    ///
    /// - Parameters:
    ///   - descriptor: was the backing of a store; nobody else uses the file.
    ///   - workerCount: threads that work at the same time.
    /// - Throws: `EINVAL` for a file that holds no store; `ENOMEM`.
    /// - Complexity: O(inodes, names and pages); O(1) after `handOver`.
    package static func recover(
        from descriptor: Int32, workerCount: Int, options: StoreOptions = StoreOptions()
    ) throws(Errno) -> (store: InodeStore, report: RepairReport) {
        var isClean = false
        let arena = try Arena(
            recovering: descriptor, workerCount: workerCount, isClean: &isClean)
        let root = InodeOffset(arena.region.load(StoreSuperblock.root))
        let sideTable: Region
        do throws(Errno) {
            guard arena.mayHoldInode(root.rawValue) else { throw .invalidArgument }
            sideTable = try Region(
                reserving: sideBytes(for: arena.geometry.bytes), backing: .scattered)
        } catch {
            arena.unmap()
            throw error
        }
        let store = InodeStore(arena: arena, sideTable: sideTable, root: root, options: options)
        if isClean {
            var report = RepairReport()
            report.wasClean = true
            return (store, report)
        }
        return (store, StoreRepair(store).result())
    }

    /// Stops all workers between two changes for ever, and puts everything in order for a process that
    /// takes the memory over. This process is to end then.
    ///
    /// Inodes without a name are freed: nobody refers to them once the connection has ended.
    ///
    /// - Precondition: as `whileFrozen`.
    /// - Complexity: O(inodes).
    package func handOver() {
        guard arena.notes != 0 else { return }
        let most = limits
        for index in 0..<arena.workerCount { worker(index).enter() }
        settle()
        for orphan in orphans() {
            // Nobody refers to it once the connection has ended.
            sideTable.store(worker(0).side(orphan) + Side.lookups, 0)
            endOrphan(orphan)
        }
        settle()
        for index in 0..<arena.workerCount { _ = worker(index).worker.trim() }
        arena.settle(limits: (most.pages, most.inodes * Self.inodeSpaceUnit))
        arena.noteClean()
    }
}

private struct StoreRepair {
    let store: InodeStore
    let worker: StoreWorker
    var report = RepairReport()
    /// Files whose pages behind their end are to go.
    private var cut: Set<InodeOffset> = []
    /// Files whose last page has bytes behind their end, and is another file's, too.
    private var shared: [(inode: InodeOffset, size: UInt64)] = []

    private var region: Region { store.arena.region }

    init(_ store: InodeStore) {
        self.store = store
        worker = store.worker(0)
    }

    consuming func result() -> RepairReport {
        var repair = self
        repair.undo()
        repair.mendFiles()
        repair.rebuild()
        if repair.report.problems.isEmpty { repair.forgetNotes() }
        return repair.report
    }

    private mutating func undo() {
        for shard in 0..<store.arena.geometry.shardCount {
            let (words, inode) = store.arena.changes(shard: shard).undo()
            if words > 0 { report.undone += 1 }
            if let inode, store.arena.mayHoldInode(inode) {
                cut.insert(InodeOffset(inode))
                report.completed += 1
            }
        }
    }

    /// Not before all is done: a repair may die, too, and then all is done once more.
    private func forgetNotes() {
        for shard in 0..<store.arena.geometry.shardCount {
            store.arena.changes(shard: shard).forget()
        }
    }

    // MARK: files

    private mutating func mendFiles() {
        let arena = store.arena
        for chunk in 0..<region.load(Superblock.freshChunk) where arena.holdsInodes(chunk) {
            arena.forEachUsedUnit(ofInodes: chunk) {
                let inode = InodeOffset($0)
                if worker.type(inode) == FileMode.regular,
                    region.load32(inode + Inode.links) > 0
                {
                    mend(inode)
                }
            }
        }
    }

    private mutating func mend(_ inode: InodeOffset) {
        let map = MapWord(region.load(inode + Inode.content))
        let size = region.load(inode + Inode.size)
        var pages: UInt64 = 0
        if size == 0, cut.contains(inode) {
            region.store(inode + Inode.content, 0)
        } else if map.form == MapWord.blobForm {
            pages = 1
            let bytes = map.detail * 64
            if size < bytes { clear(map.offset + size, bytes - size) }
        } else {
            var next = worker.mapNext(map, from: 0)
            while let found = next {
                if isKept(found, of: inode, size: size) {
                    pages += 1
                } else {
                    region.store(worker.mapSlot(map, found.index), 0)
                }
                next = worker.mapNext(map, from: found.index + 1)
            }
        }
        if region.load(inode + Inode.pages) != pages { region.store(inode + Inode.pages, pages) }
    }

    private mutating func isKept(
        _ entry: (index: UInt64, value: UInt64), of inode: InodeOffset, size: UInt64
    ) -> Bool {
        // Of an allocation that did not come to its end.
        if entry.value & Content.new != 0 { return false }
        let start = entry.index << 12
        if start >= size && cut.contains(inode) { return false }
        if entry.value & Content.unwritten != 0 { return true }
        if start >= size {
            // Of a write that did not come to its end; zeros are of a file that was allocated twice.
            return region.isZero(entry.value, Geometry.pageBytes)
        }
        if size - start < Geometry.pageBytes {
            let (tail, count) = (entry.value + (size - start), Geometry.pageBytes - (size - start))
            if !store.arena.isShared(entry.value) {
                clear(tail, count)
            } else if !region.isZero(tail, count) {
                shared.append((inode, size))
            }
        }
        return true
    }

    /// What others have, too, is copied before it is changed, as soon as there can be a copy.
    private mutating func clearShared() {
        worker.enter()
        defer { worker.leave() }
        for (inode, size) in shared {
            do throws(Errno) {
                try worker.ownPage(inode, at: size)
                worker.zeroLocked(inode, from: size, to: (size + 4095) & ~4095)
            } catch {
                report.problems.append("inode \(inode): no memory for its last page (\(error))")
            }
        }
    }

    /// Zeroes what is not zero; most of it is.
    private func clear(_ offset: UInt64, _ count: UInt64) {
        if !region.isZero(offset, count) { region.zero(offset, count) }
    }

    // MARK: everything

    private mutating func rebuild() {
        var check = StoreCheck(worker, isForServing: true)
        check.walkTree()
        check.checkAllLinks()
        report.inodes = check.report.inodes
        report.problems = check.arena.problems
        guard report.problems.isEmpty else { return }
        check.arena.rebuild(
            pagesInUse: check.pagesInUse, inodeSpaceInUse: check.spaceInUse)
        region.store(StoreSuperblock.fixedInodes, check.fixedInodes + 1)
        clearShared()
    }
}
