// ReplacedFile: a file that is there whole or not at all.

internal import Glibc
internal import SystemPackage

enum ReplacedFile {
    /// Has a new file filled, and puts it in place of what has the name.
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
        let descriptor = unsafe open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw MountError(
                .usage,
                "\(path) cannot be made (\(Errno(rawValue: errno))): name a file in a folder that "
                    + "the server may write")
        }
        defer { close(descriptor) }
        do throws(Errno) {
            try fill(descriptor)
            var status = stat()
            guard fsync(descriptor) == 0, unsafe fstat(descriptor, &status) == 0,
                unsafe rename(fresh, path) == 0
            else { throw Errno(rawValue: errno) }
            return UInt64(status.st_size)
        } catch {
            unsafe unlink(fresh)
            throw MountError(.system, "\(path) cannot be written (\(error)): look for room there")
        }
    }
}
