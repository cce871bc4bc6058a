// Operations: where an opcode meets the store.
//
// One function per request: it reads the typed arguments where the kernel put them, calls the store,
// and writes the reply where the kernel reads it. On the ring payload and reply are the same
// memory, so names are used before the first byte of a reply is written.
//
// Everything here carries `@_noLocks`: no allocation, no reference counting, no lock of the
// runtime's, by the compiler's word.

internal import Arena
internal import CFuseKernel
internal import CMemory
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

/// What a request is answered with: 0 or an errno, and the bytes of the reply's arguments.
struct Reply {
    let error: Int32
    let bytes: Int

    @_noLocks init(error: Int32, bytes: Int) {
        self.error = error
        self.bytes = bytes
    }
    static var none: Reply { @_noLocks get { Reply(error: 0, bytes: 0) } }
    @_noLocks static func failed(_ error: Errno) -> Reply {
        Reply(error: error.rawValue, bytes: 0)
    }
}

/// How the kernel may cache, and what it was promised at INIT.
struct OperationPolicy: Sendable {
    /// As good as without end, as nobody else writes here.
    private static let always: UInt64 = 100 * 365 * 24 * 3600
    /// Seconds for which names and attributes stay valid.
    var cacheSeconds = Self.always
    /// Seconds for which a name that is not there stays so.
    var negativeSeconds = Self.always
    /// Whether OPEN looks at what chattr(1) forbids.
    var checksOpen = false
    /// Whether what is opened with O_DIRECT may be written by several at once.
    var directInParallel = false
    /// Whether OPEN is answered. By ENOSYS otherwise, after which the kernel sends none, as of all
    /// that follow.
    var answersOpen = false
    var answersOpendir = false
    /// What the kernel does with a directory whose OPENDIR is answered: `CFK_FOPEN_*`.
    var directoryFlags: UInt32 = 0
    var answersFlush = false
    /// FSYNC, and that of directories.
    var answersFsync = false
    /// Whether ACCESS is answered: where the kernel checks no permissions itself.
    var answersAccess = false
    var answersCreate = false
    /// Whether ENOSYS says that there are no extended attributes, after which nobody asks for any.
    ///
    /// - Source: fs/fuse/xattr.c, `fuse_getxattr()`: `no_getxattr`, and EOPNOTSUPP to the caller.
    var withoutXattrs = false

    init() {}

    init(_ configuration: MountConfiguration) {
        let without = configuration.without
        // For faults and power losses the kernel is to go on asking.
        let all = configuration.answersAll
        checksOpen = configuration.checksOpen
        directInParallel = configuration.directInParallel
        answersOpen = checksOpen || directInParallel || all || without.contains(.open)
        answersOpendir = all || without.contains(.opendir)
        if !all { directoryFlags = UInt32(CFK_FOPEN_KEEP_CACHE) | UInt32(CFK_FOPEN_CACHE_DIR) }
        answersFlush = all || without.contains(.flush)
        answersFsync = all
        answersCreate = without.contains(.mknod)
        answersAccess = !configuration.checksPermissions
        withoutXattrs = configuration.withoutXattrs
        if without.contains(.timeouts) { cacheSeconds = 0 }
        if without.contains(.timeouts) || without.contains(.negative) { negativeSeconds = 0 }
    }

    /// INIT flags (`CFK_INIT_*`) that are taken where the kernel offers them.
    ///
    /// Left out on purpose: POSIX_LOCKS and FLOCK_LOCKS (locks are exact and free when the kernel
    /// keeps them), ATOMIC_O_TRUNC (there is no OPEN to carry it), AUTO_INVAL_DATA (nobody else
    /// writes here), WRITEBACK_CACHE (an option: `MountConfiguration.writesBack`).
    static let initFlags: UInt64 =
        CFK_INIT_ASYNC_READ | CFK_INIT_EXPORT_SUPPORT | CFK_INIT_DONT_MASK
        | CFK_INIT_HAS_IOCTL_DIR | CFK_INIT_DO_READDIRPLUS | CFK_INIT_ASYNC_DIO
        | CFK_INIT_NO_OPEN_SUPPORT | CFK_INIT_PARALLEL_DIROPS | CFK_INIT_POSIX_ACL
        | CFK_INIT_CACHE_SYMLINKS | CFK_INIT_NO_OPENDIR_SUPPORT
        | CFK_INIT_HANDLE_KILLPRIV_V2 | CFK_INIT_ALLOW_IDMAP

    /// The flags of what a mount may be made without.
    static let shortcutFlags: [(Shortcut, UInt64)] = [
        (.open, CFK_INIT_NO_OPEN_SUPPORT), (.opendir, CFK_INIT_NO_OPENDIR_SUPPORT),
        (.readdirplus, CFK_INIT_DO_READDIRPLUS), (.symlinks, CFK_INIT_CACHE_SYMLINKS),
        (.dirops, CFK_INIT_PARALLEL_DIROPS), (.killpriv, CFK_INIT_HANDLE_KILLPRIV_V2),
    ]

