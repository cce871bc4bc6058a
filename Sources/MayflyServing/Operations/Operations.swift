// Operations: where an opcode meets the store.
//
// One function per request: it reads the typed arguments where the kernel put them, calls the store,
// and writes the reply where the kernel reads it. On the ring payload and reply are the same
// memory, so names are used before the first byte of a reply is written.
//
// Everything here carries `@_noLocks`: no allocation, no reference counting, no lock of the
// runtime's, by the compiler's word.

internal import CFuseKernel
internal import CMayflyMemory
package import FuseTransport
package import InodeStore
internal import MayflyArena
package import SystemPackage

/// What a request is answered with: 0 or an errno, and the bytes of the reply's arguments.
package struct Reply {
    package let error: Int32
    package let bytes: Int

    @_noLocks package init(error: Int32, bytes: Int) {
        self.error = error
        self.bytes = bytes
    }
    package static var none: Reply { @_noLocks get { Reply(error: 0, bytes: 0) } }
    @_noLocks package static func failed(_ error: Errno) -> Reply {
        Reply(error: error.rawValue, bytes: 0)
    }
}

/// How the kernel may cache, and what it was promised at INIT.
package struct OperationPolicy: Sendable {
    /// As good as without end, as nobody else writes here.
    private static let always: UInt64 = 100 * 365 * 24 * 3600
    /// Seconds for which names and attributes stay valid.
    package var cacheSeconds = Self.always
    /// Seconds for which a name that is not there stays so.
    package var negativeSeconds = Self.always
    /// Whether OPEN looks at what chattr(1) forbids.
    package var checksOpen = false
    /// Whether what is opened with O_DIRECT may be written by several at once.
    package var directInParallel = false
    /// Whether OPEN is answered. By ENOSYS otherwise, after which the kernel sends none, as of all
    /// that follow.
    package var answersOpen = false
    package var answersOpendir = false
    /// What the kernel does with a directory whose OPENDIR is answered: `CFK_FOPEN_*`.
    package var directoryFlags: UInt32 = 0
    package var answersFlush = false
    /// FSYNC, and that of directories.
    package var answersFsync = false
    /// Whether ACCESS is answered: where the kernel checks no permissions itself.
    package var answersAccess = false
    package var answersCreate = false
    /// Whether ENOSYS says that there are no extended attributes, after which nobody asks for any.
    ///
    /// - Source: fs/fuse/xattr.c, `fuse_getxattr()`: `no_getxattr`, and EOPNOTSUPP to the caller.
    package var withoutXattrs = false

    package init() {}

    /// INIT flags (`CFK_INIT_*`) that are taken where the kernel offers them.
    ///
    /// Left out on purpose: POSIX_LOCKS and FLOCK_LOCKS (locks are exact and free when the kernel
    /// keeps them), ATOMIC_O_TRUNC (there is no OPEN to carry it), AUTO_INVAL_DATA (nobody else
    /// writes here), WRITEBACK_CACHE (an option of the mount).
    package static let initFlags: UInt64 =
        CFK_INIT_ASYNC_READ | CFK_INIT_EXPORT_SUPPORT | CFK_INIT_DONT_MASK
        | CFK_INIT_HAS_IOCTL_DIR | CFK_INIT_DO_READDIRPLUS | CFK_INIT_ASYNC_DIO
        | CFK_INIT_NO_OPEN_SUPPORT | CFK_INIT_PARALLEL_DIROPS | CFK_INIT_POSIX_ACL
        | CFK_INIT_CACHE_SYMLINKS | CFK_INIT_NO_OPENDIR_SUPPORT
        | CFK_INIT_HANDLE_KILLPRIV_V2 | CFK_INIT_ALLOW_IDMAP

    /// The flags of what a mount may be made without.
    package static let shortcutFlags: [(Shortcut, UInt64)] = [
        (.open, CFK_INIT_NO_OPEN_SUPPORT), (.opendir, CFK_INIT_NO_OPENDIR_SUPPORT),
        (.readdirplus, CFK_INIT_DO_READDIRPLUS), (.symlinks, CFK_INIT_CACHE_SYMLINKS),
        (.dirops, CFK_INIT_PARALLEL_DIROPS), (.killpriv, CFK_INIT_HANDLE_KILLPRIV_V2),
    ]

    /// More for a mount that is asked everything: files whose reads come through are to be mapped
    /// all the same.
    package static let faultInitFlags: UInt64 = CFK_INIT_DIRECT_IO_ALLOW_MMAP
}

/// The operations of one worker. A trivial value.
package struct Operations: Sendable {
    package let worker: StoreWorker
    package let policy: OperationPolicy
    package let counters: RequestCounters

    package init(worker: StoreWorker, policy: OperationPolicy, counters: RequestCounters) {
        self.worker = worker
        self.policy = policy
        self.counters = counters
    }

    /// Answers a request; the worker has been entered.
    @_noLocks package func answer(_ request: FuseRequest) -> Reply {
        counters.count(request.opcode)
        do throws(Errno) {
            return try dispatch(request)
        } catch {
            return .failed(error)
        }
    }

    /// Carries out a request again that was counted before: see `answerLate`.
    @_noLocks package func answerAgain(_ request: FuseRequest) -> Reply {
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
            let forget = request.argument(as: cfk_forget_in.self)
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
    @_noLocks package func name(_ request: FuseRequest, at offset: Int = 0) throws(Errno) -> Name {
        guard let name = unsafe request.name(at: offset) else { throw .invalidArgument }
        return unsafe Name(name)
    }

    @_noLocks package func caller(_ request: FuseRequest, umask: UInt32 = 0) -> Caller {
        Caller(userID: request.uid, groupID: request.gid, umask: umask & 0o777)
    }
}
