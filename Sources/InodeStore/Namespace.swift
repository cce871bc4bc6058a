// Namespace: looking up, making and removing names.

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

extension StoreWorker {
    // MARK: lookup

    /// Finds a name and counts one reference of the kernel for it.
    ///
    /// - Returns: the attributes, or nil when there is no such name: a routine answer, no error.
    /// - Throws: `ESTALE`, `ENOTDIR`, `ENAMETOOLONG`.
    /// - Concurrency: no lock.
    @_noLocks package func lookup(_ parent: NodeID, _ name: Name) throws(Errno) -> Attributes? {
        let directory = try directory(parent)
        if name.isDots {
            // Export support: "." is the node itself, ".." its parent.
            let inode = name.count == 1 ? directory : liveParent(directory)
            guard retain(inode) else { throw .staleNFSFileHandle }
            return attributes(of: inode)
        }
        try name.check()
        let hash = name.hash()
        while true {
            let dentry = findDentry(directory, name, hash: hash)
            if dentry == .null { return nil }
            let inode = InodeOffset(region.loadAcquire(dentry + Dentry.inode))
            // An inode at its end is being unlinked this moment: look again.
            if retain(inode) { return attributes(of: inode) }
            cmem_pause()
        }
    }

    /// What ".." of a directory names. One that was removed keeps no parent, whose slot may be
    /// another's by now: it names itself.
    @_noLocks func liveParent(_ directory: InodeOffset) -> InodeOffset {
        let parent = InodeOffset(region.loadAcquire(directory + Inode.parent))
        // The parent that was read cannot have ended before the directory was removed, and the
        // links are 0 before that can begin; so with links left, its memory is still its own.
        return region.load32(directory + Inode.links) == 0 ? directory : parent
    }

    /// LOOKUP of "." on what need not be a directory: an inode by its file handle.
    ///
    /// - Throws: `ESTALE` when it is gone.
    @_noLocks package func lookup(handle node: NodeID) throws(Errno) -> Attributes {
        let inode = try inode(node)
        // Without a name it lives for the kernel's references alone, and the kernel would not ask
        // if it had one: its FORGET is on the way.
        guard region.load32(inode + Inode.links) > 0, retain(inode) else {
            throw .staleNFSFileHandle
        }
        return attributes(of: inode)
    }

    /// Counts a reference for an entry of READDIRPLUS.
    ///
    /// - Returns: the attributes, or nil when the inode is at its end.
    @_noLocks package func lookup(entry: DirectoryEntry) -> Attributes? {
        guard let inode = try? inode(NodeID(rawValue: entry.nodeID)), retain(inode) else {
            return nil
        }
        return attributes(of: inode)
    }

    // MARK: creation

    /// Makes a file, directory, fifo, socket or device, and counts one reference.
    ///
    /// - Parameter mode: type and permissions as the caller asked; the umask or the directory's
    ///   default ACL is applied here.
    /// - Throws: `EEXIST`, `ENOSPC`, `ENOENT` in a removed directory, `EPERM` in an immutable one,
    ///   `ENOTDIR`, `ENAMETOOLONG`, `ESTALE`, `EINVAL` for an unknown type.
    @_noLocks package func make(
        _ parent: NodeID, _ name: Name, mode: UInt32, device: UInt32 = 0, caller: Caller
    ) throws(Errno) -> Attributes {
        try unsafe makeAny(parent, name, mode: mode, device: device, target: nil, caller: caller)
    }

    /// Makes a symlink to `target` (1 to 4,095 bytes), and counts one reference.
    ///
    /// - Throws: as `make`, and `ENAMETOOLONG` for a longer target.
    @_noLocks package func makeSymlink(
        _ parent: NodeID, _ name: Name, target: UnsafeRawBufferPointer, caller: Caller
    ) throws(Errno) -> Attributes {
        guard target.count < 4096 else { throw .fileNameTooLong }
        return try unsafe makeAny(
            parent, name, mode: FileMode.symlink | 0o777, device: 0, target: target,
            caller: caller)
    }

