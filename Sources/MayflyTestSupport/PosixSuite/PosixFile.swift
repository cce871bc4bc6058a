import CMayflyTestSupport
import Glibc
import Synchronization

/// An open descriptor; closes itself.
final class PosixFile: Sendable {
    private let descriptor: Atomic<Int32>

    init(_ fd: Int64) { descriptor = Atomic(Int32(fd)) }

    deinit { _ = cps_close(descriptor.load(ordering: .relaxed)) }

    var fd: Int32 { descriptor.load(ordering: .relaxed) }

    /// The path by which this process reaches what is open here.
    var procPath: PosixPath { PosixPath("/proc/self/fd/\(fd)") }

    func close() throws(PosixCallFailure) {
        try answer(cps_close(descriptor.exchange(-1, ordering: .relaxed)), "close")
    }

    @discardableResult
    func write(_ bytes: [UInt8]) throws(PosixCallFailure) -> Int {
        Int(try answer(unsafe cps_write(fd, bytes, bytes.count), "write(\(bytes.count))"))
    }

    @discardableResult
    func write(_ text: String) throws(PosixCallFailure) -> Int { try write(Array(text.utf8)) }

    @discardableResult
    func pwrite(_ bytes: [UInt8], at offset: Int64) throws(PosixCallFailure) -> Int {
        let count = unsafe cps_pwrite(fd, bytes, bytes.count, offset)
        return Int(try answer(count, "pwrite(\(bytes.count) at \(offset))"))
    }

    @discardableResult
    func pwrite(_ text: String, at offset: Int64) throws(PosixCallFailure) -> Int {
        try pwrite(Array(text.utf8), at: offset)
    }

