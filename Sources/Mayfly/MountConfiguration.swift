import Glibc
package import MayflyHost
package import MayflyServing

/// What a mount is to be: where, how large, whose, and how it talks with the kernel.
///
/// Every field but the mountpoint has a default. Build one in code, or let `apply(optionList:)` and
/// the `set…` functions read it from text; then `MountedFileSystem(_:)` mounts it.
public struct MountConfiguration: Sendable, Equatable {
    /// The way requests may take.
    public enum Transport: String, Sendable, CaseIterable {
        /// The ring where the kernel offers it, /dev/fuse otherwise.
        case automatic = "auto"
        /// The ring or nothing: mounting fails without it.
        case ring
        /// /dev/fuse, even where the ring could be had.
        case device = "dev"
    }

    /// What outlives a power loss.
    public enum Durability: String, Sendable, CaseIterable {
        /// Nobody asks, and nothing is paid for it.
        case none
        /// What fsync(2) has returned for; the rest by chance.
        case fsync
    }

    /// One word for options that trade what a kind of work does not use ("profile", Docs/Options.md).
    public enum Profile: String, Sendable, CaseIterable {
        /// As tmpfs.
        case exact
        /// For builds: no extended attributes, and nobody checks modes where only the mounting user is
        /// let in.
        case build

        /// The options of mount(8) that it stands for.
        public var options: [String] { self == .build ? ["noxattr", "noperm"] : [] }
    }

    /// When reading a file updates its access time; tmpfs and every other mount take `.relative`.
    public enum AccessTime: Sendable {
        /// Where it is older than the content or than a day ("relatime").
        case relative
        /// Never ("noatime").
        case never
        /// Each time ("strictatime").
        case strict
    }

    /// Who looks at modes, owners and ACLs.
    public enum PermissionChecks: Sendable {
        /// The kernel, unless everybody whom the mount lets in is a superuser, whom they refuse
        /// nothing: it was made by one and without `allowOther`.
        case automatic
        /// The kernel, in any case: a superuser may have given up CAP_DAC_OVERRIDE.
        case always
        /// Nobody: who is let in may do everything. `allowOther` is refused.
        case never
    }

    /// The entries a queue may have.
    public static let queueDepthRange = 1...1024
    /// The bytes one ring entry may carry; always whole pages.
    public static let maxPayloadRange = 8 * 1024...1024 * 1024

