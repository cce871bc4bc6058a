// Xattr: extended attributes, one list per inode, newest first.
//
// A value is never changed in place: a new attribute takes the old one's place in the list by one
// store, so that readers see the one or the other.

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// Byte offsets inside an attribute. Part of the image's format.
enum Xattr {
    static var next: UInt64 { @_noLocks get { 0 } }
    static var valueCount: UInt64 { @_noLocks get { 8 } }
    static var nameCount: UInt64 { @_noLocks get { 12 } }
    static var name: UInt64 { @_noLocks get { 16 } }
    static var valueLimit: UInt64 { @_noLocks get { 65_536 } }

    @_noLocks static func bytes(name: UInt64, value: UInt64) -> UInt64 { 16 + name + value }
    @_noLocks static func bytes(_ region: Region, _ xattr: UInt64) -> UInt64 {
        bytes(
            name: UInt64(region.load32(xattr + nameCount)),
            value: UInt64(region.load32(xattr + valueCount)))
    }
    /// What an attribute takes of the inode space, near to what tmpfs takes.
    ///
    /// - Source: fs/xattr.c, `simple_xattr_space()`.
    @_noLocks static func space(name: UInt64, value: UInt64) -> UInt64 { 40 + name + value }
}

/// Names with a meaning of their own.
private enum KnownName {
    static var trusted: StaticString { @_noLocks get { "trusted." } }
    static var capability: StaticString { @_noLocks get { "security.capability" } }
}

/// Flags of setxattr(2).
package enum XattrFlags {
    package static var create: UInt32 { @_noLocks get { 1 } }
    package static var replace: UInt32 { @_noLocks get { 2 } }
}

extension StoreWorker {
    /// Whether an inode has any extended attribute.
    ///
    /// - Throws: `ESTALE`.
    @_noLocks package func hasXattrs(_ node: NodeID) throws(Errno) -> Bool {
        region.loadAcquire(try inode(node) + Inode.xattrs) != 0
    }

    /// The value of an attribute: memory that stays valid until the worker leaves.
    ///
    /// - Throws: `ENODATA` when there is none, `ESTALE`, `EINVAL` for an impossible name.
    @_noLocks package func xattr(
        _ node: NodeID, _ name: Name
    ) throws(Errno) -> UnsafeRawBufferPointer {
        let inode = try inode(node)
        try name.checkNamespace()
        let found = findXattr(inode, name)
        if found == 0 { throw .noData }
        return unsafe xattrValue(found)
    }

    @_noLocks func xattrValue(_ xattr: UInt64) -> UnsafeRawBufferPointer {
        let nameCount = UInt64(region.load32(xattr + Xattr.nameCount))
        return unsafe UnsafeRawBufferPointer(
            start: region.pointer(xattr + Xattr.name + nameCount),
            count: Int(truncatingIfNeeded: region.load32(xattr + Xattr.valueCount)))
    }

    @_noLocks func findXattr(_ inode: InodeOffset, _ name: Name) -> UInt64 {
        var at = region.loadAcquire(inode + Inode.xattrs)
        while at != 0 {
            if UInt64(region.load32(at + Xattr.nameCount)) == name.count,
                unsafe cmem_compare(
                    region.pointer(at + Xattr.name), name.bytes,
                    Int(truncatingIfNeeded: name.count)) == 0
            {
                return at
            }
            at = region.loadAcquire(at + Xattr.next)
        }
        return 0
    }

    /// Writes the names, each ended by NUL, to `target`.
    ///
    /// - Parameters:
    ///   - capacity: bytes at `target`; 0 asks for the size alone.
    ///   - seesTrusted: whether `trusted.` names are listed (CAP_SYS_ADMIN).
    /// - Returns: bytes of the list.
    /// - Throws: `ERANGE` when it does not fit, `ESTALE`.
    @_noLocks package func listXattrs(
        _ node: NodeID, into target: UnsafeMutableRawPointer, capacity: UInt64, seesTrusted: Bool
    ) throws(Errno) -> UInt64 {
        let inode = try inode(node)
        var at = region.loadAcquire(inode + Inode.xattrs)
        var total: UInt64 = 0
        while at != 0 {
            let count = UInt64(region.load32(at + Xattr.nameCount))
            let name = unsafe Name(region.pointer(at + Xattr.name), count)
            if seesTrusted || !name.hasPrefix(KnownName.trusted) {
                if capacity > 0 {
                    guard total + count + 1 <= capacity else { throw .outOfRange }
                    unsafe cmem_copy(target + Int(total), name.bytes, Int(count))
                    unsafe (target + Int(total + count)).storeBytes(of: 0, as: UInt8.self)
                }
                total += count + 1
            }
            at = region.loadAcquire(at + Xattr.next)
        }
        return total
    }

    /// Whether an inode has an attribute that only CAP_SYS_ADMIN may see listed.
    @_noLocks package func hasTrusted(_ node: NodeID) throws(Errno) -> Bool {
        var at = region.loadAcquire(try inode(node) + Inode.xattrs)
        while at != 0 {
            let count = UInt64(region.load32(at + Xattr.nameCount))
            let name = unsafe Name(region.pointer(at + Xattr.name), count)
            if name.hasPrefix(KnownName.trusted) { return true }
            at = region.loadAcquire(at + Xattr.next)
        }
        return false
    }

