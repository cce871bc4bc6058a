// Rename: rename(2) and renameat2(2).

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// Flags of renameat2(2).
package enum RenameFlags {
    package static var noReplace: UInt32 { @_noLocks get { 1 } }
    package static var exchange: UInt32 { @_noLocks get { 2 } }
    package static var whiteout: UInt32 { @_noLocks get { 4 } }
}

/// The two places of a rename, with what was found there.
private struct RenamePlan {
    let oldDirectory: InodeOffset
    let oldName: Name
    let oldHash: NameHash
    let newDirectory: InodeOffset
    let newName: Name
    let newHash: NameHash
    var oldDentry: DentryOffset = .null
    var newDentry: DentryOffset = .null
    /// The inode that moves, and the one that it replaces or is exchanged with, if any.
    var moving: InodeOffset = .null
    var replaced: InodeOffset = .null
}

extension StoreWorker {
    /// Moves a name.
    ///
    /// - Parameters:
    ///   - flags: `RenameFlags`.
    ///   - caller: owner of the whiteout.
    /// - Throws: `ENOENT`, `EEXIST`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EINVAL` (a directory into
    ///   itself, or impossible flags), `EPERM`, `EBUSY` for "." and "..", `ENOSPC`, `ESTALE`.
    /// - Source: fs/namei.c, `vfs_rename()`; mm/shmem.c, `shmem_rename2()`.
    @_noLocks package func rename(
        _ oldParent: NodeID, _ oldName: Name, _ newParent: NodeID, _ newName: Name,
        flags: UInt32, caller: Caller
    ) throws(Errno) {
        let known = RenameFlags.noReplace | RenameFlags.exchange | RenameFlags.whiteout
        guard flags & ~known == 0 else { throw .invalidArgument }
        if flags & RenameFlags.exchange != 0 && flags != RenameFlags.exchange {
            throw .invalidArgument
        }
        let oldDirectory = try directory(oldParent)
        let newDirectory = try directory(newParent)
        try oldName.check()
        try newName.checkNew()
        if oldName.isDots || newName.isDots { throw .resourceBusy }
        var plan = RenamePlan(
            oldDirectory: oldDirectory, oldName: oldName, oldHash: oldName.hash(),
            newDirectory: newDirectory, newName: newName, newHash: newName.hash())
        // The kernel holds a lock of its own for this; other callers need ours, so that two
        // directories cannot become each other's ancestors.
        let needsTreeLock = oldDirectory != newDirectory
        if needsTreeLock { lockTree() }
        defer { if needsTreeLock { unlockTree() } }
        while true {
            look(&plan)
            if plan.oldDentry == .null { throw .noSuchFileOrDirectory }
            let seen = plan
            var locks = LockSet(oldDirectory, newDirectory, plan.moving, plan.replaced)
            lockAll(&locks)
            defer {
                changes.commit()
                unlockAll(locks)
            }
            look(&plan)
            guard plan.oldDentry == seen.oldDentry, plan.newDentry == seen.newDentry,
                plan.moving == seen.moving, plan.replaced == seen.replaced
            else { continue }
            guard try check(plan, flags: flags) else { return }
            if flags & RenameFlags.exchange != 0 {
                exchange(plan)
            } else {
                try move(plan, flags: flags, caller: caller)
            }
            return
        }
    }

    @_noLocks private func look(_ plan: inout RenamePlan) {
        plan.oldDentry = findDentry(plan.oldDirectory, plan.oldName, hash: plan.oldHash)
        plan.newDentry = findDentry(plan.newDirectory, plan.newName, hash: plan.newHash)
        plan.moving =
            plan.oldDentry == .null
            ? .null : InodeOffset(region.loadAcquire(plan.oldDentry + Dentry.inode))
        plan.replaced =
            plan.newDentry == .null
            ? .null : InodeOffset(region.loadAcquire(plan.newDentry + Dentry.inode))
    }

    /// In the order in which the kernel finds fault.
    ///
    /// - Returns: false when both names are of one inode, and nothing is to be done.
    @_noLocks private func check(_ plan: RenamePlan, flags: UInt32) throws(Errno) -> Bool {
        let isExchange = flags & RenameFlags.exchange != 0
        // First: a removed directory's parent may be another inode by now (`isInside`).
        if isRemoved(plan.newDirectory) { throw .noSuchFileOrDirectory }
        if plan.replaced == .null {
            if isExchange { throw .noSuchFileOrDirectory }
        } else if flags & RenameFlags.noReplace != 0 {
            throw .fileExists
        }
        let movesDirectory = type(plan.moving) == FileMode.directory
        let replacesDirectory =
            plan.replaced != .null && type(plan.replaced) == FileMode.directory
        // Within one directory nothing can come to be inside itself.
        if plan.oldDirectory != plan.newDirectory {
            if movesDirectory && isInside(plan.newDirectory, ancestor: plan.moving) {
                throw .invalidArgument
            }
            if replacesDirectory && isInside(plan.oldDirectory, ancestor: plan.replaced) {
                throw isExchange ? .invalidArgument : .directoryNotEmpty
            }
        }
        if plan.moving == plan.replaced { return false }
        try checkRemoval(plan.oldDirectory, plan.moving)
        try checkInsertion(plan.newDirectory)
        if plan.replaced == .null { return true }
        try checkRemoval(plan.newDirectory, plan.replaced)
        if isExchange { return true }
        if movesDirectory && !replacesDirectory { throw .notDirectory }
        if !movesDirectory && replacesDirectory { throw .isDirectory }
        if replacesDirectory && region.load(plan.replaced + Inode.entries) != 0 {
            throw .directoryNotEmpty
        }
        return true
    }

