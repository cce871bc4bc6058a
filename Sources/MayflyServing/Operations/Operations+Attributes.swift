// Operations on attributes: GETATTR, SETATTR, STATX, STATFS, and the entry and attribute replies.

internal import CFuseKernel
internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

extension Operations {
    @_noLocks func wire(_ a: Attributes) -> cfk_attr {
        var attr = cfk_attr()
        attr.ino = NodeID(rawValue: a.nodeID).inodeNumber
        attr.size = a.size
        attr.blocks = a.blocks
        attr.atime = UInt64(bitPattern: a.accessTime.seconds)
        attr.mtime = UInt64(bitPattern: a.modificationTime.seconds)
        attr.ctime = UInt64(bitPattern: a.changeTime.seconds)
        attr.atimensec = a.accessTime.nanoseconds
        attr.mtimensec = a.modificationTime.nanoseconds
        attr.ctimensec = a.changeTime.nanoseconds
        attr.mode = a.mode
        attr.nlink = a.links
        attr.uid = a.userID
        attr.gid = a.groupID
        attr.rdev = a.device
        attr.blksize = 4096
        return attr
    }

    @_noLocks func entry(_ a: Attributes) -> cfk_entry_out {
        var entry = cfk_entry_out()
        entry.nodeid = a.nodeID
        entry.generation = UInt64(a.generation)
        entry.entry_valid = policy.cacheSeconds
        entry.attr_valid = policy.cacheSeconds
        entry.attr = wire(a)
        return entry
    }

    @_noLocks func entryReply(_ a: Attributes, _ request: FuseRequest) -> Reply {
        reply(entry(a), request)
    }

    @_noLocks func attributeReply(_ a: Attributes, _ request: FuseRequest) -> Reply {
        var out = cfk_attr_out()
        out.attr_valid = policy.cacheSeconds
        out.attr = wire(a)
        return reply(out, request)
    }

    /// access(2) and chdir(2), for who may do everything: what is no directory and nobody may execute is what a
    /// superuser is refused as well.
    ///
    /// - Source: fs/namei.c, `generic_permission()`.
    @_noLocks func access(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let wanted = request.argument(as: cfk_access_in.self).mask
        let mode = try worker.attributes(node).mode
        if wanted & 1 != 0, mode & FileMode.typeMask != FileMode.directory, mode & 0o111 == 0 {
            throw .permissionDenied
        }
        return .none
    }

    @_noLocks func setAttributes(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_setattr_in.self)
        var change = AttributeChange()
        // The wire's bits are AttributeChange's, by construction (SetattrTests).
        change.valid = arguments.valid
        change.mode = arguments.mode
        change.userID = arguments.uid
        change.groupID = arguments.gid
        change.size = arguments.size
        change.accessTime = Self.time(arguments.atime, arguments.atimensec)
        change.modificationTime = Self.time(arguments.mtime, arguments.mtimensec)
        change.changeTime = Self.time(arguments.ctime, arguments.ctimensec)
        change.precedesWriteBack = true
        if change.takesPrivileges || change.valid & AttributeChange.killPrivileges != 0 {
            change.isByStranger = try isStranger(node, request)
        }
        return attributeReply(
            try worker.setAttributes(node, change, caller: caller(request)), request)
    }

    /// Whether the caller lacks what keeps sgid on a file that its group may not execute: to be of
    /// the group, or CAP_FSETID. Asked only for such files.
    @_noLocks
    private func isStranger(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Bool {
        let now = try worker.attributes(node)
        let isDoubtful =
            now.mode & (FileMode.setGroupID | FileMode.groupExecute) == FileMode.setGroupID
        return isDoubtful && !now.isDirectory && isOutside(now.groupID, request)
    }

    /// Whether the caller is not of a group and lacks CAP_FSETID. The wire does not tell, so that
    /// /proc is asked.
    @_noLocks func isOutside(_ group: UInt32, _ request: FuseRequest) -> Bool {
        let keepSetID: UInt32 = 4
        return cmem_lacks_group(request.pid, group, keepSetID)
    }

    @_noLocks private static func time(_ seconds: UInt64, _ nanoseconds: UInt32) -> cmem_time {
        cmem_time(
            seconds: Int64(bitPattern: seconds),
            nanoseconds: nanoseconds < 1_000_000_000 ? nanoseconds : 0)
    }

    /// STATX: what GETATTR tells, and the birth time.
    ///
    /// - Source: fs/fuse/dir.c, `fuse_do_statx()`.
    @_noLocks func statx(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let a = try worker.attributes(node)
        var out = cfk_statx_out()
        out.attr_valid = policy.cacheSeconds
        out.stat.mask = 0xFFF  // STATX_BASIC_STATS and STATX_BTIME
        out.stat.blksize = 4096
        out.stat.nlink = a.links
        out.stat.uid = a.userID
        out.stat.gid = a.groupID
        out.stat.mode = UInt16(truncatingIfNeeded: a.mode)
        out.stat.ino = NodeID(rawValue: a.nodeID).inodeNumber
        out.stat.size = a.size
        out.stat.blocks = a.blocks
        // STATX_ATTR_* have the values of FS_*_FL for these.
        out.stat.attributes = UInt64(a.flags & InodeFlags.settable & ~InodeFlags.noAccessTime)
        out.stat.attributes_mask = UInt64(InodeFlags.settable & ~InodeFlags.noAccessTime)
        out.stat.atime = Self.statxTime(a.accessTime)
        out.stat.btime = Self.statxTime(a.birthTime)
        out.stat.ctime = Self.statxTime(a.changeTime)
        out.stat.mtime = Self.statxTime(a.modificationTime)
        // st_rdev travels as the kernel's new_encode_dev(): minor, major, minor.
        out.stat.rdev_major = (a.device >> 8) & 0xFFF
        out.stat.rdev_minor = (a.device & 0xFF) | ((a.device >> 12) & 0xFFF00)
        return reply(out, request)
    }

    @_noLocks private static func statxTime(_ time: cmem_time) -> cfk_sx_time {
        cfk_sx_time(tv_sec: time.seconds, tv_nsec: time.nanoseconds, reserved: 0)
    }

    @_noLocks func statfs(_ request: FuseRequest) -> Reply {
        let s = worker.statistics
        var out = cfk_kstatfs()
        out.blocks = s.pages
        out.bfree = s.pagesFree
        out.bavail = s.pagesFree
        out.files = s.inodes
        out.ffree = s.inodesFree
        out.bsize = 4096
        out.frsize = 4096
        out.namelen = 255
        return reply(out, request)
    }
}
