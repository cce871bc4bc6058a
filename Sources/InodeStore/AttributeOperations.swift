// Attributes: reading and changing what stat(2) tells.

package import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// What SETATTR changes: `valid` says which fields count.
package struct AttributeChange: Sendable {
    package static var mode: UInt32 { @_noLocks get { 1 << 0 } }
    package static var userID: UInt32 { @_noLocks get { 1 << 1 } }
    package static var groupID: UInt32 { @_noLocks get { 1 << 2 } }
    package static var size: UInt32 { @_noLocks get { 1 << 3 } }
    package static var accessTime: UInt32 { @_noLocks get { 1 << 4 } }
    package static var modificationTime: UInt32 { @_noLocks get { 1 << 5 } }
    /// With `accessTime`: take the clock's time, not the field's.
    package static var accessNow: UInt32 { @_noLocks get { 1 << 7 } }
    package static var modificationNow: UInt32 { @_noLocks get { 1 << 8 } }
    package static var changeTime: UInt32 { @_noLocks get { 1 << 10 } }
    /// The caller lacks CAP_FSETID: a change of size takes suid and sgid away.
    package static var killPrivileges: UInt32 { @_noLocks get { 1 << 11 } }
    /// The size is set through an open file: times change even when the size does not.
    package static var throughFile: UInt32 { @_noLocks get { 1 << 6 } }

    /// Whether an open file stands behind it: ftruncate(2), or the loss of suid before a write.
    var comesThroughFile: Bool {
        @_noLocks get {
            let changed =
                AttributeChange.mode | AttributeChange.userID | AttributeChange.groupID
                | AttributeChange.accessTime | AttributeChange.modificationTime
                | AttributeChange.changeTime
            if valid & changed != 0 { return false }
            return valid & AttributeChange.size == 0 || valid & AttributeChange.throughFile != 0
        }
    }

    /// Whether sgid goes, where suid goes, even from a file that its group may not execute: the
    /// caller does not belong to the group.
    ///
    /// - Source: fs/attr.c, `setattr_should_drop_sgid()`.
    package var isByStranger = false
    /// Whether the kernel may have pages that it has not written back, and writes back after this
    /// change: they do not move times that this one sets.
    package var precedesWriteBack = false
    package var valid: UInt32 = 0
    package var mode: UInt32 = 0
    package var userID: UInt32 = 0
    package var groupID: UInt32 = 0
    package var size: UInt64 = 0
    package var accessTime = cmem_time()
    package var modificationTime = cmem_time()
    package var changeTime = cmem_time()
    @_noLocks package init() {}

    @_noLocks func has(_ bit: UInt32) -> Bool { valid & bit != 0 }

    /// Whether suid and sgid go: with a new owner, and with a change of nothing at all, which is
    /// how chown(2) of -1 and -1, and a change of content other than WRITE, arrive.
    ///
    /// - Source: fs/fuse/dir.c, `fuse_setattr()`; fs/inode.c, `file_remove_privs()`.
    package var takesPrivileges: Bool {
        @_noLocks get {
            let owner = AttributeChange.userID | AttributeChange.groupID
            return valid & owner != 0 || !setsSomething
        }
    }

    /// Whether it sets any attribute.
    package var setsSomething: Bool {
        @_noLocks get {
            let some =
                AttributeChange.userID | AttributeChange.groupID | AttributeChange.mode
                | AttributeChange.size | AttributeChange.accessTime
                | AttributeChange.modificationTime | AttributeChange.changeTime
            return valid & some != 0
        }
    }
}

extension StoreWorker {
    // MARK: times

    @_noLocks func setTime(_ inode: InodeOffset, _ field: UInt64, _ time: cmem_time) {
        changes.store(inode + Inode.seconds + field * 8, UInt64(bitPattern: time.seconds))
        changes.store32(inode + Inode.nanoseconds + field * 4, time.nanoseconds)
    }

    /// The same for an inode that nobody can reach yet, and for an access time that a reader moves:
    /// two words that are never far apart.
    @_noLocks func setTimeUnnoted(_ inode: InodeOffset, _ field: UInt64, _ time: cmem_time) {
        region.store(inode + Inode.seconds + field * 8, UInt64(bitPattern: time.seconds))
        region.store32(inode + Inode.nanoseconds + field * 4, time.nanoseconds)
    }

