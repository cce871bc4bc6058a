// NameChanges: the names that a rollback changes, found before it changes anything.
//
// Every change of a name writes its directory's inode and the leaf of the directory's map in which
// its cookie stands. So the directories are those whose inodes lie in written pages, and of each the
// leaves that differ are looked at: not the tree, and not all names of a large directory.

internal import MayflyArena
internal import SystemPackage

/// An inode of one moment. A slot may hold another in another moment, with another generation.
package struct InodeIdentity: Hashable, Sendable {
    let slot: InodeOffset
    let generation: UInt32
}

/// A name that leads elsewhere after a rollback, and that the kernel may have cached.
package struct ChangedName: Sendable {
    /// The directory's nodeid before the rollback.
    package let parent: UInt64
    package let name: [UInt8]
    /// What it leads to before the rollback; nil for nothing.
    package let now: InodeIdentity?
    /// What it leads to afterwards.
    package let then: InodeIdentity?
    /// Where `now` is a directory that has a name afterwards, this one or another: the directories
    /// that it lies in then.
    package let foldersThen: [InodeIdentity]?
}

extension InodeStore {
    /// The names that lead elsewhere after a rollback, of directories that the kernel refers to.
    ///
    /// What the kernel cannot have cached is left out: a name of an inode that it has no reference to.
    ///
    /// - Precondition: the store is frozen.
    /// - Complexity: O(written pages and changed names), and a step for each 512 names of a directory
    ///   that changed.
    ///
    /// - Parameter renewsFiles: whether files that change get another nodeid, so that all names that
    ///   they have lead elsewhere.
    func changedNames(_ view: inout SnapshotView, renewsFiles: Bool) -> [ChangedName] {
        var changes: [ChangedName] = []
        let worker = worker(0)
        for page in inodePages(in: view.runs) {
            for slot in slots(of: page) where isReferred(slot) {
                switch worker.type(slot) {
                case FileMode.directory: compareNames(of: slot, &view, &changes)
                case FileMode.regular where renewsFiles && isChanged(slot, &view):
                    addNames(of: slot, &changes)
                default: break
                }
            }
        }
        return changes
    }

    /// Whether a file that the snapshot has too differs in more than its access time.
    private func isChanged(_ file: InodeOffset, _ view: inout SnapshotView) -> Bool {
        let seconds = Inode.seconds + TimeField.access * 8
        let nanoseconds = Inode.nanoseconds + TimeField.access * 4
        return stride(from: 0, to: Inode.bytes, by: 4).contains { at in
            at & ~7 != seconds && at != nanoseconds
                && arena.region.load32(file + at) != view.load32(file + at)
        }
    }

    private func addNames(of file: InodeOffset, _ changes: inout [ChangedName]) {
        let worker = worker(0)
        let identity = InodeIdentity(arena.region, file)
        for index in 0..<worker.nameTotal(file) {
            guard let (directory, dentry) = worker.findName(file, index), isReferred(directory)
            else {
                continue
            }
            changes.append(
                ChangedName(
                    parent: worker.nodeID(directory), name: worker.nameBytes(dentry),
                    now: identity, then: identity, foldersThen: nil))
        }
    }

    private func compareNames(
        of directory: InodeOffset, _ view: inout SnapshotView, _ changes: inout [ChangedName]
    ) {
        let worker = worker(0)
        // One that is not there afterwards has no names.
        let isThere = isDirectory(InodeIdentity(arena.region, directory), in: &view)
        var difference = NameDifference(region: arena.region)
        difference.compare(
            MapNode(map: MapWord(arena.region.load(directory + Inode.cookies))),
            MapNode(map: isThere ? MapWord(view.load(directory + Inode.cookies)) : .empty), &view)
        let parent = worker.nodeID(directory)
        for (name, now) in difference.now {
            let then = difference.then[name]
            guard now != then, isReferred(now.slot) else { continue }
            changes.append(
                ChangedName(
                    parent: parent, name: name, now: now, then: then,
                    foldersThen: worker.type(now.slot) == FileMode.directory
                        ? folders(above: now, in: &view) : nil))
        }
        for (name, then) in difference.then where difference.now[name] == nil {
            changes.append(
                ChangedName(parent: parent, name: name, now: nil, then: then, foldersThen: nil))
        }
    }

    /// Whether the snapshot has the inode, as a directory with a name.
    private func isDirectory(_ inode: InodeIdentity, in view: inout SnapshotView) -> Bool {
        view.load32(inode.slot + Inode.mode) & FileMode.typeMask == FileMode.directory
            && view.load32(inode.slot + Inode.generation) == inode.generation
            && view.load32(inode.slot + Inode.links) > 0
    }

    private func folders(
        above directory: InodeIdentity, in view: inout SnapshotView
    ) -> [InodeIdentity]? {
        guard isDirectory(directory, in: &view) else { return nil }
        var above: [InodeIdentity] = []
        var slot = directory.slot
        while slot != root, above.count < Self.depthLimit {
            slot = InodeOffset(view.load(slot + Inode.parent))
            above.append(
                InodeIdentity(slot: slot, generation: view.load32(slot + Inode.generation)))
        }
        return above
    }

