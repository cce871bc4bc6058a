// ModelFileSystem: what the store should do, in plain dictionaries and with no thought of speed.
//
// The same operations with the same errors as `StoreWorker`, on `ModelInode` instead of nodeids.
// Semantics are those of tmpfs; limits are counted by adding everything up.

package import InodeStore
package import SystemPackage

/// A planted bug, by which a test shows that it would find one.
package enum ModelBug: Sendable {
    case none
    /// Truncating leaves the rest of the last page as it was.
    case staleBytes
    /// A rename over a name forgets what was there.
    case lostReplacement
}

package final class ModelFileSystem {
    package private(set) var root: ModelInode
    let pageLimit: UInt64
    let spaceLimit: UInt64
    let bug: ModelBug
    /// Every inode that is not ended.
    package private(set) var inodes: [ObjectIdentifier: ModelInode] = [:]

    package init(pageLimit: UInt64, inodeLimit: UInt64, bug: ModelBug = .none) {
        root = ModelInode(mode: FileMode.directory | 0o1777, userID: 0, groupID: 0)
        root.links = 2
        root.node = 1
        root.parent = root
        self.pageLimit = pageLimit
        spaceLimit = inodeLimit * 1024
        self.bug = bug
        inodes[ObjectIdentifier(root)] = root
    }

    /// What it is now, for a time when it is something else.
    func copied() -> ModelFileSystem {
        let copy = ModelFileSystem(
            pageLimit: pageLimit, inodeLimit: spaceLimit / 1024, bug: bug)
        let twins = inodes.mapValues { $0.copied() }
        for (key, inode) in inodes {
            guard let twin = twins[key] else { continue }
            twin.parent = inode.parent.flatMap { twins[ObjectIdentifier($0)] }
            twin.entries = inode.entries.compactMapValues { entry in
                twins[ObjectIdentifier(entry.inode)].map { ($0, entry.cookie) }
            }
        }
        copy.inodes = Dictionary(
            uniqueKeysWithValues: twins.values.map { (ObjectIdentifier($0), $0) })
        if let root = twins[ObjectIdentifier(root)] { copy.root = root }
        return copy
    }

    package var pagesFree: UInt64 {
        pageLimit - inodes.values.reduce(0) { $0 + $1.charged }
    }
    package var spaceFree: UInt64 {
        spaceLimit - inodes.values.reduce(0) { $0 + $1.space }
    }

    private func needSpace(_ amount: UInt64) throws(Errno) {
        if spaceFree < amount { throw .noSpace }
    }

    /// Ends an inode that has neither names nor references.
    func end(_ inode: ModelInode) {
        if inode.links == 0 && inode.lookups == 0 { inodes[ObjectIdentifier(inode)] = nil }
    }

    package func forget(_ inode: ModelInode, _ count: Int) {
        if inode === root { return }
        inode.lookups -= min(count, inode.lookups)
        end(inode)
    }

    // MARK: names

    func check(_ name: String) throws(Errno) {
        if name.utf8.count > 255 { throw .fileNameTooLong }
        if name.isEmpty { throw .noSuchFileOrDirectory }
    }
    func isDots(_ name: String) -> Bool { name == "." || name == ".." }

    func directory(_ inode: ModelInode) throws(Errno) {
        if !inode.isDirectory { throw .notDirectory }
    }

    func checkInsertion(_ directory: ModelInode) throws(Errno) {
        if directory.links == 0 { throw .noSuchFileOrDirectory }
        if directory.flags & InodeFlags.immutable != 0 { throw .notPermitted }
    }

    func checkRemoval(_ directory: ModelInode, _ victim: ModelInode) throws(Errno) {
        let bits = InodeFlags.immutable | InodeFlags.append
        if (directory.flags | victim.flags) & bits != 0 { throw .notPermitted }
    }

    func insert(_ directory: ModelInode, _ name: String, _ inode: ModelInode) {
        directory.entries[name] = (inode, directory.nextCookie)
        directory.nextCookie += 1
    }

    package func lookup(
        _ directory: ModelInode, _ name: String
    ) throws(Errno) -> ModelInode? {
        try self.directory(directory)
        var result: ModelInode?
        if name == "." {
            result = directory
        } else if name == ".." {
            result = directory.links == 0 ? directory : directory.parent
        } else {
            try check(name)
            result = directory.entries[name]?.inode
        }
        result?.lookups += 1
        return result
    }

    private func makeInode(
        in directory: ModelInode, mode: UInt32, device: UInt32, caller: Caller
    ) throws(Errno) -> ModelInode {
        let type = mode & FileMode.typeMask
        guard
            [
                FileMode.regular, FileMode.directory, FileMode.symlink, FileMode.fifo,
                FileMode.socket, FileMode.characterDevice, FileMode.blockDevice,
            ].contains(type)
        else { throw .invalidArgument }
        try needSpace(1024)
        let inode = ModelInode(mode: mode, userID: caller.userID, groupID: caller.groupID)
        if directory.mode & FileMode.setGroupID != 0 {
            inode.groupID = directory.groupID
            if type == FileMode.directory { inode.mode |= FileMode.setGroupID }
        }
        inode.flags = directory.flags & (InodeFlags.noDump | InodeFlags.noAccessTime)
        if type == FileMode.characterDevice || type == FileMode.blockDevice {
            inode.device = device
        }
        if type == FileMode.directory { inode.links = 2 }
        if type != FileMode.symlink {
            if let value = directory.xattrs[ModelACL.defaultName], var acl = ModelACL(value) {
                if type == FileMode.directory { inode.xattrs[ModelACL.defaultName] = value }
                let both = inode.mode & 0o777 & acl.mode
                acl.change(to: both)
                inode.mode = inode.mode & ~0o777 | both
                if !acl.isWhole { inode.xattrs[ModelACL.accessName] = acl.bytes }
            } else {
                inode.mode &= ~caller.umask
            }
        }
        return inode
    }

    package func make(
        _ parent: ModelInode, _ name: String, mode: UInt32, device: UInt32,
        target: [UInt8]?, caller: Caller
    ) throws(Errno) -> ModelInode {
        if let target, target.count >= 4096 { throw .fileNameTooLong }
        try directory(parent)
        try check(name)
        if isDots(name) { throw .fileExists }
        try checkInsertion(parent)
        if parent.entries[name] != nil { throw .fileExists }
        let inode = try makeInode(in: parent, mode: mode, device: device, caller: caller)
        if let target {
            if target.isEmpty { throw .noSuchFileOrDirectory }
            inode.target = target
            if inode.charged > pagesFree { throw .noSpace }
        }
        inodes[ObjectIdentifier(inode)] = inode
        insert(parent, name, inode)
        inode.parent = parent
        if inode.isDirectory { parent.links += 1 }
        inode.lookups = 1
        return inode
    }

    package func makeTemporary(
        _ parent: ModelInode, mode: UInt32, isLinkable: Bool, caller: Caller
    ) throws(Errno) -> ModelInode {
        try directory(parent)
        try checkInsertion(parent)
        let inode = try makeInode(
            in: parent, mode: FileMode.regular | mode & FileMode.permissions, device: 0,
            caller: caller)
        inode.links = 0
        inode.isLinkable = isLinkable
        inode.lookups = 1
        inodes[ObjectIdentifier(inode)] = inode
        return inode
    }

    package func link(
        _ inode: ModelInode, _ parent: ModelInode, _ name: String
    ) throws(Errno) {
        try directory(parent)
        try check(name)
        if isDots(name) { throw .fileExists }
        if inode.isDirectory { throw .notPermitted }
        try checkInsertion(parent)
        if inode.flags & (InodeFlags.immutable | InodeFlags.append) != 0 { throw .notPermitted }
        if inode.links == 0 && !inode.isLinkable { throw .noSuchFileOrDirectory }
        if parent.entries[name] != nil { throw .fileExists }
        if inode.links > 0 { try needSpace(1024) }
        insert(parent, name, inode)
        inode.links += 1
        inode.isLinkable = false
        inode.lookups += 1
    }

    package func remove(
        _ parent: ModelInode, _ name: String, isDirectory: Bool
    ) throws(Errno) {
        if isDirectory && isDots(name) {
            throw name == "." ? .invalidArgument : .directoryNotEmpty
        }
        try directory(parent)
        try check(name)
        guard let victim = parent.entries[name]?.inode else { throw .noSuchFileOrDirectory }
        try checkRemoval(parent, victim)
        if victim.isDirectory != isDirectory {
            throw isDirectory ? .notDirectory : .isDirectory
        }
        if isDirectory && !victim.entries.isEmpty { throw .directoryNotEmpty }
        parent.entries[name] = nil
        if isDirectory { parent.links -= 1 }
        dropLink(victim)
    }

    private func dropLink(_ inode: ModelInode) {
        inode.links = inode.isDirectory ? 0 : inode.links - 1
        end(inode)
    }

    // MARK: rename

    private func isInside(_ directory: ModelInode, _ ancestor: ModelInode) -> Bool {
        var at = directory
        while at !== ancestor {
            guard at !== root, let parent = at.parent else { return false }
            at = parent
        }
        return true
    }

    package func rename(
        _ oldParent: ModelInode, _ oldName: String, _ newParent: ModelInode, _ newName: String,
        flags: UInt32, caller: Caller
    ) throws(Errno) {
        let isExchange = flags & RenameFlags.exchange != 0
        if flags > 7 || isExchange && flags != RenameFlags.exchange { throw .invalidArgument }
        try directory(oldParent)
        try directory(newParent)
        try check(oldName)
        try check(newName)
        if isDots(oldName) || isDots(newName) { throw .resourceBusy }
        guard let (moving, oldCookie) = oldParent.entries[oldName] else {
            throw .noSuchFileOrDirectory
        }
        if newParent.links == 0 { throw .noSuchFileOrDirectory }
        let found = newParent.entries[newName]
        if found == nil && isExchange { throw .noSuchFileOrDirectory }
        if found != nil && flags & RenameFlags.noReplace != 0 { throw .fileExists }
        if moving.isDirectory && isInside(newParent, moving) { throw .invalidArgument }
        if let found, found.inode.isDirectory, isInside(oldParent, found.inode) {
            throw isExchange ? .invalidArgument : .directoryNotEmpty
        }
        if moving === found?.inode { return }
        try checkRemoval(oldParent, moving)
        try checkInsertion(newParent)
        if let found { try checkRemoval(newParent, found.inode) }
        if let found, isExchange {
            newParent.entries[newName] = (moving, found.cookie)
            oldParent.entries[oldName] = (found.inode, oldCookie)
            place(moving, from: oldParent, to: newParent)
            place(found.inode, from: newParent, to: oldParent)
            return
        }
        if let replaced = found?.inode {
            if moving.isDirectory && !replaced.isDirectory { throw .notDirectory }
            if !moving.isDirectory && replaced.isDirectory { throw .isDirectory }
            if !replaced.entries.isEmpty { throw .directoryNotEmpty }
        }
        var whiteout: ModelInode?
        if flags & RenameFlags.whiteout != 0 {
            let inode = try makeInode(
                in: oldParent, mode: FileMode.characterDevice, device: 0, caller: caller)
            inodes[ObjectIdentifier(inode)] = inode
            whiteout = inode
        }
        if let found {
            newParent.entries[newName] = (moving, found.cookie)
        } else if oldParent === newParent && whiteout == nil {
            // It keeps its place in the listing.
            newParent.entries[newName] = (moving, oldCookie)
        } else {
            insert(newParent, newName, moving)
        }
        oldParent.entries[oldName] = whiteout.map { ($0, oldCookie) }
        place(moving, from: oldParent, to: newParent)
        if let replaced = found?.inode, bug != .lostReplacement {
            if replaced.isDirectory { newParent.links -= 1 }
            dropLink(replaced)
        }
    }

    private func place(_ inode: ModelInode, from old: ModelInode, to new: ModelInode) {
        guard inode.isDirectory else { return }
        old.links -= 1
        new.links += 1
        inode.parent = new
    }
}