    @_noLocks func time(_ inode: InodeOffset, _ field: UInt64) -> cmem_time {
        cmem_time(
            seconds: Int64(bitPattern: region.load(inode + Inode.seconds + field * 8)),
            nanoseconds: region.load32(inode + Inode.nanoseconds + field * 4))
    }

    /// Moves an access time, as the mount's options have it; under relatime when it is older than a
    /// change, or than a day.
    ///
    /// Two readers may both move it, to nearly the same moment; no lock is worth that.
    ///
    /// - Source: fs/inode.c, `relatime_need_update()`.
    @_noLocks func touchAccess(_ inode: InodeOffset) {
        if region.load32(inode + Inode.flags) & InodeFlags.noAccessTime != 0 { return }
        let options = store.options
        let rule =
            type(inode) == FileMode.directory ? options.directoryAccessTimes : options.accessTimes
        if rule.rawValue == StoreOptions.AccessTimes.never.rawValue { return }
        let access = time(inode, TimeField.access)
        let now = cmem_now()
        let isOld =
            rule.rawValue == StoreOptions.AccessTimes.strict.rawValue
            || !Self.isLater(access, time(inode, TimeField.modification))
            || !Self.isLater(access, time(inode, TimeField.change))
            // Not their difference, which a time of long ago would make overflow.
            || access.seconds <= now.seconds - 24 * 60 * 60
        if isOld && mayNote(inode) { setTimeUnnoted(inode, TimeField.access, now) }
    }

    /// Whether there is memory to note something that nobody would be told of otherwise.
    @_noLocks func mayNote(_ inode: InodeOffset) -> Bool {
        cmem_budget_left() > -Overdraft.change || region.cost(inode.rawValue, pages: 1) == 0
    }

    @_noLocks private static func isLater(_ a: cmem_time, _ b: cmem_time) -> Bool {
        a.seconds > b.seconds || (a.seconds == b.seconds && a.nanoseconds > b.nanoseconds)
    }

    /// Sets modification and change time of a directory whose entries changed.
    @_noLocks func touchDirectory(_ directory: InodeOffset, _ now: cmem_time) {
        setTime(directory, TimeField.modification, now)
        setTime(directory, TimeField.change, now)
    }

    /// Takes suid away, and sgid where the group may execute or a stranger asks; the lock is held.
    ///
    /// - Source: fs/attr.c, `setattr_should_drop_suidgid()`.
    @_noLocks func clearSetID(_ inode: InodeOffset, isByStranger: Bool = false) {
        let mode = region.load32(inode + Inode.mode)
        var cleared = mode & ~FileMode.setUserID
        if isByStranger || mode & FileMode.groupExecute != 0 { cleared &= ~FileMode.setGroupID }
        if cleared != mode { changes.store32(inode + Inode.mode, cleared) }
    }

    // MARK: reading

    /// What stat(2) tells, of one moment.
    ///
    /// - Throws: `ESTALE`.
    /// - Concurrency: no lock; again when a change was under way.
    @_noLocks package func attributes(_ node: NodeID) throws(Errno) -> Attributes {
        attributes(of: try inode(node))
    }

    @_noLocks func attributes(of inode: InodeOffset) -> Attributes {
        var result = Attributes()
        var sequence: UInt64
        repeat {
            sequence = readSequence(inode)
            fill(&result, inode)
        } while !isUnchanged(inode, since: sequence)
        return result
    }

    @_noLocks private func fill(_ result: inout Attributes, _ inode: InodeOffset) {
        result.nodeID = nodeID(inode)
        result.mode = region.load32(inode + Inode.mode)
        result.flags = region.load32(inode + Inode.flags)
        result.links = region.load32(inode + Inode.links)
        result.generation = region.load32(inode + Inode.generation)
        result.userID = region.load32(inode + Inode.userID)
        result.groupID = region.load32(inode + Inode.groupID)
        result.device = region.load32(inode + Inode.device)
        if result.isDirectory {
            result.size = (region.load(inode + Inode.entries) + 2) * Directory.entryBytes
            result.blocks = 0
        } else {
            result.size = region.load(inode + Inode.size)
            result.blocks = region.load(inode + Inode.pages) * 8
        }
        result.accessTime = time(inode, TimeField.access)
        result.modificationTime = time(inode, TimeField.modification)
        result.changeTime = time(inode, TimeField.change)
        result.birthTime = time(inode, TimeField.birth)
    }

    // MARK: changing