    func read(_ count: Int) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0xEE, count: max(count, 1))
        let got = Int(try answer(unsafe cps_read(fd, &buffer, count), "read(\(count))"))
        return Array(buffer.prefix(got))
    }

    func readText(_ count: Int) throws(PosixCallFailure) -> String {
        String(decoding: try read(count), as: UTF8.self)
    }

    func pread(_ count: Int, at offset: Int64) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0xEE, count: max(count, 1))
        let result = unsafe cps_pread(fd, &buffer, count, offset)
        let got = Int(try answer(result, "pread(\(count) at \(offset))"))
        return Array(buffer.prefix(got))
    }

    /// preadv(2) into pieces of these lengths; what was read, in one.
    func preadv(_ lengths: [Int], at offset: Int64) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0xEE, count: lengths.reduce(1, +))
        let result = unsafe cps_preadv(fd, &buffer, lengths, Int32(lengths.count), offset)
        return Array(buffer.prefix(Int(try answer(result, "preadv"))))
    }

    @discardableResult
    func pwritev(
        _ bytes: [UInt8], _ lengths: [Int], at offset: Int64
    ) throws(PosixCallFailure) -> Int {
        let result = unsafe cps_pwritev(fd, bytes, lengths, Int32(lengths.count), offset)
        return Int(try answer(result, "pwritev"))
    }

    func preadAligned(_ count: Int, at offset: Int64) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0xEE, count: max(count, 1))
        let result = unsafe cps_pread_aligned(fd, &buffer, count, offset)
        return Array(buffer.prefix(Int(try answer(result, "pread, aligned"))))
    }

    @discardableResult
    func pwriteAligned(_ bytes: [UInt8], at offset: Int64) throws(PosixCallFailure) -> Int {
        let result = unsafe cps_pwrite_aligned(fd, bytes, bytes.count, offset)
        return Int(try answer(result, "pwrite, aligned"))
    }

    @discardableResult
    func seek(_ offset: Int64, _ whence: Int32 = SEEK_SET) throws(PosixCallFailure) -> Int64 {
        try answer(cps_seek(fd, offset, whence), "lseek(\(offset), \(whence))")
    }

    func seekData(_ offset: Int64) throws(PosixCallFailure) -> Int64 {
        try seek(offset, CPS_SEEK_DATA)
    }

    func seekHole(_ offset: Int64) throws(PosixCallFailure) -> Int64 {
        try seek(offset, CPS_SEEK_HOLE)
    }

    func truncate(_ size: Int64) throws(PosixCallFailure) {
        try answer(cps_ftruncate(fd, size), "ftruncate(\(size))")
    }

    func allocate(
        _ mode: Int32 = 0, _ offset: Int64, _ length: Int64
    ) throws(PosixCallFailure) {
        try answer(
            cps_fallocate(fd, mode, offset, length), "fallocate(\(mode), \(offset), \(length))")
    }

    func synchronize(dataOnly: Bool = false) throws(PosixCallFailure) {
        try answer(cps_fsync(fd, dataOnly ? 1 : 0), "fsync")
    }

    func copyRange(
        at offset: Int64, to target: PosixFile, at targetOffset: Int64, _ length: Int
    ) throws(PosixCallFailure) -> Int {
        let result = cps_copy_file_range(fd, offset, target.fd, targetOffset, length)
        return Int(try answer(result, "copy_file_range"))
    }

    /// sendfile(2).
    func send(
        to target: PosixFile, at offset: Int64, _ length: Int
    ) throws(PosixCallFailure) -> Int {
        Int(try answer(cps_sendfile(target.fd, fd, offset, length), "sendfile"))
    }

    /// fcntl(2), `F_SETFL`.
    func setStatusFlags(_ flags: Int32) throws(PosixCallFailure) {
        try answer(cps_set_status_flags(fd, flags), "fcntl(F_SETFL)")
    }

    func status() throws(PosixCallFailure) -> PosixStatus {
        var raw = cps_stat()
        let nothing: [UInt8] = [0]
        try answer(unsafe cps_stat(fd, nothing, CPS_STAT_BIRTH, &raw), "fstat")
        return PosixStatus(raw)
    }

    func chmod(_ mode: UInt32) throws(PosixCallFailure) {
        try answer(cps_fchmod(fd, mode), "fchmod")
    }

    func chown(_ uid: UInt32?, _ gid: UInt32?) throws(PosixCallFailure) {
        try answer(cps_fchown(fd, uid ?? .max, gid ?? .max), "fchown")
    }

    /// The `FS_IOC_GETFLAGS` bits of chattr(1).
    func flags() throws(PosixCallFailure) -> UInt32 {
        var flags: UInt32 = 0
        try answer(unsafe cps_get_flags(fd, &flags), "FS_IOC_GETFLAGS")
        return flags
    }

    func setFlags(_ flags: UInt32) throws(PosixCallFailure) {
        try answer(cps_set_flags(fd, flags), "FS_IOC_SETFLAGS(\(flags))")
    }

    func setAttribute(
        _ name: String, _ value: [UInt8], _ flags: Int32 = 0
    ) throws(PosixCallFailure) {
        try answer(
            unsafe cps_fsetxattr(
                fd, PosixPath(name).terminated, value, value.count, flags), "fsetxattr(\(name))")
    }

    func attribute(_ name: String) throws(PosixCallFailure) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe cps_fgetxattr(fd, PosixPath(name).terminated, &buffer, buffer.count)
        return Array(buffer.prefix(Int(try answer(count, "fgetxattr(\(name))"))))
    }

    /// linkat(2) of the descriptor, through its name in /proc.
    func link(to target: PosixPath) throws(PosixCallFailure) {
        try procPath.link(to: target, follow: true)
    }

    /// linkat(2) with `AT_EMPTY_PATH`.
    func linkEmptyPath(to target: PosixPath) throws(PosixCallFailure) {
        let nothing: [UInt8] = [0]
        try answer(
            unsafe cps_link(fd, nothing, target.terminated, CPS_AT_EMPTY_PATH), "linkat(\(target))")
    }
}

/// Locks, which the kernel keeps.
extension PosixFile {
    /// A lock of this process, or of this open file; a length of 0 reaches to the end.
    func lock(
        _ type: Int32, _ start: Int64 = 0, _ length: Int64 = 0, openFile: Bool = false,
        wait: Bool = false
    ) throws(PosixCallFailure) {
        let result = cps_lock(fd, type, start, length, openFile ? 1 : 0, wait ? 1 : 0)
        try answer(result, "fcntl(F_SETLK, \(type), \(start), \(length))")
    }

    /// The type of a lock in the way, `F_UNLCK` when there is none.
    func lockInTheWay(
        of type: Int32, _ start: Int64 = 0, _ length: Int64 = 0, openFile: Bool = false
    ) throws(PosixCallFailure) -> Int32 {
        let result = cps_lock_test(fd, type, start, length, openFile ? 1 : 0)
        return Int32(try answer(result, "fcntl(F_GETLK)"))
    }

    func flock(_ operation: Int32) throws(PosixCallFailure) {
        try answer(cps_flock(fd, operation), "flock(\(operation))")
    }
}

extension PosixPath {
    /// Tries a lock in a child process.
    func lockInChild(
        _ type: Int32, _ start: Int64 = 0, _ length: Int64 = 0, openFile: Bool = false
    ) throws(PosixCallFailure) {
        let result = unsafe cps_lock_in_child(terminated, type, start, length, openFile ? 1 : 0)
        try answer(result, "fcntl(F_SETLK) in a child")
    }
}
