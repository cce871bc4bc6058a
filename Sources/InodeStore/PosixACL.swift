// PosixACL: access and default ACLs, kept as the extended attributes that they travel in.
//
//     version (2) in 32 bits, then entries of 8 bytes: tag, permissions (16 bits each), id (32)
//
// The kernel checks permissions by them; here they change the mode, are changed by chmod(2), and
// are inherited. Source: posix_acl_xattr.h, fs/posix_acl.c; acl(5).

internal import CMayflyMemory
internal import MayflyArena
internal import SystemPackage

/// Which ACL a name means. Compared as a number: an enum's comparison goes through metadata.
struct ACLKind {
    let rawValue: UInt32
    @_noLocks private init(rawValue: UInt32) { self.rawValue = rawValue }
    static var none: ACLKind { @_noLocks get { ACLKind(rawValue: 0) } }
    static var access: ACLKind { @_noLocks get { ACLKind(rawValue: 1) } }
    /// The default ACL of a directory.
    static var standard: ACLKind { @_noLocks get { ACLKind(rawValue: 2) } }

    @_noLocks init(_ name: Name) {
        if name.equals(ACLKind.accessName) {
            self = .access
        } else if name.equals(ACLKind.defaultName) {
            self = .standard
        } else {
            self = .none
        }
    }
    @_noLocks static func == (a: ACLKind, b: ACLKind) -> Bool { a.rawValue == b.rawValue }
    @_noLocks static func != (a: ACLKind, b: ACLKind) -> Bool { a.rawValue != b.rawValue }

    static var accessName: StaticString { @_noLocks get { "system.posix_acl_access" } }
    static var defaultName: StaticString { @_noLocks get { "system.posix_acl_default" } }
}

/// A view of an ACL's bytes.
@safe struct ACLView {
    static var userObject: UInt16 { @_noLocks get { 0x01 } }
    static var user: UInt16 { @_noLocks get { 0x02 } }
    static var groupObject: UInt16 { @_noLocks get { 0x04 } }
    static var group: UInt16 { @_noLocks get { 0x08 } }
    static var mask: UInt16 { @_noLocks get { 0x10 } }
    static var other: UInt16 { @_noLocks get { 0x20 } }

    let bytes: UnsafeMutableRawPointer
    let count: Int

    /// - Precondition: `isValid` of the same bytes, or bytes that were stored after it.
    @_noLocks init(_ bytes: UnsafeMutableRawPointer, byteCount: Int) {
        unsafe self.bytes = bytes
        count = (byteCount - 4) / 8
    }

    @_noLocks func tag(_ index: Int) -> UInt16 {
        unsafe bytes.loadUnaligned(fromByteOffset: 4 + index * 8, as: UInt16.self)
    }
    @_noLocks func permissions(_ index: Int) -> UInt16 {
        unsafe bytes.loadUnaligned(fromByteOffset: 6 + index * 8, as: UInt16.self)
    }
    @_noLocks func setPermissions(_ index: Int, _ value: UInt16) {
        unsafe bytes.storeBytes(of: value, toByteOffset: 6 + index * 8, as: UInt16.self)
    }

    /// Whether the bytes are an ACL: owner, group and other once each, entries in order, and a
    /// mask where users or groups are named. Source: fs/posix_acl.c, `posix_acl_valid()`.
    @_noLocks static func isValid(_ buffer: UnsafeRawBufferPointer) -> Bool {
        guard buffer.count >= 4 + 3 * 8, (buffer.count - 4) % 8 == 0,
            let start = buffer.baseAddress,
            unsafe start.loadUnaligned(as: UInt32.self) == 2
        else { return false }
        let view = unsafe ACLView(
            UnsafeMutableRawPointer(mutating: start), byteCount: buffer.count)
        var seen: UInt16 = 0
        var index = 0
        while index < view.count {
            let tag = view.tag(index)
            guard view.permissions(index) & ~7 == 0 else { return false }
            let isNamed = tag == user || tag == group
            guard
                isNamed || tag == userObject || tag == groupObject || tag == mask
                    || tag == other
            else { return false }
            if !isNamed && seen & tag != 0 { return false }
            // Each kind stands after those of lower number; a mask or other after both groups.
            if seen & ~((tag << 1) &- 1) != 0 { return false }
            seen |= tag
            index += 1
        }
        let needed = userObject | groupObject | other
        guard seen & needed == needed else { return false }
        return seen & (user | group) == 0 || seen & mask != 0
    }

    /// The permission bits that the ACL stands for, and whether they say all of it.
    @_noLocks func mode() -> (bits: UInt32, isWhole: Bool) {
        var owner: UInt32 = 0
        var ownGroup: UInt32 = 0
        var others: UInt32 = 0
        var limit: UInt32?
        var isWhole = true
        var index = 0
        while index < count {
            let tag = tag(index)
            let bits = UInt32(permissions(index))
            if tag == Self.userObject { owner = bits }
            if tag == Self.groupObject { ownGroup = bits }
            if tag == Self.other { others = bits }
            if tag == Self.mask { limit = bits }
            if tag == Self.user || tag == Self.group || tag == Self.mask { isWhole = false }
            index += 1
        }
        return (owner << 6 | (limit ?? ownGroup) << 3 | others, isWhole)
    }