    /// Changes attributes as chmod(2), chown(2), truncate(2) and utimensat(2) do; who may is the
    /// kernel's to decide.
    ///
    /// - Returns: the attributes afterwards.
    /// - Throws: `EPERM` for an immutable or append-only inode, `EISDIR` and `EINVAL` for a size
    ///   of what is no regular file, `EFBIG`, `ESTALE`, `ENOSPC` when an ACL cannot be changed.
    /// - Source: fs/attr.c, `setattr_copy()`; mm/shmem.c, `shmem_setattr()`.
    @_noLocks package func setAttributes(
        _ node: NodeID, _ change: AttributeChange, caller: Caller
    ) throws(Errno) -> Attributes {
        let inode = try inode(node)
        lock(inode)
        defer {
            changes.commit()
            unlock(inode)
        }
        let flags = region.load32(inode + Inode.flags)
        try checkFlags(flags, change)
        if change.has(AttributeChange.size) {
            let type = type(inode)
            if type == FileMode.directory { throw .isDirectory }
            guard type == FileMode.regular else { throw .invalidArgument }
            guard change.size <= Int64.max else { throw .fileTooLarge }
            guard canDropPages(inode, from: (change.size + 4095) >> 12) else { throw .noMemory }
            try fetchPage(inode, at: change.size)
            if change.size <= region.load(inode + Inode.size) {
                try ownPage(inode, at: change.size)
            }
        }
        if change.has(AttributeChange.mode) && flags & InodeFlags.accessACL != 0 {
            try changeMask(inode, mode: change.mode)
        }
        // A folder's owner may change without loss. Source: fs/open.c, `chown_common()`.
        let takesCapability =
            change.has(AttributeChange.size)
            || change.takesPrivileges && type(inode) != FileMode.directory
        if flags & InodeFlags.capability != 0 && takesCapability {
            dropCapability(inode)
        }
        let now = cmem_now()
        beginUpdate(inode)
        let cuts = apply(change, to: inode, now: now, caller: caller)
        if cuts {
            // What is given up cannot be had back, so all else comes before.
            changes.commit(cutting: inode.rawValue)
            cut(inode, from: change.size)
        }
        endUpdate(inode)
        var result = Attributes()
        fill(&result, inode)
        return result
    }

    @_noLocks
    private func checkFlags(_ flags: UInt32, _ change: AttributeChange) throws(Errno) {
        guard flags & (InodeFlags.immutable | InodeFlags.append) != 0 else { return }
        // chown(2) of -1 and -1 sets nothing that a flag protects. Source: fs/attr.c,
        // `notify_change()`.
        if !change.setsSomething { return }
        if flags & InodeFlags.immutable != 0 {
            if store.options.checksOpen && change.comesThroughFile { return }
            throw .notPermitted
        }
        let guarded =
            AttributeChange.mode | AttributeChange.userID | AttributeChange.groupID
            | AttributeChange.size
        if change.valid & guarded != 0 { throw .notPermitted }
        // utimensat(2): an append-only file takes the clock's time only, and for both at once.
        // Source: fs/utimes.c, `vfs_utimes()` with ATTR_TIMES_SET; fs/attr.c, `notify_change()`.
        let access = AttributeChange.accessTime | AttributeChange.accessNow
        let modification = AttributeChange.modificationTime | AttributeChange.modificationNow
        let times = change.valid & (access | modification)
        let setsTimes = times != 0 && times != access | modification
        if setsTimes { throw .notPermitted }
    }