    @_noLocks private func makeAny(
        _ parent: NodeID, _ name: Name, mode: UInt32, device: UInt32,
        target: UnsafeRawBufferPointer?, caller: Caller
    ) throws(Errno) -> Attributes {
        let directory = try directory(parent)
        try name.checkNew()
        if name.isDots { throw .fileExists }
        let hash = name.hash()
        lock(directory)
        defer {
            changes.commit()
            unlock(directory)
        }
        try checkInsertion(directory)
        if findDentry(directory, name, hash: hash) != .null { throw .fileExists }
        let inode = try makeInode(
            in: directory, mode: mode, device: device, caller: caller)
        do throws(Errno) {
            if let target = unsafe target { try unsafe setTarget(inode, target) }
            // Before the name can be found, so that ".." always leads somewhere.
            region.store(inode + Inode.parent, directory.rawValue)
            try insertDentry(directory, name, hash: hash, inode: inode, index: 0)
        } catch {
            discard(inode)
            throw error
        }
        let now = cmem_now()
        beginUpdate(directory)
        if mode & FileMode.typeMask == FileMode.directory { addLinks(directory, 1) }
        touchDirectory(directory, now)
        endUpdate(directory)
        _ = retain(inode)
        return attributes(of: inode)
    }

    /// An open file without a name: O_TMPFILE. Counts one reference.
    ///
    /// - Parameter isLinkable: whether linkat(2) may name it (not with O_EXCL).
    /// - Throws: `ENOSPC`, `ENOENT`, `EPERM` in an immutable directory, `ENOTDIR`, `ESTALE`.
    @_noLocks package func makeTemporary(
        _ parent: NodeID, mode: UInt32, isLinkable: Bool, caller: Caller
    ) throws(Errno) -> Attributes {
        let directory = try directory(parent)
        // Source: fs/namei.c, `vfs_tmpfile()`: whoever may write the directory may.
        try checkInsertion(directory)
        let inode = try makeInode(
            in: directory, mode: FileMode.regular | mode & FileMode.permissions, device: 0,
            caller: caller)
        region.store32(inode + Inode.links, 0)
        if isLinkable {
            region.store32(
                inode + Inode.flags, region.load32(inode + Inode.flags) | InodeFlags.linkable)
        }
        _ = retain(inode)
        return attributes(of: inode)
    }

    /// An inode with owner, mode, flags and ACLs as its directory gives them; no name yet.
    ///
    /// - Source: fs/inode.c, `inode_init_owner()`; fs/posix_acl.c, `posix_acl_create()`.
    @_noLocks func makeInode(
        in directory: InodeOffset, mode: UInt32, device: UInt32, caller: Caller
    ) throws(Errno) -> InodeOffset {
        let type = mode & FileMode.typeMask
        switch type {
        case FileMode.regular, FileMode.directory, FileMode.symlink, FileMode.fifo,
            FileMode.socket, FileMode.characterDevice, FileMode.blockDevice:
            break
        default: throw .invalidArgument
        }
        var mode = mode
        var groupID = caller.groupID
        if region.load32(directory + Inode.mode) & FileMode.setGroupID != 0 {
            groupID = region.load32(directory + Inode.groupID)
            if type == FileMode.directory { mode |= FileMode.setGroupID }
        }
        let inode = try allocateInode()
        let takesACL =
            region.load32(directory + Inode.flags) & InodeFlags.defaultACL != 0
            && type != FileMode.symlink
        if !takesACL && type != FileMode.symlink { mode &= ~caller.umask }
        let isDevice = type == FileMode.characterDevice || type == FileMode.blockDevice
        initialize(
            inode, mode: mode, caller: Caller(userID: caller.userID, groupID: groupID),
            device: isDevice ? device : 0)
        region.store32(
            inode + Inode.flags, region.load32(directory + Inode.flags) & InodeFlags.inherited)
        if type == FileMode.directory { region.store32(inode + Inode.links, 2) }
        if takesACL {
            do throws(Errno) {
                try inheritACL(from: directory, to: inode)
            } catch {
                discard(inode)
                throw error
            }
        }
        return inode
    }

    /// Undoes `makeInode`: nobody has seen the inode.
    @_noLocks private func discard(_ inode: InodeOffset) {
        region.store32(inode + Inode.links, 0)
        endIfUnused(inode)
    }

