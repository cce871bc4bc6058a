import CMayflyTestSupport
import Glibc

/// A path as the kernel sees it: bytes without a NUL, of any encoding.
package struct PosixPath: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(_ text: String) { bytes = Array(text.utf8) }
    package init(stringLiteral text: String) { self.init(text) }

    package var description: String { String(decoding: bytes, as: UTF8.self) }

    /// The bytes with the NUL that C wants.
    var terminated: [UInt8] { bytes + [0] }

    package static func / (folder: PosixPath, name: String) -> PosixPath {
        PosixPath(folder.bytes + [UInt8(ascii: "/")] + Array(name.utf8))
    }

    static func / (folder: PosixPath, name: [UInt8]) -> PosixPath {
        PosixPath(folder.bytes + [UInt8(ascii: "/")] + name)
    }
}

/// Names: creating, moving and removing them.
extension PosixPath {
    /// openat(2); the descriptor is closed on exec and when the file is let go.
    func open(
        _ flags: Int32 = O_RDWR, _ mode: UInt32 = 0o644, at folder: PosixFile? = nil
    ) throws(PosixCallFailure) -> PosixFile {
        let directory = folder?.fd ?? CPS_AT_FDCWD
        let fd = unsafe cps_open(directory, terminated, flags, mode)
        return PosixFile(try answer(fd, "open(\(self), \(String(flags, radix: 8)))"))
    }

    /// Creates or empties the file and opens it for reading and writing.
    @discardableResult
    func create(
        _ text: String = "", _ mode: UInt32 = 0o644
    ) throws(PosixCallFailure) -> PosixFile {
        let file = try open(O_RDWR | O_CREAT | O_TRUNC, mode)
        if !text.isEmpty { try file.write(text) }
        return file
    }

    /// The whole content.
    func read() throws(PosixCallFailure) -> String {
        String(decoding: try readBytes(), as: UTF8.self)
    }

    func readBytes() throws(PosixCallFailure) -> [UInt8] {
        let file = try open(O_RDONLY)
        return try file.pread(Int(try file.status().size) + 1, at: 0)
    }

    func mkdir(_ mode: UInt32 = 0o755) throws(PosixCallFailure) {
        try answer(unsafe cps_mkdir(terminated, mode), "mkdir(\(self))")
    }

    func rmdir() throws(PosixCallFailure) {
        try answer(unsafe cps_rmdir(terminated), "rmdir(\(self))")
    }

    func unlink() throws(PosixCallFailure) {
        try answer(unsafe cps_unlink(terminated), "unlink(\(self))")
    }

    func rename(to target: PosixPath, _ flags: UInt32 = 0) throws(PosixCallFailure) {
        try answer(
            unsafe cps_rename(terminated, target.terminated, flags),
            "renameat2(\(self), \(target), \(flags))")
    }

    /// linkat(2): a new name for what this path names.
    func link(to target: PosixPath, follow: Bool = false) throws(PosixCallFailure) {
        let flags = follow ? CPS_AT_SYMLINK_FOLLOW : 0
        try answer(
            unsafe cps_link(CPS_AT_FDCWD, terminated, target.terminated, flags),
            "link(\(self), \(target))")
    }

    /// symlink(2): makes this path a symbolic link that holds `content`.
    func symlink(_ content: PosixPath) throws(PosixCallFailure) {
        try answer(unsafe cps_symlink(content.terminated, terminated), "symlink(\(self))")
    }

    func readlink(capacity: Int = 8192) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: capacity)
        let count = unsafe cps_readlink(terminated, &buffer, capacity)
        return Array(buffer.prefix(Int(try answer(count, "readlink(\(self))"))))
    }

    /// mknod(2); `mode` holds the type.
    func mknod(
        _ mode: UInt32, major: UInt32 = 0, minor: UInt32 = 0
    ) throws(PosixCallFailure) {
        try answer(unsafe cps_mknod(terminated, mode, major, minor), "mknod(\(self))")
    }

    var exists: Bool { (try? status()) != nil }

    /// Binds a listening socket of the local domain here.
    func bindSocket() throws(PosixCallFailure) -> PosixFile {
        PosixFile(try answer(unsafe cps_socket_bind(terminated), "bind(\(self))"))
    }

    func connectSocket() throws(PosixCallFailure) -> PosixFile {
        PosixFile(try answer(unsafe cps_socket_connect(terminated), "connect(\(self))"))
    }
}