    /// - Returns: whether content behind the new end is to be given up.
    @_noLocks private func apply(
        _ change: AttributeChange, to inode: InodeOffset, now: cmem_time, caller: Caller
    ) -> Bool {
        var setsChangeTime = true
        var cuts = false
        if change.has(AttributeChange.userID) {
            changes.store32(inode + Inode.userID, change.userID)
        }
        if change.has(AttributeChange.groupID) {
            changes.store32(inode + Inode.groupID, change.groupID)
        }
        if change.takesPrivileges && type(inode) != FileMode.directory {
            clearSetID(inode, isByStranger: change.isByStranger)
        }
        if change.has(AttributeChange.mode) {
            let type = type(inode)
            changes.store32(inode + Inode.mode, type | change.mode & FileMode.permissions)
        }
        if change.has(AttributeChange.size) {
            let isSame = change.size == region.load(inode + Inode.size)
            let hadPages = region.load(inode + Inode.pages) > 0
            cuts = setSize(inode, change.size)
            if change.has(AttributeChange.killPrivileges) {
                clearSetID(inode, isByStranger: change.isByStranger)
            }
            // The same size counts as a change where there are pages: mm/shmem.c,
            // `shmem_truncate_range()`. To 0 bytes it is mostly open(2) with O_TRUNC, which moves
            // the times of an empty file too, and which the kernel sends as it sends truncate(2):
            // fs/fuse/dir.c, `update_mtime()`.
            let isChange = !isSame || hadPages || change.size == 0
            if isChange || change.has(AttributeChange.throughFile) {
                setTime(inode, TimeField.modification, now)
                clearTimesSet(inode)
            } else {
                setsChangeTime = change.valid & ~Self.sizeOnly != 0
            }
        }
        if change.has(AttributeChange.accessTime) {
            setTime(
                inode, TimeField.access,
                change.has(AttributeChange.accessNow) ? now : change.accessTime)
        }
        if change.has(AttributeChange.modificationTime) {
            setTime(
                inode, TimeField.modification,
                change.has(AttributeChange.modificationNow) ? now : change.modificationTime)
            let isSet = !change.has(AttributeChange.modificationNow)
            if isSet && change.precedesWriteBack && type(inode) == FileMode.regular {
                markTimesSet(inode)
            }
        }
        if change.has(AttributeChange.changeTime) {
            setTime(inode, TimeField.change, change.changeTime)
        } else if setsChangeTime {
            setTime(inode, TimeField.change, now)
        }
        return cuts
    }

    private static var sizeOnly: UInt32 {
        @_noLocks get { AttributeChange.size | AttributeChange.killPrivileges | 1 << 9 }
    }

    // MARK: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS

    /// The flags of chattr(1).
    @_noLocks package func flags(_ node: NodeID) throws(Errno) -> UInt32 {
        region.load32(try inode(node) + Inode.flags) & InodeFlags.settable
    }

    /// Sets the flags of chattr(1).
    ///
    /// - Throws: `EOPNOTSUPP` for a flag that tmpfs does not know, `ESTALE`.
    /// - Source: mm/shmem.c, `shmem_fileattr_set()`.
    @_noLocks package func setFlags(_ node: NodeID, _ flags: UInt32) throws(Errno) {
        guard flags & ~InodeFlags.settable == 0 else { throw .notSupported }
        let inode = try inode(node)
        lock(inode)
        beginUpdate(inode)
        let old = region.load32(inode + Inode.flags)
        countFixed(from: old, to: flags)
        changes.store32(inode + Inode.flags, old & ~InodeFlags.settable | flags)
        setTime(inode, TimeField.change, cmem_now())
        endUpdate(inode)
        changes.commit()
        unlock(inode)
    }

    /// Whether an inode may be opened with these flags, as far as chattr(1) goes.
    ///
    /// - Throws: `EPERM` for writing to an immutable file, and for writing to an append-only one
    ///   without O_APPEND or with O_TRUNC; `ESTALE`.
    /// - Source: fs/namei.c, `inode_permission()`, `may_open()`.
    @_noLocks package func checkOpen(_ node: NodeID, flags: UInt32) throws(Errno) {
        let accessMode: UInt32 = 3
        let truncate: UInt32 = 0o1000
        let append: UInt32 = 0o2000
        let inodeFlags = region.load32(try inode(node) + Inode.flags)
        guard inodeFlags & (InodeFlags.immutable | InodeFlags.append) != 0 else { return }
        let writes = flags & accessMode != 0
        if inodeFlags & InodeFlags.immutable != 0 && writes { throw .notPermitted }
        guard inodeFlags & InodeFlags.append != 0 else { return }
        if writes && flags & append == 0 || flags & truncate != 0 { throw .notPermitted }
    }

    // MARK: statfs(2)

    /// Pages and inodes: limits and what is free, as tmpfs tells them.
    package var statistics: StoreStatistics {
        @_noLocks get {
            let space = store.arena.inodeSpace
            let pages = store.arena.pages
            return StoreStatistics(
                pages: pages.limit, pagesFree: pages.free,
                inodes: space.limit / InodeStore.inodeSpaceUnit,
                inodesFree: space.free / InodeStore.inodeSpaceUnit)
        }
    }
}

/// What statfs(2) tells. Pages are of 4 KiB.
package struct StoreStatistics: Equatable, Sendable {
    package let pages: UInt64
    package let pagesFree: UInt64
    package let inodes: UInt64
    package let inodesFree: UInt64
}
