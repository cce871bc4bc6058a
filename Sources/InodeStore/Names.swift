// Names: which names an inode has, kept in the inode, so that a path is found without a search.
//
// Name 0 is the directory and the cookie of one dentry, in two words of the inode. A file with more
// links has a map of the others: name i is entries 2(i - 1), the directory, and 2(i - 1) + 1, the
// cookie. Names are numbered without gaps, and each dentry knows its number, so that adding and
// removing one of many links costs O(1). A directory's parent is its name 0's directory.
//
// Whoever changes a name of an inode holds the lock of that inode and of the directory. Readers take
// no lock: they read a name, and believe it when its dentry leads back to the inode.

internal import CMayflyMemory
internal import MayflyArena
internal import SystemPackage

extension StoreWorker {
    /// The most links of a file: the number of a name has 24 bits in its dentry.
    @_noLocks static func mostLinks() -> UInt32 { 1 << 24 }

    // MARK: dentries

    @_noLocks func nameCount(_ dentry: DentryOffset) -> UInt64 {
        UInt64(region.load32(dentry + Dentry.nameWord) & 0xFF)
    }

    /// A copy of the name.
    func nameBytes(_ dentry: DentryOffset) -> [UInt8] {
        region.bytes(dentry + Dentry.name, nameCount(dentry))
    }

    /// The number of the name among those of its inode.
    @_noLocks func nameIndex(_ dentry: DentryOffset) -> UInt64 {
        UInt64(region.load32(dentry + Dentry.nameWord) >> 8)
    }

    @_noLocks func setNameIndex(_ dentry: DentryOffset, _ index: UInt64) {
        let word = region.load32(dentry + Dentry.nameWord) & 0xFF
        changes.store32(dentry + Dentry.nameWord, word | UInt32(truncatingIfNeeded: index) << 8)
    }

    // MARK: changing; locks of the inode and the directory are held, or nobody knows the inode

    /// Makes room for one more name, so that `setName` cannot fail.
    ///
    /// - Throws: `ENOSPC` when the region is used up.
    @_noLocks func reserveName(_ inode: InodeOffset, _ index: UInt64) throws(Errno) {
        if index > 0 { _ = try ensureSlot(inode + Inode.otherNames, index * 2 - 1) }
    }

    /// Takes note of where a name is. The change of a name that there is already is one update, for
    /// those who read without a lock.
    ///
    /// - Precondition: `reserveName`, for a name that is new.
    @_noLocks
    func setName(_ inode: InodeOffset, _ index: UInt64, _ directory: InodeOffset, cookie: UInt64) {
        beginUpdate(inode)
        if index == 0 {
            changes.store(inode + Inode.nameCookie, cookie)
            changes.storeRelease(inode + Inode.parent, directory.rawValue)
        } else {
            let map = MapWord(region.load(inode + Inode.otherNames))
            changes.store(mapSlot(map, index * 2 - 1), cookie)
            changes.storeRelease(mapSlot(map, index * 2 - 2), directory.rawValue)
        }
        endUpdate(inode)
    }

    /// Forgets the name of a number; the last one gets its number.
    ///
    /// - Parameter count: names that there are, that one among them.
    @_noLocks func forgetName(_ inode: InodeOffset, _ index: UInt64, of count: UInt64) {
        let last = count - 1
        if index < last {
            let moved = nameWords(inode, last)
            let dentry = DentryOffset(
                mapValue(MapWord(region.load(moved.directory + Inode.cookies)), moved.cookie))
            setName(inode, index, moved.directory, cookie: moved.cookie)
            setNameIndex(dentry, index)
        }
        if last == 0 {
            changes.store(inode + Inode.nameCookie, 0)
            // What ".." of a removed directory names is judged by its links.
            if type(inode) != FileMode.directory { changes.store(inode + Inode.parent, 0) }
        } else if last == 1 {
            dropNameMap(inode)
        } else {
            beginUpdate(inode)
            clearEntry(inode + Inode.otherNames, last * 2 - 1)
            clearEntry(inode + Inode.otherNames, last * 2 - 2)
            endUpdate(inode)
        }
    }

    /// A file of one name needs no map.
    @_noLocks func dropNameMap(_ inode: InodeOffset) {
        let map = MapWord(region.load(inode + Inode.otherNames))
        if map == .empty { return }
        changes.storeRelease(inode + Inode.otherNames, 0)
        worker.retire(Retired(what: Reclaim.cookies, count: 1, offset: map.rawValue))
    }

    /// Makes a dentry lead to another inode, of whose names it becomes the one of a number.
    @_noLocks func repointDentry(
        _ directory: InodeOffset, _ dentry: DentryOffset, to inode: InodeOffset, index: UInt64
    ) {
        let cookie = region.load(dentry + Dentry.cookie)
        setNameIndex(dentry, index)
        changes.storeRelease(dentry + Dentry.inode, inode.rawValue)
        setName(inode, index, directory, cookie: cookie)
        // Written anew, as every change of a name writes the leaf: a rollback looks there
        // (NameChanges.swift).
        region.storeRelease(
            mapSlot(MapWord(region.load(directory + Inode.cookies)), cookie), dentry.rawValue)
    }

    // MARK: reading

    /// The directory and the cookie of a name, as they stand.
    @_noLocks func nameWords(
        _ inode: InodeOffset, _ index: UInt64
    ) -> (directory: InodeOffset, cookie: UInt64) {
        if index == 0 {
            return (
                InodeOffset(region.loadAcquire(inode + Inode.parent)),
                region.load(inode + Inode.nameCookie)
            )
        }
        let map = MapWord(region.loadAcquire(inode + Inode.otherNames))
        return (InodeOffset(mapValue(map, index * 2 - 2)), mapValue(map, index * 2 - 1))
    }

    /// Names of an inode; 0 for the root and what has been removed.
    @_noLocks func nameTotal(_ inode: InodeOffset) -> UInt64 {
        let links = region.load32(inode + Inode.links)
        if links == 0 || inode == store.root { return 0 }
        return type(inode) == FileMode.directory ? 1 : UInt64(links)
    }

    /// The directory and the dentry of a name; nil when it is gone, or changes all the time.
    ///
    /// - Concurrency: no lock; entered.
    @_noLocks func findName(
        _ inode: InodeOffset, _ index: UInt64
    ) -> (directory: InodeOffset, dentry: DentryOffset)? {
        var tries = 0
        while tries < 10_000 {
            let (directory, cookie) = nameWords(inode, index)
            // Read after the words: while there are links the directory that they name is not freed
            // before this worker leaves.
            guard index < nameTotal(inode) else { return nil }
            if directory != .null {
                let dentry = DentryOffset(
                    mapValue(MapWord(region.loadAcquire(directory + Inode.cookies)), cookie))
                if dentry != .null, InodeOffset(region.loadAcquire(dentry + Dentry.inode)) == inode
                {
                    return (directory, dentry)
                }
            }
            // Under way to another place this moment.
            tries += 1
            if tries < 64 { cmem_pause() } else { cmem_yield() }
        }
        return nil
    }
}