    /// Sets an attribute.
    ///
    /// - Parameter clearsSetGroupID: for an access ACL: the caller is not of the file's group.
    /// - Throws: `EEXIST` and `ENODATA` by `flags`, `ENOSPC`, `E2BIG` for more than 64 KiB,
    ///   `EPERM` for an immutable or append-only inode, `EINVAL` for an invalid ACL, `ERANGE` for a
    ///   name over 255 bytes, `ESTALE`.
    @_noLocks package func setXattr(
        _ node: NodeID, _ name: Name, value: UnsafeRawBufferPointer, flags: UInt32,
        clearsSetGroupID: Bool = false
    ) throws(Errno) {
        let inode = try inode(node)
        guard name.count > 0, name.count <= 255 else { throw .outOfRange }
        guard value.count <= Int(Xattr.valueLimit) else { throw .argListTooLong }
        try name.checkNamespace()
        lock(inode)
        defer {
            changes.commit()
            unlock(inode)
        }
        try checkChangeable(inode)
        let acl = ACLKind(name)
        if acl != ACLKind.none {
            try unsafe setACL(
                inode, acl, name, value, clearsSetGroupID: clearsSetGroupID)
            return
        }
        let old = findXattr(inode, name)
        if flags & XattrFlags.create != 0 && old != 0 { throw .fileExists }
        if flags & XattrFlags.replace != 0 && old == 0 { throw .noData }
        try unsafe putXattr(inode, name, value, isCharged: true)
        beginUpdate(inode)
        if name.equals(KnownName.capability) {
            changes.store32(
                inode + Inode.flags, region.load32(inode + Inode.flags) | InodeFlags.capability)
        }
        setTime(inode, TimeField.change, cmem_now())
        endUpdate(inode)
    }

    /// Removes an attribute.
    ///
    /// - Parameter clearsSetGroupID: for an access ACL: the caller is not of the file's group.
    /// - Throws: `ENODATA`, `EPERM`, `ESTALE`.
    @_noLocks package func removeXattr(
        _ node: NodeID, _ name: Name, clearsSetGroupID: Bool = false
    ) throws(Errno) {
        let inode = try inode(node)
        try name.checkNamespace()
        lock(inode)
        defer {
            changes.commit()
            unlock(inode)
        }
        try checkChangeable(inode)
        let found = findXattr(inode, name)
        let acl = ACLKind(name)
        if found == 0 {
            // Removing an ACL that is not there is no error, and counts as a change of the inode;
            // a default ACL belongs to directories only. Source: fs/posix_acl.c,
            // `set_posix_acl()`, `simple_set_acl()`.
            guard acl != ACLKind.none else { throw .noData }
            if acl == ACLKind.access || type(inode) == FileMode.directory {
                beginUpdate(inode)
                if clearsSetGroupID { clearSetGroupID(inode) }
                setTime(inode, TimeField.change, cmem_now())
                endUpdate(inode)
            }
            return
        }
        dropXattr(inode, found, isCharged: acl == ACLKind.none)
        beginUpdate(inode)
        var cleared: UInt32 = 0
        if acl == ACLKind.access { cleared = InodeFlags.accessACL }
        if acl == ACLKind.standard { cleared = InodeFlags.defaultACL }
        if name.equals(KnownName.capability) { cleared = InodeFlags.capability }
        changes.store32(
            inode + Inode.flags, region.load32(inode + Inode.flags) & ~cleared)
        if clearsSetGroupID { clearSetGroupID(inode) }
        setTime(inode, TimeField.change, cmem_now())
        endUpdate(inode)
    }

    @_noLocks private func clearSetGroupID(_ inode: InodeOffset) {
        changes.store32(
            inode + Inode.mode, region.load32(inode + Inode.mode) & ~FileMode.setGroupID)
    }

    @_noLocks private func checkChangeable(_ inode: InodeOffset) throws(Errno) {
        let flags = region.load32(inode + Inode.flags)
        if flags & (InodeFlags.immutable | InodeFlags.append) != 0 { throw .notPermitted }
    }

    // MARK: the list; the inode's lock is held

    /// Puts an attribute in the place of the one with its name, or first.
    @_noLocks func putXattr(
        _ inode: InodeOffset, _ name: Name, _ value: UnsafeRawBufferPointer, isCharged: Bool
    ) throws(Errno) {
        let xattr = try unsafe makeXattr(name, value, isCharged: isCharged)
        publishXattr(inode, xattr, name, isCharged: isCharged)
    }

