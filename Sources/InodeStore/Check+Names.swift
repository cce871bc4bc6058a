// Check of names: whether each inode knows the dentries that lead to it, and no others.

internal import MayflyArena

extension StoreCheck {
    /// Claims the map of an inode's further names.
    mutating func checkNameMap(_ inode: InodeOffset) {
        let map = MapWord(region.load(inode + Inode.otherNames))
        if map == .empty { return }
        if worker.type(inode) == FileMode.directory {
            return arena.note("inode \(inode): a directory with further names")
        }
        var others: [UInt64: UInt64] = [:]
        for (index, value) in entries(map, "names of inode \(inode)") { others[index] = value }
        otherNames[inode] = others
    }

    /// Compares one dentry with what its inode knows of it.
    mutating func checkName(_ directory: InodeOffset, _ dentry: DentryOffset, _ inode: InodeOffset)
    {
        guard found.has(inode), inode != worker.store.root else { return }
        let index = worker.nameIndex(dentry)
        let cookie = region.load(dentry + Dentry.cookie)
        let known: (directory: UInt64, cookie: UInt64)
        if index == 0 {
            known = (region.load(inode + Inode.parent), region.load(inode + Inode.nameCookie))
        } else {
            let others = otherNames[inode] ?? [:]
            known = (others[index * 2 - 2] ?? 0, others[index * 2 - 1] ?? 0)
        }
        if known != (directory.rawValue, cookie) {
            arena.note("inode \(inode): its name \(index) is not entry \(dentry)")
        }
    }

    /// Compares how many names an inode knows with how many there are.
    mutating func checkNameCount(_ inode: InodeOffset, _ known: FoundInodes.Inode) {
        if inode == worker.store.root { return }
        if known.names == 0, region.load(inode + Inode.nameCookie) != 0 {
            arena.note("inode \(inode): it knows a name and has none")
        }
        if known.names <= 1, otherNames.isEmpty { return }
        let others = otherNames[inode] ?? [:]
        if UInt64(others.count) != 2 * (max(known.names, 1) - 1) {
            arena.note("inode \(inode): \(known.names) names, \(others.count) words of them")
        }
        // The last name gets the number of one that goes, so there must be no gaps.
        if others.keys.contains(where: { $0 >= 2 * (max(known.names, 1) - 1) }) {
            arena.note("inode \(inode): its names are not numbered without gaps")
        }
    }
}