    @_noLocks
    private func setTarget(_ inode: InodeOffset, _ target: UnsafeRawBufferPointer) throws(Errno) {
        let count = UInt64(target.count)
        guard count > 0, let bytes = target.baseAddress else {
            throw .noSuchFileOrDirectory
        }
        region.store(inode + Inode.size, count)
        if count <= Inode.inlineBytes {
            unsafe cmem_copy(
                region.pointer(writing: inode + Inode.inline, count), bytes, Int(count))
            return
        }
        // tmpfs charges a page for what does not fit its short symlinks (SHORT_SYMLINK_LEN).
        let charged: UInt64 = count >= 128 ? 1 : 0
        guard store.arena.pages.reserve(charged, shard: shard) else { throw .noSpace }
        guard let run = worker.allocate(.small, count: (count + 63) >> 6) else {
            store.arena.pages.release(charged, shard: shard)
            throw .noSpace
        }
        unsafe cmem_copy(region.pointer(writing: run.offset, count), bytes, Int(count))
        region.store(inode + Inode.pages, charged)
        region.storeRelease(
            inode + Inode.content,
            MapWord(form: MapWord.blobForm, detail: run.count, offset: run.offset).rawValue)
    }

    /// The target of a symlink: memory that stays valid until the worker leaves.
    ///
    /// - Throws: `EINVAL` for what is no symlink, `ESTALE`.
    @_noLocks package func readLink(_ node: NodeID) throws(Errno) -> UnsafeRawBufferPointer {
        let inode = try inode(node)
        guard type(inode) == FileMode.symlink else { throw .invalidArgument }
        touchAccess(inode)
        let count = region.load(inode + Inode.size)
        let at =
            count <= Inode.inlineBytes
            ? inode + Inode.inline : MapWord(region.loadAcquire(inode + Inode.content)).offset
        return unsafe UnsafeRawBufferPointer(
            start: region.pointer(at), count: Int(truncatingIfNeeded: count))
    }

    // MARK: link(2)

    /// Gives an inode one more name, and counts one reference.
    ///
    /// - Throws: `EEXIST`, `EPERM` for a directory, an immutable or append-only inode, `ENOENT` for
    ///   an inode without names that was not made by O_TMPFILE, `EMLINK` above 2^24 names, `ENOSPC`.
    @_noLocks package func link(
        _ node: NodeID, _ newParent: NodeID, _ name: Name
    ) throws(Errno) -> Attributes {
        let inode = try inode(node)
        let directory = try directory(newParent)
        try name.checkNew()
        if name.isDots { throw .fileExists }
        if type(inode) == FileMode.directory { throw .notPermitted }
        let hash = name.hash()
        var locks = LockSet(inode, directory)
        lockAll(&locks)
        defer {
            changes.commit()
            unlockAll(locks)
        }
        try checkInsertion(directory)
        let flags = region.load32(inode + Inode.flags)
        guard flags & (InodeFlags.immutable | InodeFlags.append) == 0 else { throw .notPermitted }
        let links = region.load32(inode + Inode.links)
        if links == 0 && flags & InodeFlags.linkable == 0 { throw .noSuchFileOrDirectory }
        if links >= Self.mostLinks() { throw .tooManyLinks }
        if findDentry(directory, name, hash: hash) != .null { throw .fileExists }
        // tmpfs counts a further link against the inodes, as each pins a dentry; the first name of
        // a temporary file is paid for. Source: mm/shmem.c, `shmem_link()`.
        let space = links == 0 ? 0 : InodeStore.inodeSpaceUnit
        guard store.arena.inodeSpace.reserve(space, shard: shard) else { throw .noSpace }
        do throws(Errno) {
            try reserveName(inode, UInt64(links))
            try insertDentry(directory, name, hash: hash, inode: inode, index: UInt64(links))
        } catch {
            if links == 1 { dropNameMap(inode) }
            store.arena.inodeSpace.release(space, shard: shard)
            throw error
        }
        let now = cmem_now()
        beginUpdate(inode)
        changes.store32(inode + Inode.links, links + 1)
        changes.store32(inode + Inode.flags, flags & ~InodeFlags.linkable)
        setTime(inode, TimeField.change, now)
        endUpdate(inode)
        beginUpdate(directory)
        touchDirectory(directory, now)
        endUpdate(directory)
        _ = retain(inode)
        return attributes(of: inode)
    }

    // MARK: unlink(2), rmdir(2)

