// Inode: the words of one inode in the region, 256 bytes.
//
// Written by whoever holds the inode's lock; read by anyone, word by word, atomically. A reader
// that needs words of one moment checks the inode's sequence (SideTable.swift).

package import CMayflyMemory
internal import MayflyArena

/// Byte offsets inside an inode slot. Part of the image's format.
enum Inode {
    static var bytes: UInt64 { @_noLocks get { 256 } }

    /// st_mode; 0 means that the slot holds no inode.
    static var mode: UInt64 { @_noLocks get { 0 } }
    /// FS_*_FL and our own bits above (InodeFlags).
    static var flags: UInt64 { @_noLocks get { 4 } }
    static var links: UInt64 { @_noLocks get { 8 } }
    static var generation: UInt64 { @_noLocks get { 12 } }
    static var userID: UInt64 { @_noLocks get { 16 } }
    static var groupID: UInt64 { @_noLocks get { 20 } }
    static var device: UInt64 { @_noLocks get { 24 } }
    /// Of a file: whether its times were set lately (TimesSet.swift). The high half of device's word.
    static var timesSet: UInt64 { @_noLocks get { 28 } }
    /// Bytes of a file or symlink target; a directory's is computed.
    static var size: UInt64 { @_noLocks get { 32 } }
    /// Pages charged for content.
    static var pages: UInt64 { @_noLocks get { 40 } }
    /// Four times: seconds in 64 bits each, then nanoseconds in 32 bits each.
    static var seconds: UInt64 { @_noLocks get { 48 } }
    static var nanoseconds: UInt64 { @_noLocks get { 80 } }
    /// Content: a map word (RadixMap.swift).
    static var content: UInt64 { @_noLocks get { 96 } }
    /// First extended attribute, or 0.
    static var xattrs: UInt64 { @_noLocks get { 104 } }
    /// The directory that holds name 0 (Names.swift), 0 without a name; a directory's "..", the root's
    /// is itself.
    static var parent: UInt64 { @_noLocks get { 112 } }
    /// Directory: cookie of the next entry.
    static var nextCookie: UInt64 { @_noLocks get { 120 } }
    /// Directory: number of entries, "." and ".." not among them.
    static var entries: UInt64 { @_noLocks get { 128 } }
    /// Directory: table of bucket segments, or 0.
    static var bucketTable: UInt64 { @_noLocks get { 136 } }
    /// Directory: number of buckets, a power of two.
    static var bucketCount: UInt64 { @_noLocks get { 144 } }
    /// Directory: map word from cookie to dentry.
    static var cookies: UInt64 { @_noLocks get { 152 } }
    /// Directory: the cell of bucket 0, two words.
    static var firstCell: UInt64 { @_noLocks get { 160 } }
    /// Cookie of name 0.
    static var nameCookie: UInt64 { @_noLocks get { 176 } }
    /// Not of a directory: a map word of the names from 1 on.
    static var otherNames: UInt64 { @_noLocks get { 184 } }
    /// Symlink: a target of up to 64 bytes.
    static var inline: UInt64 { @_noLocks get { 192 } }
    static var inlineBytes: UInt64 { @_noLocks get { 64 } }
}

/// Which of an inode's four times.
enum TimeField {
    static var access: UInt64 { @_noLocks get { 0 } }
    static var modification: UInt64 { @_noLocks get { 1 } }
    static var change: UInt64 { @_noLocks get { 2 } }
    static var birth: UInt64 { @_noLocks get { 3 } }
}

/// Bits of `Inode.flags`. The lower ones are the kernel's FS_*_FL.
package enum InodeFlags {
    /// `FS_IMMUTABLE_FL`
    package static var immutable: UInt32 { @_noLocks get { 0x10 } }
    /// `FS_APPEND_FL`
    package static var append: UInt32 { @_noLocks get { 0x20 } }
    /// Those under which a name cannot be removed.
    package static var fixed: UInt32 { @_noLocks get { immutable | append } }
    /// `FS_NODUMP_FL`
    package static var noDump: UInt32 { @_noLocks get { 0x40 } }
    /// `FS_NOATIME_FL`
    package static var noAccessTime: UInt32 { @_noLocks get { 0x80 } }
    /// What FS_IOC_SETFLAGS may change. Source: mm/shmem.c, SHMEM_FL_USER_MODIFIABLE.
    package static var settable: UInt32 {
        @_noLocks get { 0xF0 }
    }
    /// What a new inode takes from its directory. Source: mm/shmem.c, SHMEM_FL_INHERITED.
    static var inherited: UInt32 { @_noLocks get { 0xC0 } }

    /// Ours: the inode has a security.capability attribute, which a write must remove.
    static var capability: UInt32 { @_noLocks get { 1 << 28 } }
    /// Ours: the inode has an access ACL, so a chmod must change it too.
    static var accessACL: UInt32 { @_noLocks get { 1 << 29 } }
    /// Ours: the directory has a default ACL.
    static var defaultACL: UInt32 { @_noLocks get { 1 << 30 } }
    /// Ours: a temporary file that linkat(2) may still name.
    static var linkable: UInt32 { @_noLocks get { 1 << 27 } }
    /// Ours: a directory without a name in which a tree is made or taken apart (Staging.swift).
    static var staging: UInt32 { @_noLocks get { 1 << 26 } }
}

