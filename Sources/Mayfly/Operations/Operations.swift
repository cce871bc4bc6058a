// Operations: where an opcode meets the store.
//
// One function per request: it reads the typed arguments where the kernel put them, calls the store,
// and writes the reply where the kernel reads it. On the ring payload and reply are the same
// memory, so names are used before the first byte of a reply is written.
//
// Everything here carries `@_noLocks`: no allocation, no reference counting, no lock of the
// runtime's, by the compiler's word.

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
    /// Seconds for which names and attributes stay valid: without end, as nobody else writes here.
    var cacheSeconds: UInt64 = 100 * 365 * 24 * 3600
    /// Whether OPEN is answered. By ENOSYS otherwise, as OPENDIR is, after which the kernel sends
    /// none.
    var checksOpen = false
    /// Whether OPEN, FLUSH, FSYNC and those of directories are answered, so that the kernel goes on
    /// asking: for faults and power losses.
    var answersAll = false
    /// Whether what is opened with O_DIRECT may be written by several at once. OPEN is answered then.
    var directInParallel = false
    /// Whether ENOSYS says that there are no extended attributes, after which nobody asks for any.
    ///
    /// - Source: fs/fuse/xattr.c, `fuse_getxattr()`: `no_getxattr`, and EOPNOTSUPP to the caller.
    var withoutXattrs = false

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
        case .open:
            if !policy.checksOpen && !policy.directInParallel && !policy.answersAll {
                throw Errno.noFunction
            }
            return try open(node, request)
        case .release, .releasedir, .syncfs, .destroy: return .none
        // Nothing to do for them, and ENOSYS says so once and for all: CREATE becomes MKNOD, and
        // the others are not sent again.
        case .opendir where policy.answersAll: return reply(cfk_open_out(), request)
        case .flush, .fsync, .fsyncdir:
            if !policy.answersAll { throw Errno.noFunction }
            return .none
        case .create, .opendir, .access, .bmap, .poll: throw Errno.noFunction
        default: throw Errno.noFunction
        }
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