    /// An attribute that nobody can reach yet.
    @_noLocks func makeXattr(
        _ name: Name, _ value: UnsafeRawBufferPointer, isCharged: Bool
    ) throws(Errno) -> UInt64 {
        let valueCount = UInt64(value.count)
        let quota = store.arena.inodeSpace
        let space = isCharged ? Xattr.space(name: name.count, value: valueCount) : 0
        guard quota.reserve(space, shard: shard) else { throw .noSpace }
        let run: Run
        do throws(Errno) {
            run = try allocateBlob(bytes: Xattr.bytes(name: name.count, value: valueCount))
        } catch {
            quota.release(space, shard: shard)
            throw error
        }
        let xattr = run.offset
        region.store32(xattr + Xattr.valueCount, UInt32(truncatingIfNeeded: valueCount))
        region.store32(xattr + Xattr.nameCount, UInt32(truncatingIfNeeded: name.count))
        unsafe cmem_copy(
            region.pointer(writing: xattr + Xattr.name, name.count), name.bytes, Int(name.count))
        if let bytes = value.baseAddress, value.count > 0 {
            unsafe cmem_copy(
                region.pointer(writing: xattr + Xattr.name + name.count, valueCount), bytes,
                value.count)
        }
        return xattr
    }

    @_noLocks
    func publishXattr(_ inode: InodeOffset, _ xattr: UInt64, _ name: Name, isCharged: Bool) {
        let old = findXattr(inode, name)
        if old == 0 {
            region.store(xattr + Xattr.next, region.load(inode + Inode.xattrs))
            changes.storeRelease(inode + Inode.xattrs, xattr)
        } else {
            region.store(xattr + Xattr.next, region.load(old + Xattr.next))
            changes.storeRelease(linkTo(inode, old), xattr)
            releaseXattr(old, isCharged: isCharged)
        }
    }

    @_noLocks func dropXattr(_ inode: InodeOffset, _ xattr: UInt64, isCharged: Bool) {
        changes.storeRelease(linkTo(inode, xattr), region.load(xattr + Xattr.next))
        releaseXattr(xattr, isCharged: isCharged)
    }

    /// The word that leads to an attribute of the list.
    @_noLocks private func linkTo(_ inode: InodeOffset, _ xattr: UInt64) -> UInt64 {
        var word = inode + Inode.xattrs
        while region.load(word) != xattr { word = region.load(word) + Xattr.next }
        return word
    }

    @_noLocks private func releaseXattr(_ xattr: UInt64, isCharged: Bool) {
        if isCharged {
            store.arena.inodeSpace.release(xattrCharge(xattr), shard: shard)
        }
        retireBlob(xattr, bytes: Xattr.bytes(region, xattr))
    }

    @_noLocks private func xattrCharge(_ xattr: UInt64) -> UInt64 {
        Xattr.space(
            name: UInt64(region.load32(xattr + Xattr.nameCount)),
            value: UInt64(region.load32(xattr + Xattr.valueCount)))
    }

    /// Inode space that the attributes of an inode hold.
    @_noLocks func xattrSpace(_ inode: InodeOffset) -> UInt64 {
        var sum: UInt64 = 0
        var at = region.load(inode + Inode.xattrs)
        while at != 0 {
            let count = UInt64(region.load32(at + Xattr.nameCount))
            let name = unsafe Name(region.pointer(at + Xattr.name), count)
            if ACLKind(name) == ACLKind.none { sum += xattrCharge(at) }
            at = region.load(at + Xattr.next)
        }
        return sum
    }

    /// A write takes the file's capabilities away; the lock is held.
    ///
    /// - Source: security/commoncap.c, `cap_inode_killpriv()`.
    @_noLocks func dropCapability(_ inode: InodeOffset) {
        let text = KnownName.capability
        let name = unsafe Name(
            UnsafeRawPointer(text.utf8Start), UInt64(text.utf8CodeUnitCount))
        let found = findXattr(inode, name)
        if found != 0 { dropXattr(inode, found, isCharged: true) }
        beginUpdate(inode)
        changes.store32(
            inode + Inode.flags, region.load32(inode + Inode.flags) & ~InodeFlags.capability)
        endUpdate(inode)
    }
}

extension Name {
    /// The name spaces that tmpfs has. The kernel passes on any name to a FUSE server.
    ///
    /// - Throws: `EOPNOTSUPP` for another one, `EINVAL` for nothing behind the prefix.
    /// - Source: fs/xattr.c, `xattr_resolve_name()`; mm/shmem.c, `shmem_xattr_handlers`.
    @_noLocks func checkNamespace() throws(Errno) {
        if hasPrefix("user.") {
            if count == 5 { throw .invalidArgument }
        } else if hasPrefix("security.") {
            if count == 9 { throw .invalidArgument }
        } else if hasPrefix(KnownName.trusted) {
            if count == 8 { throw .invalidArgument }
        } else if ACLKind(self) == ACLKind.none {
            throw .notSupported
        }
    }

    @_noLocks func hasPrefix(_ text: StaticString) -> Bool {
        guard count >= UInt64(text.utf8CodeUnitCount) else { return false }
        return unsafe cmem_compare(bytes, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
    @_noLocks package func equals(_ text: StaticString) -> Bool {
        count == UInt64(text.utf8CodeUnitCount) && hasPrefix(text)
    }
}