    /// The directory to mount on, absolute or relative to the working directory, as `PathBytes` has
    /// its bytes as text.
    public var mountpoint: String {
        get { mountPath.text }
        set { mountPath = PathBytes(newValue) }
    }
    /// The same as the kernel has it.
    package var mountPath: PathBytes
    /// The image that the mount starts from, shared with every other mount of it; nil: an empty
    /// tree. The root directory is the image's, with its mode and owner. As `PathBytes` has its bytes as
    /// text.
    public var from: String?
    /// An image of which not all is here yet: what `from` names ("mount --lazy").
    package var arriving: ArrivingImage?
    /// Content in whole pages, as tmpfs counts it; 0: no limit but memory; nil: half of the
    /// usable memory.
    public var sizeBytes: UInt64?
    /// Files, directories and links that may exist; 0: no limit but memory; nil: half as many as
    /// the usable memory has pages, and for an empty tree of a smaller size one for each KiB of it, at
    /// least 262,144.
    public var inodes: UInt64?
    /// Permissions of the root directory.
    public var mode: UInt32 = 0o1777
    /// Owner of the root directory: the caller.
    public var userID: UInt32 = geteuid()
    /// Group of the root directory: the caller's.
    public var groupID: UInt32 = getegid()
    /// Refuses all changes.
    public var readOnly = false
    /// Ring entries per queue; nil: as many as the memory budget for rings allows.
    public var queueDepth: Int?
    /// Bytes one ring entry carries, so the largest read or write of one request; nil: 1 MiB where
    /// the memory budget for rings allows it.
    public var maxPayloadBytes: Int?
    /// The way that requests take.
    public var transport: Transport = .automatic
    /// Prints every request to the standard error.
    public var debugFuse = false
    /// Lets users other than the mounting one in; permissions are checked for all alike.
    ///
    /// Deviation: tmpfs lets everybody in that its modes let in. FUSE keeps others out, root of
    /// other namespaces included, because their requests depend on a process of this user's.
    public var allowOther = false
    /// Honours set-user-ID and set-group-ID bits ("suid").
    public var allowSetuid = false
    /// Honours device nodes ("dev").
    public var allowDevices = false
    /// Lets programs be executed ("exec").
    public var allowExecution = true
    /// Follows symbolic links ("nosymfollow" turns it off).
    public var followSymlinks = true
    /// When access times are updated.
    public var accessTime: AccessTime = .relative
    /// Does not count access times of directories ("nodiratime").
    public var noDirectoryAccessTime = false
    /// Refuses to open for writing what chattr(1) made immutable or append-only ("check_open").
    ///
    /// Off: such a file can be opened, and each change of it fails with EPERM. On: every open(2)
    /// costs a request, and every last close(2) one that nobody waits for.
    public var checksOpen = false
    /// Carries out asynchronous O_DIRECT requests of one thread one by one ("sync_dio").
    ///
    /// Off: the kernel sends them side by side, two to three times as fast, but a buffered read of the
    /// same file at the same time may leave an old page in the cache: Linux 6.18 drops such pages
    /// behind synchronous writes only, Linux 7.2 behind all (fs/fuse/file.c, `fuse_aio_complete()`).
    public var directInOrder = false
    /// Answers OPEN, FLUSH, FSYNC and those of directories, which the kernel otherwise does without, so
    /// that faults can be had on them, and on every read of a file that a fault names ("faults").
    public var faults = false
    /// Lets the kernel gather writes and send them later ("writeback").
    ///
    /// Off: each write(2) is a request and answers for itself. On: it ends in the kernel's cache,
    /// and its size, times and ENOSPC are the kernel's until the file is closed or synchronized:
    /// `st_blocks`, statfs(2) and SEEK_DATA are late, and ENOSPC may come from close(2) or fsync(2).
    public var writesBack = false
    /// What a power loss leaves, so that one can be had.
    public var durability: Durability = .none
    /// What the mount is for. Options of its own that say otherwise count for more.
    public var profile: Profile = .exact
    /// Has no extended attributes and no ACLs ("noxattr").
    ///
    /// Off: the kernel asks for `security.capability` before the first write to a file, and ls(1) and
    /// cp(1) ask each file for its ACL. On: it asks once and is told that there are none, EOPNOTSUPP.
    public var withoutXattrs = false
    /// Whether the kernel checks modes, owners and ACLs ("default_permissions", "noperm").
    ///
    /// Who checks asks for a directory's attributes after every change in it. Without checks the kernel
    /// looks only at whether a file may be executed, and asks for each access(2) and chdir(2).
    ///
    /// - Source: fs/fuse/dir.c, `fuse_permission()`, `fuse_dir_changed()`.
    public var permissionChecks: PermissionChecks = .automatic
    /// Lets O_DIRECT writes to one file go side by side ("parallel_dio").
    ///
    /// Off: the kernel sends one at a time, as each holds the inode's lock. On: each open(2) costs a
    /// request, and what is opened with O_DIRECT passes by the kernel's pages altogether.
    ///
    /// - Source: fs/fuse/file.c, `fuse_dio_wr_exclusive_lock()`.
    public var directInParallel = false
    /// Keeps the content where it outlives the server, which is started again when it dies ("survive").
    ///
    /// Only of `mayfly mount`: another process holds the memory.
    public var survives = false
    /// The memory file that another process holds, too.
    package var survivingMemory: Int32?
    /// Whether that file holds what a server has left that died.
    package var isRecovery = false
    /// Whether every change is to be synced ("sync", "dirsync"): nothing where nothing can be lost.
    package var asksSync = false
    /// Whether it may be mounted over a Mayfly mount, which then is hidden: where nobody else sees it.
    package var mayCover = false
    /// What requests are not saved by, to measure it.
    package var without: Set<Shortcut> = []
    /// What the mount table names as the source.
    public var source = "mayfly"
    /// What the mount table names as the type: "fuse", or "fuse." and a subtype.
    public var fsType = MountTable.ownType

    /// A mount on a directory, with the defaults for all else.
    public init(mountpoint: String) { mountPath = PathBytes(mountpoint) }

    /// Whether the kernel is to go on asking for what there is nothing to do for.
    var answersAll: Bool { faults || durability == .fsync }

    /// The limits with the defaults filled in.
    ///
    /// Deviation: for tmpfs 0 is no limit at all; here it is all of the usable memory, and as many
    /// inodes as the machine has pages, so that ENOSPC comes before the OOM killer.
    ///
    /// - Parameters:
    ///   - memory: what may be used.
    ///   - isEmpty: whether the tree is: one from an image may have many inodes and little content.
    public func limits(
        in memory: SystemMemory, isEmpty: Bool = true
    ) -> (sizeBytes: UInt64, inodes: UInt64) {
        let pages = memory.physicalBytes / SizeText.pageBytes
        let whole = memory.usableBytes / SizeText.pageBytes * SizeText.pageBytes
        let size = sizeBytes == 0 ? whole : sizeBytes ?? memory.defaultSizeBytes
        let inodes =
            self.inodes
            ?? (isEmpty ? memory.defaultInodes(sizeBytes: size) : memory.defaultInodes)
        return (size, inodes == 0 ? pages : inodes)
    }
}