/// File types of st_mode, and its other bits.
package enum FileMode {
    package static var typeMask: UInt32 { @_noLocks get { 0o170000 } }
    package static var fifo: UInt32 { @_noLocks get { 0o010000 } }
    package static var characterDevice: UInt32 { @_noLocks get { 0o020000 } }
    package static var directory: UInt32 { @_noLocks get { 0o040000 } }
    package static var blockDevice: UInt32 { @_noLocks get { 0o060000 } }
    package static var regular: UInt32 { @_noLocks get { 0o100000 } }
    package static var symlink: UInt32 { @_noLocks get { 0o120000 } }
    package static var socket: UInt32 { @_noLocks get { 0o140000 } }
    package static var setUserID: UInt32 { @_noLocks get { 0o4000 } }
    package static var setGroupID: UInt32 { @_noLocks get { 0o2000 } }
    package static var sticky: UInt32 { @_noLocks get { 0o1000 } }
    package static var groupExecute: UInt32 { @_noLocks get { 0o010 } }
    package static var permissions: UInt32 { @_noLocks get { 0o7777 } }

    /// Whether mknod(2) may make it: a type other than directory and symlink, permissions, and
    /// nothing else.
    @_noLocks package static func isOfNode(_ mode: UInt32) -> Bool {
        guard mode & ~(typeMask | permissions) == 0 else { return false }
        let type = mode & typeMask
        return type == regular || type == fifo || type == socket || type == characterDevice
            || type == blockDevice
    }
}

/// The number by which the kernel names an inode; 1 is the root.
@frozen package struct NodeID: Hashable, Sendable {
    package let rawValue: UInt64
    @inlinable @_noLocks package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static var root: NodeID { @_noLocks get { NodeID(rawValue: 1) } }

    /// Above it the tag, below it the inode's offset divided by 256.
    static var tagShift: UInt64 { @_noLocks get { 40 } }
    /// What st_ino tells: the same whatever tag the nodeid has, so that programs that know 32 bits of
    /// it can list a directory after a rollback.
    package var inodeNumber: UInt64 { @_noLocks get { slot } }
    var slot: UInt64 { @_noLocks get { rawValue & ((1 << Self.tagShift) - 1) } }
    var tag: UInt64 { @_noLocks get { rawValue >> Self.tagShift } }
}

/// Who asks, as far as the store must know.
@frozen package struct Caller: Sendable {
    package let userID: UInt32
    package let groupID: UInt32
    /// umask(2) of the caller, for creation; the store applies it where no default ACL does.
    package let umask: UInt32
    @inlinable @_noLocks package init(userID: UInt32, groupID: UInt32, umask: UInt32 = 0) {
        self.userID = userID
        self.groupID = groupID
        self.umask = umask
    }
}

/// What stat(2) and statx(2) tell. Times are of the wall clock.
@frozen package struct Attributes: Sendable {
    package var nodeID: UInt64 = 0
    package var generation: UInt32 = 0
    package var mode: UInt32 = 0
    package var links: UInt32 = 0
    package var userID: UInt32 = 0
    package var groupID: UInt32 = 0
    package var device: UInt32 = 0
    package var flags: UInt32 = 0
    /// Bytes.
    package var size: UInt64 = 0
    /// Units of 512 bytes.
    package var blocks: UInt64 = 0
    package var accessTime = cmem_time()
    package var modificationTime = cmem_time()
    package var changeTime = cmem_time()
    package var birthTime = cmem_time()

    @_noLocks package init() {}

    package var isDirectory: Bool {
        @_noLocks get { mode & FileMode.typeMask == FileMode.directory }
    }
}
