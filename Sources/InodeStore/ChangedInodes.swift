// ChangedInodes: which inodes two snapshots of one base have differently, by the pages that one of them
// has changed. Whatever a request changes of a file, a name or a directory it also changes in the inode:
// a time at least, or where its names are.

internal import CMayflyMemory
internal import MayflyArena

extension InodeStore {
    /// The inodes that are not the same in two moments, in ascending order. Inodes that were read
    /// since, and have another access time alone, are left out.
    ///
    /// - Parameters:
    ///   - then: a snapshot, and the store that was opened from it.
    ///   - now: another one with the same base.
    /// - Precondition: nobody changes the stores.
    /// - Complexity: O(pages that differ from the base in either).
    package static func changedInodes(
        _ then: StoreSnapshot, _ old: InodeStore, _ now: StoreSnapshot, _ new: InodeStore
    ) -> [NodeID] {
        var found: [NodeID] = []
        for run in union(then.runs, now.runs) {
            for page in stride(
                from: run.lowerBound, to: run.upperBound, by: Int(Geometry.pageBytes))
            {
                let isOld = old.holdsInodes(page)
                let isNew = new.holdsInodes(page)
                guard isOld || isNew else { continue }
                if isOld && isNew && isSamePage(old, new, page) { continue }
                for slot in new.slots(of: page) where isChanged(slot, isOld, old, isNew, new) {
                    found.append(
                        slot == new.root ? .root : NodeID(rawValue: new.worker(0).nodeID(slot)))
                }
            }
        }
        return found
    }

    private func holdsInodes(_ page: UInt64) -> Bool {
        let geometry = arena.geometry
        return page >= geometry.firstChunkOffset && page < geometry.bytes
            && arena.holdsInodes(geometry.chunk(containing: page))
    }

    private static func isSamePage(_ old: InodeStore, _ new: InodeStore, _ page: UInt64) -> Bool {
        unsafe cmem_compare(
            old.arena.region.pointer(page), new.arena.region.pointer(page),
            Int(Geometry.pageBytes)) == 0
    }

    private static func isChanged(
        _ slot: InodeOffset, _ isOld: Bool, _ old: InodeStore, _ isNew: Bool, _ new: InodeStore
    ) -> Bool {
        let isThere = isNew && new.arena.region.load32(slot + Inode.mode) != 0
        guard isOld, old.arena.region.load32(slot + Inode.mode) != 0 else { return isThere }
        guard isThere else { return true }
        // All but the access time.
        let seconds = Inode.seconds + TimeField.access * 8
        let nanoseconds = Inode.nanoseconds + TimeField.access * 4
        return [0..<seconds, seconds + 8..<nanoseconds, nanoseconds + 4..<Inode.bytes].contains {
            unsafe cmem_compare(
                old.arena.region.pointer(slot + $0.lowerBound),
                new.arena.region.pointer(slot + $0.lowerBound),
                Int($0.upperBound - $0.lowerBound)) != 0
        }
    }
}