    /// Deeper than any path that a mountpoint can have.
    private static var depthLimit: Int { 4096 }

    func isReferred(_ inode: InodeOffset) -> Bool {
        inode == root
            || sideTable.load(worker(0).side(inode) + Side.lookups) & ~Side.dead > 0
    }
}

extension StoreWorker {
    /// The inode behind a nodeid.
    package func identity(of node: NodeID) -> InodeIdentity? {
        (try? inode(node)).map { InodeIdentity(region, $0) }
    }

    /// The nodeid of the inode in a node's slot now; nil where there is none.
    package func current(_ node: NodeID) -> NodeID? {
        let offset = node.slot << 8
        if node == .root { return node }
        guard offset >= region_firstChunk, offset < store.arena.geometry.bytes,
            worker.isInode(offset)
        else { return nil }
        let current = NodeID(rawValue: nodeID(InodeOffset(offset)))
        return (try? inode(current)) == nil ? nil : current
    }
}

extension InodeIdentity {
    init(_ region: Region, _ slot: InodeOffset) {
        self.slot = slot
        generation = region.load32(slot + Inode.generation)
    }
}

/// A node of a directory's map from cookie to dentry; level 0 is none, level 1 a leaf.
private struct MapNode {
    var offset: UInt64 = 0
    var level: UInt64 = 0
    /// Entries in it.
    var count: UInt64 = 0

    init() {}

    init(map: MapWord) {
        level = map.height
        if level == 0 { return }
        offset = map.offset
        count = level == 1 ? map.span : 512
    }

    init(child offset: UInt64, level: UInt64) {
        if offset == 0 { return }
        self.offset = offset
        self.level = level
        count = 512
    }

    var bytes: UInt64 { count * 8 }
}

/// The dentries that are not the same in two moments of a directory.
private struct NameDifference {
    let region: Region
    private(set) var now: [[UInt8]: InodeIdentity] = [:]
    private(set) var then: [[UInt8]: InodeIdentity] = [:]

    init(region: Region) { self.region = region }

    /// Compares what stands below two nodes that begin at the same cookie.
    mutating func compare(_ one: MapNode, _ other: MapNode, _ view: inout SnapshotView) {
        let level = max(one.level, other.level)
        if level <= 1 { return compareLeaves(one, other, &view) }
        for index in 0..<UInt64(512) {
            let first =
                one.level == level
                ? MapNode(child: region.load(one.offset + index * 8), level: level - 1)
                : index == 0 ? one : MapNode()
            let second =
                other.level == level
                ? MapNode(child: view.load(other.offset + index * 8), level: level - 1)
                : index == 0 ? other : MapNode()
            if first.level == 0 && second.level == 0 { continue }
            compare(first, second, &view)
        }
    }

    private mutating func compareLeaves(
        _ one: MapNode, _ other: MapNode, _ view: inout SnapshotView
    ) {
        if one.offset == other.offset, one.count == other.count,
            !view.mayDiffer(one.offset, one.bytes)
        {
            return
        }
        for index in 0..<max(one.count, other.count) {
            let first = index < one.count ? region.load(one.offset + index * 8) : 0
            let second = index < other.count ? view.load(other.offset + index * 8) : 0
            if first == second, first == 0 || isSame(DentryOffset(first), &view) { continue }
            if first != 0 { note(now: DentryOffset(first)) }
            if second != 0 { note(then: DentryOffset(second), &view) }
        }
    }

    /// Whether one dentry has the same name and leads to the same inode in both moments.
    private func isSame(_ dentry: DentryOffset, _ view: inout SnapshotView) -> Bool {
        if !view.mayDiffer(dentry.rawValue, Dentry.bytes(nameCount: 255)) { return true }
        let slot = InodeOffset(region.load(dentry + Dentry.inode))
        let count = Self.nameCount(region.load32(dentry + Dentry.nameWord))
        guard InodeOffset(view.load(dentry + Dentry.inode)) == slot,
            Self.nameCount(view.load32(dentry + Dentry.nameWord)) == count
        else { return false }
        // Bytes behind a name may differ, too: then both are noted, and are the same name after all.
        for at in stride(from: dentry + Dentry.name, to: dentry + Dentry.name + count, by: 4)
        where region.load32(at) != view.load32(at) { return false }
        return region.load32(slot + Inode.generation) == view.load32(slot + Inode.generation)
    }

    private static func nameCount(_ word: UInt32) -> UInt64 { UInt64(word & 0xFF) }

    private mutating func note(now dentry: DentryOffset) {
        let count = Self.nameCount(region.load32(dentry + Dentry.nameWord))
        let name = region.bytes(dentry + Dentry.name, count)
        now[name] = InodeIdentity(region, InodeOffset(region.load(dentry + Dentry.inode)))
    }

    private mutating func note(then dentry: DentryOffset, _ view: inout SnapshotView) {
        let count = Self.nameCount(view.load32(dentry + Dentry.nameWord))
        let name = view.bytes(dentry + Dentry.name, count)
        let slot = InodeOffset(view.load(dentry + Dentry.inode))
        then[name] = InodeIdentity(slot: slot, generation: view.load32(slot + Inode.generation))
    }
}
