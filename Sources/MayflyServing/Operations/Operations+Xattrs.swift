// Operations on extended attributes and inode flags: GETXATTR, SETXATTR, LISTXATTR, IOCTL.

internal import CFuseKernel
internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

/// The ioctls that chattr(1) and lsattr(1) use, and their flags.
///
/// - Source: include/uapi/linux/fs.h.
private enum FileIoctl {
    static var getFlags: UInt32 { @_noLocks get { 0x8008_6601 } }
    static var setFlags: UInt32 { @_noLocks get { 0x4008_6602 } }
    static var getExtended: UInt32 { @_noLocks get { 0x801C_581F } }
    static var setExtended: UInt32 { @_noLocks get { 0x401C_5820 } }
    /// sizeof(struct fsxattr); its first word is the flags.
    static var extendedBytes: Int { @_noLocks get { 28 } }
}

extension Operations {
    /// Any of the four requests about extended attributes.
    ///
    /// - Throws: `ENOSYS` for each where the mount has none.
    @_noLocks
    func extendedAttribute(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        if policy.withoutXattrs { throw .noFunction }
        switch request.operation {
        case .getxattr: return try getXattr(node, request)
        case .setxattr: return try setXattr(node, request)
        case .listxattr: return try listXattrs(node, request)
        default: return try removeXattr(node, request)
        }
    }

    /// REMOVEXATTR. Of an access ACL it takes sgid away, as a new ACL does; for that the kernel sets
    /// `CFK_SETXATTR_ACL_KILL_SGID`, which a removal does not have.
    ///
    /// - Source: fs/fuse/acl.c, `fuse_set_acl()`; fs/posix_acl.c, `posix_acl_update_mode()`.
    @_noLocks func removeXattr(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let name = try name(request)
        var killsGroup = false
        if name.equals("system.posix_acl_access") {
            let now = try worker.attributes(node)
            killsGroup = now.mode & FileMode.setGroupID != 0 && isOutside(now.groupID, request)
        }
        try worker.removeXattr(node, name, clearsSetGroupID: killsGroup)
        return .none
    }

    @_noLocks func getXattr(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let size = request.argument(as: cfk_getxattr_in.self).size
        let name = try name(request)
        let value: UnsafeRawBufferPointer
        do throws(Errno) {
            unsafe value = try unsafe worker.xattr(node, name)
        } catch {
            // No LSM answers for labels, or it would have done so. ls(1) takes that as an answer for the
            // whole mount, and "this one has none" for one file.
            throw error == .noData && name.equals("security.selinux") ? .notSupported : error
        }
        if size == 0 {
            return reply(
                cfk_getxattr_out(size: UInt32(truncatingIfNeeded: value.count), padding: 0),
                request)
        }
        guard value.count <= min(Int(size), request.replyCapacity) else { throw .outOfRange }
        if let bytes = value.baseAddress {
            unsafe cmem_copy(request.reply, bytes, value.count)
        }
        return Reply(error: 0, bytes: value.count)
    }

    @_noLocks func setXattr(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_setxattr_in.self)
        let name = try name(request)
        let start = Int(truncatingIfNeeded: name.count) + 1
        guard Int(arguments.size) <= request.payloadBytes - start else {
            throw .invalidArgument
        }
        let value = unsafe UnsafeRawBufferPointer(
            start: UnsafeRawPointer(request.payload) + start, count: Int(arguments.size))
        let killsGroup = arguments.setxattr_flags & UInt32(CFK_SETXATTR_ACL_KILL_SGID) != 0
        try unsafe worker.setXattr(
            node, name, value: value, flags: arguments.flags, clearsSetGroupID: killsGroup)
        return .none
    }

    @_noLocks func listXattrs(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let size = request.argument(as: cfk_getxattr_in.self).size
        // Who may see trusted.* is a matter of CAP_SYS_ADMIN, which the wire does not tell, so that
        // /proc is asked; only for the rare inode that has one.
        let administrate: UInt32 = 21
        let seesTrusted =
            try !worker.hasTrusted(node) || cmem_has_capability(request.pid, administrate)
        let count = try unsafe worker.listXattrs(
            node, into: request.reply,
            capacity: size == 0 ? 0 : UInt64(min(Int(size), request.replyCapacity)),
            seesTrusted: seesTrusted)
        if size == 0 {
            return reply(
                cfk_getxattr_out(size: UInt32(truncatingIfNeeded: count), padding: 0), request)
        }
        return Reply(error: 0, bytes: Int(truncatingIfNeeded: count))
    }

    /// IOCTL: the flags of chattr(1), in both of their forms.
    ///
    /// - Throws: `ENOTTY` for any other.
    /// - Source: fs/fuse/ioctl.c, `fuse_fileattr_get()`, `fuse_fileattr_set()`.
    @_noLocks func control(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_ioctl_in.self)
        let wanted = Int(arguments.out_size)
        guard wanted + MemoryLayout<cfk_ioctl_out>.size <= request.replyCapacity else {
            throw .invalidArgument
        }
        switch arguments.cmd {
        case FileIoctl.getFlags:
            guard wanted >= 4 else { throw .invalidArgument }
            return controlReply(try worker.flags(node), bytes: wanted, request)
        case FileIoctl.getExtended:
            guard wanted >= FileIoctl.extendedBytes else { throw .invalidArgument }
            return controlReply(
                Self.extended(try worker.flags(node)), bytes: wanted, request)
        case FileIoctl.setFlags:
            try worker.setFlags(node, controlInput(request, atLeast: 4))
        case FileIoctl.setExtended:
            let flags = try controlInput(request, atLeast: FileIoctl.extendedBytes)
            let known: UInt32 = 0xD8
            guard flags & ~known == 0 else { throw .notSupported }
            try worker.setFlags(node, Self.plain(flags))
        default: throw .inappropriateIOCTLForDevice
        }
        return controlReply(0, bytes: 0, request)
    }

    @_noLocks
    private func controlInput(_ request: FuseRequest, atLeast bytes: Int) throws(Errno) -> UInt32 {
        guard request.payloadBytes >= bytes else { throw .invalidArgument }
        return unsafe request.payload.loadUnaligned(as: UInt32.self)
    }

    /// The reply's head, then `word` and zeros up to `bytes`.
    @_noLocks
    private func controlReply(_ word: UInt32, bytes: Int, _ request: FuseRequest) -> Reply {
        let head = reply(cfk_ioctl_out(), request)
        if bytes > 0 {
            unsafe cmem_zero(request.reply + head.bytes, bytes)
            unsafe request.reply.storeBytes(
                of: word, toByteOffset: head.bytes, as: UInt32.self)
        }
        return Reply(error: 0, bytes: head.bytes + bytes)
    }

    /// FS_*_FL to FS_XFLAG_*: immutable 0x10 to 0x08, append 0x20 to 0x10, nodump 0x40 to 0x80,
    /// noatime 0x80 to 0x40.
    @_noLocks private static func extended(_ flags: UInt32) -> UInt32 {
        (flags & 0x30) >> 1 | (flags & 0x40) << 1 | (flags & 0x80) >> 1
    }
    @_noLocks private static func plain(_ flags: UInt32) -> UInt32 {
        (flags & 0x18) << 1 | (flags & 0x80) >> 1 | (flags & 0x40) << 1
    }
}