    /// More for a mount that is asked everything: files whose reads come through are to be mapped
    /// all the same.
    static let faultInitFlags: UInt64 = CFK_INIT_DIRECT_IO_ALLOW_MMAP
}

/// The operations of one worker. A trivial value.
struct Operations: Sendable {
    let worker: StoreWorker
    let policy: OperationPolicy
    let counters: RequestCounters

    /// Answers a request; the worker has been entered.
    @_noLocks func answer(_ request: FuseRequest) -> Reply {
        counters.count(request.opcode)
        do throws(Errno) {
            return try dispatch(request)
        } catch {
            return .failed(error)
        }
    }

    @_noLocks private func dispatch(_ request: FuseRequest) throws(Errno) -> Reply {
        if cmem_budget_left() < 0 || !worker.canRetire() { try makeSureOfMemory(request) }
        let node = NodeID(rawValue: request.nodeID)
        switch request.operation {
        case .lookup: return try lookup(node, request)
        case .getattr: return attributeReply(try worker.attributes(node), request)
        case .read: return try read(node, request)
        case .write: return try write(node, request)
        case .getxattr, .setxattr, .listxattr, .removexattr:
            return try extendedAttribute(node, request)
        case .setattr: return try setAttributes(node, request)
        case .mknod: return try makeNode(node, request)
        case .mkdir: return try makeDirectory(node, request)
        case .unlink:
            try worker.unlink(node, name(request))
            return .none
        case .rmdir:
            try worker.removeDirectory(node, name(request))
            return .none
        case .readdirplus: return try readDirectory(node, request, isPlus: true)
        case .readdir: return try readDirectory(node, request, isPlus: false)
        case .rename: return try rename(node, request, isRename2: false)
        case .rename2: return try rename(node, request, isRename2: true)
        case .link: return try link(node, request)
        case .symlink: return try makeSymlink(node, request)
        case .readlink: return try readLink(node, request)
        case .tmpfile: return try makeTemporary(node, request)
        case .statx: return try statx(node, request)
        case .statfs: return statfs(request)
        case .lseek: return try seek(node, request)
        case .fallocate: return try allocate(node, request)
        case .copyFileRange: return try copyRange(node, request, isWide: false)
        case .copyFileRange64: return try copyRange(node, request, isWide: true)
        case .ioctl: return try control(node, request)
        case .forget:
            let forget = unsafe request.argument.load(as: cfk_forget_in.self)
            worker.forget(node, count: forget.nlookup)
            return .none
        case .batchForget: return forgetBatch(request)
        case .release, .releasedir, .syncfs, .destroy: return .none
        case .open where policy.answersOpen: return try open(node, request)
        case .opendir where policy.answersOpendir: return openDirectory(request)
        case .access where policy.answersAccess: return try access(node, request)
        case .create where policy.answersCreate: return try create(node, request)
        case .flush where policy.answersFlush: return .none
        case .fsync where policy.answersFsync: return .none
        case .fsyncdir where policy.answersFsync: return .none
        // There is nothing to do for them, nor for what nobody knows, and ENOSYS says so once and for
        // all: CREATE becomes MKNOD, and the others are not sent again.
        default: throw Errno.noFunction
        }
    }

    /// Refuses what takes memory when there is none. What removes may use more of the reserve than
    /// what adds; content sees to itself, as does a store without a base, chunk by chunk.
    ///
    /// - Throws: `ENOSPC`; `ENOMEM` when it cannot be noted what is to be freed.
    @inline(never) @_noLocks
    private func makeSureOfMemory(_ request: FuseRequest) throws(Errno) {
        let most: Int64
        switch request.operation {
        case .setxattr, .mknod, .mkdir, .symlink, .link, .rename, .rename2, .tmpfile, .create,
            .write, .copyFileRange, .copyFileRange64, .ioctl:
            most = Overdraft.change
        case .unlink, .rmdir, .removexattr, .setattr, .fallocate: most = Overdraft.removal
        default: return
        }
        guard worker.canRetire() else { throw .noMemory }
        if worker.hasBase, Overdraft.isBeyond(most) { throw .noSpace }
    }

    /// The one name of a request.
    ///
    /// - Throws: `EINVAL` when none ends inside the payload.
    @_noLocks func name(_ request: FuseRequest, at offset: Int = 0) throws(Errno) -> Name {
        guard let name = unsafe request.name(at: offset) else { throw .invalidArgument }
        return unsafe Name(name)
    }

    @_noLocks func caller(_ request: FuseRequest, umask: UInt32 = 0) -> Caller {
        Caller(userID: request.uid, groupID: request.gid, umask: umask & 0o777)
    }
}
