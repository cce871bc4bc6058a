// ReplacedFile: a file that is there whole or not at all.

internal import CMayflySystem
internal import Glibc
package import MayflyHost
internal import SystemPackage

package enum ReplacedFile {
    /// Has a new file filled, and puts it in place of what has the name.
    ///
    /// The file has no name until it is whole, where the file system can do that: whoever is killed
    /// meanwhile leaves nothing. Only a regular file is replaced. It is never written into, so that
    /// nobody who has it open, or has made it, sees what is written here.
    ///
    /// - Parameters:
    ///   - umask: takes permission bits from 0666; nil for this process's. A file of the same owner
    ///     that is replaced keeps its permissions.
    ///   - isNew: whether it is an error that something has the name.
    ///   - fill: writes to an empty file, open for reading and writing.
    /// - Returns: bytes of the file.
    /// - Throws: `.usage` where the file cannot be made; `.system` when it cannot be filled, after
    ///   which nothing of it is left.
    @discardableResult
    static func write(
        _ path: PathBytes, umask: UInt32? = nil, isNew: Bool = false,
        _ fill: (Int32) throws(Errno) -> Void
    ) throws(MountError) -> UInt64 {
        try write(
            path, umask: umask, isNew: isNew,
            filling: { descriptor throws(MountError) in
                do throws(Errno) {
                    try FileSignals.held { () throws(Errno) in try fill(descriptor) }
                } catch { throw failure(path, error) }
            })
    }

    /// The same for who has a line of its own for what goes wrong.
    @discardableResult
    package static func write(
        _ path: PathBytes, umask: UInt32? = nil, isNew: Bool = false,
        filling fill: (Int32) throws(MountError) -> Void
    ) throws(MountError) -> UInt64 {
        let place = try OutputPlace.find(path)
        try checkReplaceable(place, path, isNew: isNew)
        let fresh: PathBytes = ".mayfly-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        var hasName = false
        // Nobody else reads it before it is whole and has its permissions.
        var descriptor = unsafe openat(
            place.folder, ".", O_RDWR | CSYS_O_TMPFILE | O_CLOEXEC, mode_t(0o600))
        if descriptor < 0 {
            hasName = true
            descriptor = unsafe fresh.withCString {
                unsafe openat(
                    place.folder, $0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    mode_t(0o600))
            }
        }
        guard descriptor >= 0 else {
            throw MountError(
                .usage,
                "\(path) cannot be made (\(Errno(rawValue: errno))): name a file in a folder that "
                    + "may be written")
        }
        defer { close(descriptor) }
        do throws(MountError) { try fill(descriptor) } catch {
            if hasName { _ = unsafe fresh.withCString { unsafe unlinkat(place.folder, $0, 0) } }
            throw error
        }
        do throws(Errno) {
            var status = stat()
            guard fchmod(descriptor, permissions(place, umask)) == 0, fsync(descriptor) == 0,
                unsafe fstat(descriptor, &status) == 0
            else { throw Errno(rawValue: errno) }
            if !hasName {
                // A name that is free is taken at once; else the file takes another's place.
                let name = place.status == nil ? place.name : fresh
                guard link(descriptor, place.folder, name) else { throw Errno(rawValue: errno) }
                if name == place.name { return UInt64(status.st_size) }
                hasName = true
            }
            let renamed = unsafe fresh.withCString { fresh in
                unsafe place.name.withCString {
                    unsafe renameat(place.folder, fresh, place.folder, $0)
                }
            }
            guard renamed == 0 else {
                throw Errno(rawValue: errno)
            }
            return UInt64(status.st_size)
        } catch {
            if hasName { _ = unsafe fresh.withCString { unsafe unlinkat(place.folder, $0, 0) } }
            throw failure(path, error)
        }
    }

    private static func checkReplaceable(
        _ place: OutputPlace, _ path: PathBytes, isNew: Bool
    ) throws(MountError) {
        guard let status = place.status else { return }
        if isNew {
            throw MountError(.usage, "\(path) exists by now: name a file that nobody else makes")
        }
        guard place.isRegular else {
            let kind =
                switch status.st_mode & S_IFMT {
                case S_IFDIR: "a directory"
                case S_IFCHR, S_IFBLK: "a device"
                case S_IFIFO: "a fifo"
                case S_IFSOCK: "a socket"
                default: "no regular file"
                }
            throw MountError(.usage, "\(path) is \(kind), which is not replaced: name a file")
        }
    }

    private static func permissions(_ place: OutputPlace, _ umask: UInt32?) -> mode_t {
        if let old = place.status, old.st_uid == geteuid() { return old.st_mode & 0o777 }
        return 0o666 & ~mode_t((umask ?? ProcessFacts.umask) & 0o777)
    }

    /// Gives an unnamed file a name that is free.
    private static func link(_ descriptor: Int32, _ folder: Int32, _ name: PathBytes) -> Bool {
        unsafe name.withCString {
            unsafe linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", folder, $0, AT_SYMLINK_FOLLOW)
        } == 0
    }

    private static func failure(_ path: PathBytes, _ error: Errno) -> MountError {
        switch error {
        case .fileExists:
            MountError(.usage, "\(path) was made by somebody else meanwhile: name another file")
        case .fileTooLarge:
            MountError(
                .system,
                "\(path) cannot be written (\(error)): raise `ulimit -f` of the process that writes it"
            )
        default:
            MountError(.system, "\(path) cannot be written (\(error)): look for room there")
        }
    }
}