    /// Removes the name of what is no directory.
    ///
    /// - Throws: `ENOENT`, `EISDIR`, `EPERM`, `ENOTDIR`, `ESTALE`, `ENAMETOOLONG`.
    @_noLocks package func unlink(_ parent: NodeID, _ name: Name) throws(Errno) {
        try remove(parent, name, isDirectory: false)
    }

    /// Removes an empty directory.
    ///
    /// - Throws: `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EPERM`, `EINVAL` for ".", `ESTALE`.
    @_noLocks package func removeDirectory(_ parent: NodeID, _ name: Name) throws(Errno) {
        if name.isDots { throw name.count == 1 ? .invalidArgument : .directoryNotEmpty }
        try remove(parent, name, isDirectory: true)
    }

    @_noLocks
    private func remove(_ parent: NodeID, _ name: Name, isDirectory: Bool) throws(Errno) {
        let directory = try directory(parent)
        try name.check()
        let hash = name.hash()
        while true {
            let found = findDentry(directory, name, hash: hash)
            if found == .null { throw .noSuchFileOrDirectory }
            let victim = InodeOffset(region.loadAcquire(found + Dentry.inode))
            var locks = LockSet(directory, victim)
            lockAll(&locks)
            defer {
                changes.commit()
                unlockAll(locks)
            }
            // Found without a lock: it counts only if it is still so.
            let dentry = findDentry(directory, name, hash: hash)
            guard dentry == found, InodeOffset(region.load(dentry + Dentry.inode)) == victim else {
                continue
            }
            try checkRemoval(directory, victim)
            let victimIsDirectory = type(victim) == FileMode.directory
            if victimIsDirectory != isDirectory {
                throw isDirectory ? .notDirectory : .isDirectory
            }
            if isDirectory && region.load(victim + Inode.entries) != 0 {
                throw .directoryNotEmpty
            }
            removeDentry(directory, dentry)
            let now = cmem_now()
            let index = nameIndex(dentry)
            beginUpdate(directory)
            if isDirectory { addLinks(directory, -1) }
            touchDirectory(directory, now)
            endUpdate(directory)
            dropLink(victim, index, now)
            return
        }
    }

    /// Takes the name of a number from an inode whose lock is held; a directory loses all its links.
    @_noLocks func dropLink(_ inode: InodeOffset, _ index: UInt64, _ now: cmem_time) {
        let links = region.load32(inode + Inode.links)
        let left = type(inode) == FileMode.directory ? 0 : links - 1
        forgetName(inode, index, of: UInt64(left) + 1)
        beginUpdate(inode)
        changes.store32(inode + Inode.links, left)
        setTime(inode, TimeField.change, now)
        endUpdate(inode)
        if left > 0 {
            store.arena.inodeSpace.release(InodeStore.inodeSpaceUnit, shard: shard)
        } else {
            endIfUnused(inode)
        }
    }

    /// Whether nothing can be put into a directory any more.
    @_noLocks func isRemoved(_ directory: InodeOffset) -> Bool {
        region.load32(directory + Inode.links) == 0
            && region.load32(directory + Inode.flags) & InodeFlags.staging == 0
    }

    /// Counts subdirectories that come or go. One without a name has no links, whatever lies in it.
    @_noLocks func addLinks(_ directory: InodeOffset, _ count: Int32) {
        let links = region.load32(directory + Inode.links)
        if links == 0 { return }
        changes.store32(
            directory + Inode.links, UInt32(bitPattern: Int32(bitPattern: links) + count))
    }

    // MARK: what flags forbid

    /// - Throws: `ENOENT` for a removed directory, `EPERM` for an immutable one.
    @_noLocks func checkInsertion(_ directory: InodeOffset) throws(Errno) {
        if isRemoved(directory) { throw .noSuchFileOrDirectory }
        if region.load32(directory + Inode.flags) & InodeFlags.immutable != 0 {
            throw .notPermitted
        }
    }

    /// - Throws: `EPERM` when the directory or the victim is immutable or append-only.
    /// - Source: fs/namei.c, `may_delete()`.
    @_noLocks func checkRemoval(_ directory: InodeOffset, _ victim: InodeOffset) throws(Errno) {
        let flags =
            region.load32(directory + Inode.flags) | region.load32(victim + Inode.flags)
        if flags & (InodeFlags.immutable | InodeFlags.append) != 0 { throw .notPermitted }
    }
}
