// ReplacedFile: a file that is there whole or not at all.

internal import CMemory
internal import Glibc
internal import SystemPackage

enum ReplacedFile {
    /// Has a new file filled, and puts it in place of what has the name.
    ///
    /// The file has no name until it is whole, where the file system can do that: whoever is killed
    /// meanwhile leaves nothing.
    ///
    /// - Parameter fill: writes to an empty file, open for reading and writing.
    /// - Returns: bytes of the file.
    /// - Throws: `.usage` where the file cannot be made; `.system` when it cannot be filled, after
    ///   which nothing of it is left.
    @discardableResult
    static func write(
        _ path: String, _ fill: (Int32) throws(Errno) -> Void
    ) throws(MountError) -> UInt64 {
        let fresh = "\(path).\(getpid()).new"
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? "."
        var hasName = false
        var descriptor = unsafe open(String(folder), O_RDWR | CMEM_O_TMPFILE | O_CLOEXEC, 0o644)
        if descriptor < 0 {
            hasName = true
            descriptor = unsafe open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        }
        guard descriptor >= 0 else {
            throw MountError(
                .usage,
                "\(path) cannot be made (\(Errno(rawValue: errno))): name a file in a folder that "
                    + "may be written")
        }
        defer { close(descriptor) }
        do throws(Errno) {
            try fill(descriptor)
            var status = stat()
            guard fsync(descriptor) == 0, unsafe fstat(descriptor, &status) == 0 else {
                throw Errno(rawValue: errno)
            }
            if !hasName {
                let open = "/proc/self/fd/\(descriptor)"
                guard unsafe linkat(AT_FDCWD, open, AT_FDCWD, fresh, AT_SYMLINK_FOLLOW) == 0 else {
                    throw Errno(rawValue: errno)
                }
                hasName = true
            }
            guard unsafe rename(fresh, path) == 0 else { throw Errno(rawValue: errno) }
            return UInt64(status.st_size)
        } catch {
            if hasName { unsafe _ = unlink(fresh) }
            throw MountError(.system, "\(path) cannot be written (\(error)): look for room there")
        }
    }
}
