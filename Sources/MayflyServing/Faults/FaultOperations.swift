// FaultOperations: names for operations and errors, as rules have them.

package import FuseTransport
internal import Glibc

/// Which opcodes a rule's operation stands for.
package enum FaultOperations {
    /// What is not answered, or not by operations.
    private static let excluded: Set<Opcode> = [
        .forget, .batchForget, .initialize, .destroy, .interrupt, .notifyReply,
    ]

    private static let groups: [String: Set<Opcode>] = [
        "any": Set(Opcode.allCases).subtracting(excluded),
        "read": [.read],
        "write": [.write, .fallocate, .copyFileRange, .copyFileRange64],
        "create": [.mknod, .mkdir, .symlink, .link, .create, .tmpfile],
        "rename": [.rename, .rename2],
        "unlink": [.unlink, .rmdir],
        "open": [.open, .opendir],
        "sync": [.fsync, .fsyncdir],
        "stat": [.lookup, .getattr, .statx],
        "list": [.readdir, .readdirplus],
        "xattr": [.setxattr, .getxattr, .listxattr, .removexattr],
    ]

    /// What the kernel asks only where the first of each is answered.
    package static let onlyWhereAnswered: Set<Opcode> = [
        .open, .opendir, .flush, .fsync, .fsyncdir, .release, .releasedir,
    ]

    /// What takes bytes, at an offset of a file.
    package static let writing: Set<Opcode> = [
        .write, .fallocate, .copyFileRange, .copyFileRange64,
    ]

    /// nil for no operation.
    package static func named(_ name: String) -> Set<Opcode>? {
        let name = name.lowercased()
        if let group = groups[name] { return group }
        let found = Opcode.allCases.first { "\($0)".lowercased() == name }
        return found.flatMap { excluded.contains($0) ? nil : [$0] }
    }

    /// Of groups, for an error.
    package static var names: String { groups.keys.sorted().joined(separator: ", ") }

    /// Every name that there is, groups first.
    package static var all: [String] {
        groups.keys.sorted()
            + Opcode.allCases.filter { !excluded.contains($0) && groups["\($0)"] == nil }.map {
                "\($0)"
            }
    }

    package static var errnoNames: [String] { errors.keys.sorted() }

    /// The number of an error; nil for none that a reply may carry.
    package static func errno(_ text: String) -> Int32? {
        let number = errors[text.uppercased()] ?? Int32(text)
        return number.flatMap { (1...133).contains($0) ? $0 : nil }
    }

    /// The name of an error; its number where it has none here.
    package static func name(ofErrno number: Int32) -> String {
        // Of two names the one that the kernel's lists have first.
        let names = errors.filter { $0.value == number }.keys
        return names.min { ($0.count, $0) < ($1.count, $1) } ?? "\(number)"
    }

    private static let errors: [String: Int32] = [
        "EPERM": EPERM, "ENOENT": ENOENT, "EINTR": EINTR, "EIO": EIO, "ENXIO": ENXIO,
        "E2BIG": E2BIG, "EBADF": EBADF, "EAGAIN": EAGAIN, "EWOULDBLOCK": EAGAIN,
        "ENOMEM": ENOMEM, "EACCES": EACCES, "EFAULT": EFAULT, "EBUSY": EBUSY, "EEXIST": EEXIST,
        "EXDEV": EXDEV, "ENODEV": ENODEV, "ENOTDIR": ENOTDIR, "EISDIR": EISDIR,
        "EINVAL": EINVAL, "ENFILE": ENFILE, "EMFILE": EMFILE, "ENOTTY": ENOTTY,
        "ETXTBSY": ETXTBSY, "EFBIG": EFBIG, "ENOSPC": ENOSPC, "ESPIPE": ESPIPE, "EROFS": EROFS,
        "EMLINK": EMLINK, "EPIPE": EPIPE, "ERANGE": ERANGE, "EDEADLK": EDEADLK,
        "ENAMETOOLONG": ENAMETOOLONG, "ENOLCK": ENOLCK, "ENOSYS": ENOSYS,
        "ENOTEMPTY": ENOTEMPTY, "ELOOP": ELOOP, "ENODATA": ENODATA, "ETIME": ETIME,
        "EPROTO": EPROTO, "EBADMSG": EBADMSG, "EOVERFLOW": EOVERFLOW, "EILSEQ": EILSEQ,
        "EUSERS": EUSERS, "EOPNOTSUPP": EOPNOTSUPP, "ENOTSUP": EOPNOTSUPP,
        "ETIMEDOUT": ETIMEDOUT, "ESTALE": ESTALE, "EUCLEAN": EUCLEAN, "EREMOTEIO": EREMOTEIO,
        "EDQUOT": EDQUOT, "ECANCELED": ECANCELED, "ENOTCONN": ENOTCONN,
    ]
}
