/// What to mount, how, and how much memory its queues may take.
package struct SessionConfiguration: Sendable {
    /// Which way requests come.
    package enum Transport: String, Sendable, CaseIterable {
        /// The ring where the kernel has it, else /dev/fuse.
        case automatic
        /// The ring, or an error.
        case ring
        /// /dev/fuse.
        case device
    }

    package enum AccessTime: Sendable {
        case relative, never, strict
    }

    /// Path of an existing directory, as the kernel has it: in no particular encoding.
    package var mountpointBytes: [UInt8]
    /// First column of /proc/self/mounts.
    package var source = Array("mayfly".utf8)
    /// Third column of /proc/self/mounts: `fuse` or `fuse.` and a name.
    package var fsType = Array("fuse.mayfly".utf8)
    package var readOnly = false
    package var noSuid = true
    package var noDev = true
    package var noExec = false
    /// `nosymfollow`
    package var noSymlinks = false
    /// What the mount table says of access times; to keep them is the server's part.
    package var accessTime = AccessTime.relative
    package var noDirectoryAccessTime = false
    /// Whether other users than `userID` may enter (`allow_other`).
    package var allowOther = false
    /// Whether the kernel checks modes (`default_permissions`).
    package var defaultPermissions = true
    /// Type and permission bits of the root directory.
    package var rootMode: UInt32 = 0o040755
    /// Owner of the mount; nil for the process's effective ids.
    package var userID: UInt32?
    package var groupID: UInt32?
    /// Queues that the file system can serve, nil for any number. Where there are more, /dev/fuse is
    /// used.
    package var mostQueues: Int?
    /// Ring entries per queue, 1 to 1024; nil for 8, or fewer within the memory budget.
    package var queueDepth: Int?
    /// Bytes of one request's data, 8 KiB to 1 MiB in whole pages; nil for 1 MiB, or less within
    /// the memory budget.
    package var maxPayloadBytes: Int?
    /// Bytes that the queues' buffers may take where depth or payload are left open.
    package var memoryBudgetBytes: UInt64 = 1 << 30
    package var transport = Transport.automatic
    /// Whether every request and reply is printed on standard error.
    package var trace = false
    /// INIT flags (`CFK_INIT_*`, 64 bits) that are taken where the kernel offers them. The
    /// transport adds those it needs itself: INIT_EXT, MAX_PAGES, BIG_WRITES, SETXATTR_EXT,
    /// OVER_IO_URING.
    package var wantedInitFlags: UInt64 = 0
    /// Requests the kernel may have in flight in the background (readahead, writeback, async I/O).
    /// Large, as kernels before 6.18.39 let the ring's background depth fall to one.
    package var maxBackground: UInt16 = 512
    /// Granularity of timestamps in nanoseconds.
    package var timeGranularity: UInt32 = 1

    /// A dead mount that this one takes the place of. The path is absolute and without links then, and
    /// nothing is asked of what is mounted there.
    package var replaced: (connection: UInt32, mountID: UInt64)?

    package init(mountpoint: String) { self.init(mountpointBytes: Array(mountpoint.utf8)) }

    package init(mountpointBytes: [UInt8]) {
        self.mountpointBytes = mountpointBytes
    }
}
