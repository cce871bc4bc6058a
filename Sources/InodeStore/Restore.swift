// Restore: putting inodes back as they were somewhere else, past the rules that hold for users. For
// trees that are built, by the one who builds them.

package import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// What an inode is to have. Access, change and birth are at the time of the last change of content,
/// so that a tree does not tell when it was built.
package struct RestoredAttributes: Sendable, Equatable {
    package var permissions: UInt32
    package var userID: UInt32
    package var groupID: UInt32
    /// FS_*_FL; what cannot be kept is left out.
    package var flags: UInt32
    package var time: cmem_time

    package init(
        permissions: UInt32, userID: UInt32, groupID: UInt32, flags: UInt32 = 0, time: cmem_time
    ) {
        self.permissions = permissions
        self.userID = userID
        self.groupID = groupID
        self.flags = flags
        self.time = time
    }

    package static func == (a: RestoredAttributes, b: RestoredAttributes) -> Bool {
        a.permissions == b.permissions && a.userID == b.userID && a.groupID == b.groupID
            && a.flags == b.flags && a.time.seconds == b.time.seconds
            && a.time.nanoseconds == b.time.nanoseconds
    }
}

extension StoreWorker {
    /// What `restore` would make of another inode a copy of this one with.
    ///
    /// - Precondition: entered.
    /// - Throws: `ESTALE`.
    package func restorable(_ node: NodeID) throws(Errno) -> RestoredAttributes {
        let inode = try inode(node)
        return RestoredAttributes(
            permissions: region.load32(inode + Inode.mode) & FileMode.permissions,
            userID: region.load32(inode + Inode.userID),
            groupID: region.load32(inode + Inode.groupID),
            flags: region.load32(inode + Inode.flags) & InodeFlags.settable,
            time: time(inode, TimeField.modification))
    }

    /// The inode of a name, without a reference; nil when there is none.
    ///
    /// - Precondition: entered.
    /// - Throws: `ESTALE`, `ENOTDIR`, `ENAMETOOLONG`.
    package func peek(_ parent: NodeID, _ name: Name) throws(Errno) -> NodeID? {
        let directory = try directory(parent)
        try name.check()
        let dentry = findDentry(directory, name, hash: name.hash())
        if dentry == .null { return nil }
        return NodeID(rawValue: nodeID(InodeOffset(region.load(dentry + Dentry.inode))))
    }

    /// Sets attributes as they are, whatever ACLs, flags or the caller would make of them.
    ///
    /// - Parameter now: the time of access, change and birth in a tree that lives; nil for that of the
    ///   content.
    /// - Precondition: entered, and nobody else uses the inode.
    /// - Throws: `ESTALE`.
    package func restore(
        _ node: NodeID, _ attributes: RestoredAttributes, now: cmem_time? = nil
    ) throws(Errno) {
        let inode = try inode(node)
        let mode = region.load32(inode + Inode.mode)
        region.store32(
            inode + Inode.mode,
            mode & FileMode.typeMask | attributes.permissions & FileMode.permissions)
        region.store32(inode + Inode.userID, attributes.userID)
        region.store32(inode + Inode.groupID, attributes.groupID)
        let old = region.load32(inode + Inode.flags)
        let flags = attributes.flags & InodeFlags.settable
        countFixed(from: old, to: flags)
        region.store32(inode + Inode.flags, old & ~InodeFlags.settable | flags)
        setTimeUnnoted(inode, TimeField.modification, attributes.time)
        for field in [TimeField.access, TimeField.change, TimeField.birth] {
            setTimeUnnoted(inode, field, now ?? attributes.time)
        }
    }
}