    /// Makes the ACL say what the mode says: owner, mask (or group without one), other.
    ///
    /// - Source: fs/posix_acl.c, `__posix_acl_chmod_masq()`.
    @_noLocks func change(to mode: UInt32) {
        var hasMask = false
        var index = 0
        while index < count {
            if tag(index) == Self.mask { hasMask = true }
            index += 1
        }
        index = 0
        while index < count {
            let tag = tag(index)
            if tag == Self.userObject {
                setPermissions(index, UInt16(truncatingIfNeeded: mode >> 6 & 7))
            } else if tag == (hasMask ? Self.mask : Self.groupObject) {
                setPermissions(index, UInt16(truncatingIfNeeded: mode >> 3 & 7))
            } else if tag == Self.other {
                setPermissions(index, UInt16(truncatingIfNeeded: mode & 7))
            }
            index += 1
        }
    }

    /// Restricts the ACL by a mode, and returns the mode restricted by the ACL.
    ///
    /// - Source: fs/posix_acl.c, `posix_acl_create_masq()`.
    @_noLocks func restrict(by mode: UInt32) -> UInt32 {
        let own = self.mode().bits
        let both = mode & own & 0o777
        change(to: both)
        return mode & ~0o777 | both
    }
}

extension StoreWorker {
    /// Sets an ACL; the lock is held.
    ///
    /// - Throws: `EINVAL`, `ENOSPC`, `EACCES` for a default ACL of what is no directory.
    /// - Source: fs/posix_acl.c, `posix_acl_update_mode()`, `simple_set_acl()`.
    @_noLocks func setACL(
        _ inode: InodeOffset, _ kind: ACLKind, _ name: Name, _ value: UnsafeRawBufferPointer,
        clearsSetGroupID: Bool
    ) throws(Errno) {
        guard unsafe ACLView.isValid(value), let start = value.baseAddress else {
            throw .invalidArgument
        }
        let flag = kind == ACLKind.access ? InodeFlags.accessACL : InodeFlags.defaultACL
        var mode = region.load32(inode + Inode.mode)
        if kind == ACLKind.standard {
            guard type(inode) == FileMode.directory else { throw .permissionDenied }
            try unsafe putXattr(inode, name, value, isCharged: false)
            beginUpdate(inode)
            changes.store32(inode + Inode.flags, region.load32(inode + Inode.flags) | flag)
        } else {
            let view = unsafe ACLView(
                UnsafeMutableRawPointer(mutating: start), byteCount: value.count)
            let (bits, isWhole) = view.mode()
            if isWhole {
                // The mode says all of it: nothing is kept.
                let old = findXattr(inode, name)
                if old != 0 { dropXattr(inode, old, isCharged: false) }
            } else {
                try unsafe putXattr(inode, name, value, isCharged: false)
            }
            mode = mode & ~0o777 | bits
            if clearsSetGroupID { mode &= ~FileMode.setGroupID }
            beginUpdate(inode)
            let flags = region.load32(inode + Inode.flags) & ~flag
            changes.store32(inode + Inode.flags, isWhole ? flags : flags | flag)
            changes.store32(inode + Inode.mode, mode)
        }
        setTime(inode, TimeField.change, cmem_now())
        endUpdate(inode)
    }

    /// chmod(2) of an inode with an access ACL: the ACL follows; the lock is held.
    @_noLocks func changeMask(_ inode: InodeOffset, mode: UInt32) throws(Errno) {
        let name = aclName(ACLKind.accessName)
        let old = findXattr(inode, name)
        if old == 0 { return }
        // A copy is changed and takes the old one's place: a value never changes under a reader.
        let copy = try unsafe makeXattr(name, xattrValue(old), isCharged: false)
        view(copy).change(to: mode)
        publishXattr(inode, copy, name, isCharged: false)
    }

    /// Gives a new inode, which nobody can reach, what the directory's default ACL says.
    @_noLocks func inheritACL(from directory: InodeOffset, to inode: InodeOffset) throws(Errno) {
        let found = findXattr(directory, aclName(ACLKind.defaultName))
        if found == 0 { return }
        let value = unsafe xattrValue(found)
        var flags = region.load32(inode + Inode.flags)
        if type(inode) == FileMode.directory {
            try unsafe putXattr(
                inode, aclName(ACLKind.defaultName), value, isCharged: false)
            flags |= InodeFlags.defaultACL
        }
        let name = aclName(ACLKind.accessName)
        let copy = try unsafe makeXattr(name, value, isCharged: false)
        let mode = view(copy).restrict(by: region.load32(inode + Inode.mode))
        region.store32(inode + Inode.mode, mode)
        if view(copy).mode().isWhole {
            freeBlob(copy, bytes: Xattr.bytes(region, copy))
        } else {
            publishXattr(inode, copy, name, isCharged: false)
            flags |= InodeFlags.accessACL
        }
        region.store32(inode + Inode.flags, flags)
    }

    @_noLocks private func view(_ xattr: UInt64) -> ACLView {
        let nameCount = UInt64(region.load32(xattr + Xattr.nameCount))
        let count = region.load32(xattr + Xattr.valueCount)
        return unsafe ACLView(
            region.pointer(writing: xattr + Xattr.name + nameCount, UInt64(count)),
            byteCount: Int(count))
    }

    @_noLocks private func aclName(_ text: StaticString) -> Name {
        unsafe Name(UnsafeRawPointer(text.utf8Start), UInt64(text.utf8CodeUnitCount))
    }
}