    /// Whether `ancestor` is `directory` or above it. The tree lock holds parents still.
    @_noLocks private func isInside(_ directory: InodeOffset, ancestor: InodeOffset) -> Bool {
        var at = directory
        while true {
            if at == ancestor { return true }
            if at == store.root { return false }
            let parent = InodeOffset(region.loadAcquire(at + Inode.parent))
            if parent == at || parent == .null { return false }
            at = parent
        }
    }

    @_noLocks
    private func move(_ plan: RenamePlan, flags: UInt32, caller: Caller) throws(Errno) {
        var whiteout: InodeOffset = .null
        if flags & RenameFlags.whiteout != 0 {
            // A node like any other of its directory: with its group, its ACL, its flags.
            // Source: mm/shmem.c, `shmem_whiteout()`.
            whiteout = try makeInode(
                in: plan.oldDirectory, mode: FileMode.characterDevice, device: 0, caller: caller)
        }
        let (oldIndex, newIndex) = (nameIndex(plan.oldDentry), indexIfAny(plan.newDentry))
        let staysInPlace =
            plan.replaced == .null && whiteout == .null && plan.oldDirectory == plan.newDirectory
        if staysInPlace {
            try renameDentry(
                plan.oldDirectory, plan.oldDentry, to: plan.newName, hash: plan.newHash)
        } else if plan.replaced == .null {
            do throws(Errno) {
                try insertDentry(
                    plan.newDirectory, plan.newName, hash: plan.newHash, inode: plan.moving,
                    index: oldIndex)
            } catch {
                if whiteout != .null {
                    region.store32(whiteout + Inode.links, 0)
                    endIfUnused(whiteout)
                }
                throw error
            }
        } else {
            repointDentry(
                plan.newDirectory, plan.newDentry, to: plan.moving, index: oldIndex)
        }
        if whiteout != .null {
            repointDentry(plan.oldDirectory, plan.oldDentry, to: whiteout, index: 0)
        } else if !staysInPlace {
            removeDentry(plan.oldDirectory, plan.oldDentry)
        }
        let now = cmem_now()
        let movesDirectory = type(plan.moving) == FileMode.directory
        beginUpdate(plan.oldDirectory)
        if movesDirectory { addLinks(plan.oldDirectory, -1) }
        touchDirectory(plan.oldDirectory, now)
        endUpdate(plan.oldDirectory)
        beginUpdate(plan.newDirectory)
        // One directory goes, one comes: the count changes only when none was replaced.
        if movesDirectory && plan.replaced == .null { addLinks(plan.newDirectory, 1) }
        touchDirectory(plan.newDirectory, now)
        endUpdate(plan.newDirectory)
        touchChange(plan.moving, now)
        if plan.replaced != .null { dropLink(plan.replaced, newIndex, now) }
    }

    @_noLocks private func indexIfAny(_ dentry: DentryOffset) -> UInt64 {
        dentry == .null ? 0 : nameIndex(dentry)
    }

    @_noLocks private func exchange(_ plan: RenamePlan) {
        let (oldIndex, newIndex) = (nameIndex(plan.oldDentry), nameIndex(plan.newDentry))
        repointDentry(plan.oldDirectory, plan.oldDentry, to: plan.replaced, index: newIndex)
        repointDentry(plan.newDirectory, plan.newDentry, to: plan.moving, index: oldIndex)
        let now = cmem_now()
        let movesDirectory = type(plan.moving) == FileMode.directory
        let replacesDirectory = type(plan.replaced) == FileMode.directory
        let change: Int32 = (replacesDirectory ? 1 : 0) - (movesDirectory ? 1 : 0)
        beginUpdate(plan.oldDirectory)
        addLinks(plan.oldDirectory, change)
        touchDirectory(plan.oldDirectory, now)
        endUpdate(plan.oldDirectory)
        beginUpdate(plan.newDirectory)
        addLinks(plan.newDirectory, -change)
        touchDirectory(plan.newDirectory, now)
        endUpdate(plan.newDirectory)
        touchChange(plan.moving, now)
        touchChange(plan.replaced, now)
    }

    @_noLocks private func touchChange(_ inode: InodeOffset, _ now: cmem_time) {
        beginUpdate(inode)
        setTime(inode, TimeField.change, now)
        endUpdate(inode)
    }

    // MARK: the tree lock

    @_noLocks private func lockTree() {
        // The first words of the side table belong to no inode slot.
        while !sideTable.exchange(0, expected: 0, desired: 1) {
            worker.countLockWait()
            cmem_yield()
        }
    }

    @_noLocks private func unlockTree() { sideTable.storeRelease(0, 0) }
}