/// What belongs to the inode that a path names.
extension PosixPath {
    /// statx(2) of the path itself, or of what its symbolic link leads to.
    func status(follow: Bool = false) throws(PosixCallFailure) -> PosixStatus {
        var raw = cps_stat()
        let how = CPS_STAT_BIRTH | (follow ? CPS_STAT_FOLLOW : 0)
        try answer(unsafe cps_stat(CPS_AT_FDCWD, terminated, how, &raw), "stat(\(self))")
        return PosixStatus(raw)
    }

    func fileSystemStatus() throws(PosixCallFailure) -> PosixFileSystemStatus {
        var raw = cps_statfs()
        try answer(unsafe cps_statfs(terminated, &raw), "statfs(\(self))")
        return PosixFileSystemStatus(raw)
    }

    func truncate(_ size: Int64) throws(PosixCallFailure) {
        try answer(unsafe cps_truncate(terminated, size), "truncate(\(self), \(size))")
    }

    func chmod(_ mode: UInt32) throws(PosixCallFailure) {
        try answer(
            unsafe cps_chmod(terminated, mode), "chmod(\(self), \(String(mode, radix: 8)))")
    }

    /// chown(2); nil leaves the identity as it is.
    func chown(
        _ uid: UInt32?, _ gid: UInt32?, follow: Bool = false
    ) throws(PosixCallFailure) {
        try answer(
            unsafe cps_chown(terminated, uid ?? .max, gid ?? .max, follow ? 1 : 0),
            "chown(\(self))")
    }

    /// access(2), with the real identity.
    func access(_ mode: Int32) throws(PosixCallFailure) {
        try answer(unsafe cps_access(terminated, mode), "access(\(self), \(mode))")
    }

    func setTimes(
        access: PosixTime, modification: PosixTime, follow: Bool = false
    ) throws(PosixCallFailure) {
        var raw = (access.raw, modification.raw)
        try answer(
            unsafe cps_utimens(terminated, &raw.0, &raw.1, follow ? 1 : 0),
            "utimensat(\(self))")
    }

    /// utimes(2) without times, which a writer may call as well as the owner.
    func setTimesToNow() throws(PosixCallFailure) {
        try answer(unsafe cps_utimens_null(terminated), "utimensat(\(self), NULL)")
    }
}

/// Extended attributes.
extension PosixPath {
    func setAttribute(
        _ name: String, _ value: [UInt8], _ flags: Int32 = 0, follow: Bool = false
    ) throws(PosixCallFailure) {
        try answer(
            unsafe cps_setxattr(
                terminated, PosixPath(name).terminated, value, value.count, flags, follow ? 1 : 0),
            "setxattr(\(self), \(name), \(value.count) bytes)")
    }

    func attribute(
        _ name: String, capacity: Int = 65536, follow: Bool = false
    ) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: max(capacity, 1))
        let count = unsafe cps_getxattr(
            terminated, PosixPath(name).terminated, &buffer, capacity, follow ? 1 : 0)
        let length = Int(try answer(count, "getxattr(\(self), \(name))"))
        return Array(buffer.prefix(length))
    }

    /// The length of a value, asked for with no room for it.
    func attributeLength(_ name: String) throws(PosixCallFailure) -> Int {
        var nothing: [UInt8] = [0]
        let count = unsafe cps_getxattr(terminated, PosixPath(name).terminated, &nothing, 0, 0)
        return Int(try answer(count, "getxattr(\(self), \(name), 0)"))
    }

    /// The names, sorted.
    func attributeNames(capacity: Int = 65536) throws(PosixCallFailure) -> [String] {
        var buffer = [UInt8](repeating: 0, count: max(capacity, 1))
        let count = unsafe cps_listxattr(terminated, &buffer, capacity, 0)
        let length = Int(try answer(count, "listxattr(\(self))"))
        return buffer.prefix(length).split(separator: 0)
            .map { String(decoding: $0, as: UTF8.self) }.sorted()
    }

    func attributeNamesLength() throws(PosixCallFailure) -> Int {
        var nothing: [UInt8] = [0]
        return Int(try answer(unsafe cps_listxattr(terminated, &nothing, 0, 0), "listxattr(0)"))
    }

    func removeAttribute(_ name: String) throws(PosixCallFailure) {
        try answer(
            unsafe cps_removexattr(terminated, PosixPath(name).terminated, 0),
            "removexattr(\(self), \(name))")
    }
}

/// What the runner needs outside the mounts.
extension PosixPath {
    /// The content of a file whose size is not known beforehand, as in /sys; at most 4 KiB.
    package func text() throws -> String { try open(O_RDONLY).readText(4096) }

    /// Throws when this cannot be opened for reading and writing.
    package func isOpenable() throws -> Bool {
        try open(O_RDWR).close()
        return true
    }

    package func linkTarget() throws -> String {
        String(decoding: try readlink(), as: UTF8.self)
    }
}
