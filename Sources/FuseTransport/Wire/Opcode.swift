// The operations of the protocol, and how many bytes the first argument of each has.
//
// The first argument travels apart from the rest on the ring (`op_in`), and in front of the rest on
// /dev/fuse; so both need its size before they can say where the rest begins. A request that is
// shorter than its first argument is refused here and reaches no operation.

internal import CFuseKernel

/// An operation code, by the kernel's number.
///
/// - Source: include/uapi/linux/fuse.h, `enum fuse_opcode`.
@frozen
package enum Opcode: UInt32, CaseIterable, Sendable {
    case lookup = 1
    case forget = 2
    case getattr = 3
    case setattr = 4
    case readlink = 5
    case symlink = 6
    case mknod = 8
    case mkdir = 9
    case unlink = 10
    case rmdir = 11
    case rename = 12
    case link = 13
    case open = 14
    case read = 15
    case write = 16
    case statfs = 17
    case release = 18
    case fsync = 20
    case setxattr = 21
    case getxattr = 22
    case listxattr = 23
    case removexattr = 24
    case flush = 25
    case initialize = 26
    case opendir = 27
    case readdir = 28
    case releasedir = 29
    case fsyncdir = 30
    case getlk = 31
    case setlk = 32
    case setlkw = 33
    case access = 34
    case create = 35
    case interrupt = 36
    case bmap = 37
    case destroy = 38
    case ioctl = 39
    case poll = 40
    case notifyReply = 41
    case batchForget = 42
    case fallocate = 43
    case readdirplus = 44
    case rename2 = 45
    case lseek = 46
    case copyFileRange = 47
    case setupmapping = 48
    case removemapping = 49
    case syncfs = 50
    case tmpfile = 51
    case statx = 52
    case copyFileRange64 = 53

    /// The operation of a number, or nil where the protocol has none.
    ///
    /// Written out, as the compiler does not accept its own on the request path.
    @inlinable @_noLocks
    package init?(rawValue: UInt32) {
        switch rawValue {
        case 1: self = .lookup
        case 2: self = .forget
        case 3: self = .getattr
        case 4: self = .setattr
        case 5: self = .readlink
        case 6: self = .symlink
        case 8: self = .mknod
        case 9: self = .mkdir
        case 10: self = .unlink
        case 11: self = .rmdir
        case 12: self = .rename
        case 13: self = .link
        case 14: self = .open
        case 15: self = .read
        case 16: self = .write
        case 17: self = .statfs
        case 18: self = .release
        case 20: self = .fsync
        case 21: self = .setxattr
        case 22: self = .getxattr
        case 23: self = .listxattr
        case 24: self = .removexattr
        case 25: self = .flush
        case 26: self = .initialize
        case 27: self = .opendir
        case 28: self = .readdir
        case 29: self = .releasedir
        case 30: self = .fsyncdir
        case 31: self = .getlk
        case 32: self = .setlk
        case 33: self = .setlkw
        case 34: self = .access
        case 35: self = .create
        case 36: self = .interrupt
        case 37: self = .bmap
        case 38: self = .destroy
        case 39: self = .ioctl
        case 40: self = .poll
        case 41: self = .notifyReply
        case 42: self = .batchForget
        case 43: self = .fallocate
        case 44: self = .readdirplus
        case 45: self = .rename2
        case 46: self = .lseek
        case 47: self = .copyFileRange
        case 48: self = .setupmapping
        case 49: self = .removemapping
        case 50: self = .syncfs
        case 51: self = .tmpfile
        case 52: self = .statx
        case 53: self = .copyFileRange64
        default: return nil
        }
    }

    /// Size of the first argument in bytes; 0 where the request has none, or a name comes first.
    ///
    /// SETXATTR counts with `FUSE_SETXATTR_EXT`, which the session insists on.
    ///
    /// - Source: the `args.in_args[0].size` of each sender in fs/fuse/{dir,file,xattr,readdir}.c.
    package var argumentBytes: Int {
        @_noLocks get {
            switch self {
            case .lookup, .readlink, .symlink, .unlink, .rmdir, .statfs, .removexattr, .destroy: 0
            case .forget: MemoryLayout<cfk_forget_in>.size
            case .getattr: MemoryLayout<cfk_getattr_in>.size
            case .setattr: MemoryLayout<cfk_setattr_in>.size
            case .mknod: MemoryLayout<cfk_mknod_in>.size
            case .mkdir: MemoryLayout<cfk_mkdir_in>.size
            case .rename: MemoryLayout<cfk_rename_in>.size
            case .rename2: MemoryLayout<cfk_rename2_in>.size
            case .link: MemoryLayout<cfk_link_in>.size
            case .open, .opendir: MemoryLayout<cfk_open_in>.size
            case .read, .readdir, .readdirplus: MemoryLayout<cfk_read_in>.size
            case .write: MemoryLayout<cfk_write_in>.size
            case .release, .releasedir: MemoryLayout<cfk_release_in>.size
            case .fsync, .fsyncdir: MemoryLayout<cfk_fsync_in>.size
            case .setxattr: MemoryLayout<cfk_setxattr_in>.size
            case .getxattr, .listxattr: MemoryLayout<cfk_getxattr_in>.size
            case .flush: MemoryLayout<cfk_flush_in>.size
            case .initialize: MemoryLayout<cfk_init_in>.size
            case .access: MemoryLayout<cfk_access_in>.size
            case .create, .tmpfile: MemoryLayout<cfk_create_in>.size
            case .interrupt: MemoryLayout<cfk_interrupt_in>.size
            case .ioctl: MemoryLayout<cfk_ioctl_in>.size
            case .batchForget: MemoryLayout<cfk_batch_forget_in>.size
            case .fallocate: MemoryLayout<cfk_fallocate_in>.size
            case .lseek: MemoryLayout<cfk_lseek_in>.size
            case .copyFileRange, .copyFileRange64: MemoryLayout<cfk_copy_file_range_in>.size
            case .statx: MemoryLayout<cfk_statx_in>.size
            // Never negotiated, so no layout is carried; the sizes are the kernel's.
            case .getlk, .setlk, .setlkw: 48
            case .bmap: 16
            case .poll: 24
            case .notifyReply: 40
            case .setupmapping: 40
            case .removemapping: 4
            case .syncfs: 8
            }
        }
    }

    /// Whether the kernel waits for no reply to this operation.
    package var hasNoReply: Bool {
        @_noLocks get {
            switch self {
            case .forget, .batchForget, .interrupt, .notifyReply: true
            default: false
            }
        }
    }
}
