// OutputPlace: where a file that the user names as an output lies, found without being led astray.
//
// In a folder like /tmp anybody can plant a symbolic link, a fifo or a file under a name that
// somebody else is about to write. Linux refuses to follow and to open those where the sysctls
// fs.protected_symlinks, fs.protected_regular and fs.protected_fifos are set, which they are not
// everywhere. The same rules hold here whatever the sysctls say, and every step is taken relative to
// an open folder, so that nothing changes between a look and the use of what was seen.

internal import CMayflySystem
internal import Glibc
package import MayflyHost
internal import SystemPackage

/// A name in an open folder, with what the name leads to at the moment. Closes the folder.
final class OutputPlace {
    /// Opened with O_PATH.
    let folder: Int32
    /// The last part of the path, which is no symbolic link that may be followed further.
    let name: PathBytes
    /// Of what has the name; nil where nothing has.
    let status: stat?
    /// Whether the name is a link of procfs that leads to an open file, as /dev/stdout does.
    let isOpenFile: Bool

    private static let linksFollowed = 16

    private init(folder: Int32, name: PathBytes, status: stat?, isOpenFile: Bool) {
        self.folder = folder
        self.name = name
        self.status = status
        self.isOpenFile = isOpenFile
    }

    deinit { close(folder) }

    var isRegular: Bool { status.map { $0.st_mode & S_IFMT == S_IFREG } ?? false }

    /// Finds a path, following the symbolic links at its end that may be followed.
    ///
    /// - Parameter option: text in front of the path in errors, such as "--report ".
    /// - Throws: `.usage` where the folder is not there, a link must not be followed, or the path
    ///   names a directory.
    static func find(_ path: PathBytes, option: String = "") throws(MountError) -> OutputPlace {
        var folder: Int32 = AT_FDCWD
        var rest = path
        for _ in 0..<linksFollowed {
            let (above, name) = split(rest)
            guard !name.bytes.isEmpty, name != ".", name != ".." else {
                if folder >= 0 { close(folder) }
                throw MountError(.usage, "\(option)\(path) is a directory: name a file")
            }
            let next = unsafe above.withCString {
                unsafe openat(folder, $0, CSYS_O_PATH | O_DIRECTORY | O_CLOEXEC)
            }
            let error = Errno(rawValue: errno)
            if folder >= 0 { close(folder) }
            guard next >= 0 else {
                throw MountError(
                    .usage,
                    "\(option)\(path) cannot be made (\(error)): the folder it lies in must exist")
            }
            folder = next
            var status = stat()
            let found = unsafe name.withCString {
                unsafe fstatat(folder, $0, &status, AT_SYMLINK_NOFOLLOW)
            }
            guard found == 0 else {
                return OutputPlace(folder: folder, name: name, status: nil, isOpenFile: false)
            }
            guard status.st_mode & S_IFMT == S_IFLNK else {
                return OutputPlace(folder: folder, name: name, status: status, isOpenFile: false)
            }
            if csys_is_in_procfs(folder) != 0 {
                return OutputPlace(folder: folder, name: name, status: status, isOpenFile: true)
            }
            guard mayFollow(status, in: folder), let target = link(folder, name) else {
                close(folder)
                throw MountError(
                    .usage,
                    "\(option)\(path) is a symbolic link that another user has put into a folder "
                        + "where everybody may: remove it, or name another file")
            }
            rest = target
        }
        if folder >= 0 { close(folder) }
        throw MountError(
            .usage, "\(option)\(path) leads through too many symbolic links: name a file")
    }

    /// The folder of a path as openat(2) takes it, and the last name.
    private static func split(_ path: PathBytes) -> (folder: PathBytes, name: PathBytes) {
        guard let slash = path.bytes.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
        return (
            PathBytes(bytes: path.bytes[...slash]), PathBytes(bytes: path.bytes[(slash + 1)...])
        )
    }

    private static func link(_ folder: Int32, _ name: PathBytes) -> PathBytes? {
        var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe name.withCString { name in
            unsafe target.withUnsafeMutableBytes { buffer in
                unsafe readlinkat(
                    folder, name, buffer.baseAddress!.assumingMemoryBound(to: CChar.self),
                    buffer.count)
            }
        }
        return count > 0 ? PathBytes(bytes: target.prefix(count)) : nil
    }

    /// Whether a link may be followed.
    ///
    /// - Source: fs/namei.c, `may_follow_link()`.
    private static func mayFollow(_ link: stat, in folder: Int32) -> Bool {
        guard let above = sticky(folder, writableBy: S_IWOTH) else { return true }
        return link.st_uid == geteuid() || link.st_uid == above.st_uid
    }

    /// Whether what has the name may be written: not a file or fifo that somebody else has put into a
    /// folder where everybody may.
    ///
    /// - Source: fs/namei.c, `may_create_in_sticky()`.
    var mayWriteInto: Bool {
        guard let status, let above = Self.sticky(folder, writableBy: S_IWOTH | S_IWGRP) else {
            return true
        }
        return status.st_uid == geteuid() || status.st_uid == above.st_uid
    }

    /// What stat(2) tells of a folder that has the sticky bit and that others may write.
    private static func sticky(_ folder: Int32, writableBy others: mode_t) -> stat? {
        var status = stat()
        guard unsafe fstat(folder, &status) == 0, status.st_mode & S_ISVTX != 0,
            status.st_mode & others != 0
        else { return nil }
        return status
    }
}

/// An output that is written as it comes: a file, device or fifo that is there, or a new file.
package final class OutputFile {
    package let descriptor: Int32
    /// A regular file, which can be cut.
    package let isRegular: Bool
    /// Where it is, to remove it; nil for what was there before.
    private let made: OutputPlace?

    deinit { close(descriptor) }

    /// Opens a path for writing. A regular file that was there keeps what it holds until it is cut.
    ///
    /// - Parameter option: text in front of the path in errors, such as "--report ".
    /// - Throws: `.usage` with why it cannot be opened.
    package init(_ path: PathBytes, option: String = "") throws(MountError) {
        for _ in 0..<8 {
            let place = try OutputPlace.find(path, option: option)
            guard place.status != nil else {
                let made = unsafe place.name.withCString {
                    unsafe openat(
                        place.folder, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        mode_t(0o666))
                }
                if made < 0, errno == EEXIST { continue }
                guard made >= 0 else { throw Self.refused(path, option, errno) }
                descriptor = made
                isRegular = true
                self.made = place
                return
            }
            guard place.isOpenFile || place.mayWriteInto else {
                throw MountError(
                    .usage,
                    "\(option)\(path) is another user's, in a folder where everybody may make files: "
                        + "name another file")
            }
            let flags = O_WRONLY | O_CLOEXEC | (place.isOpenFile ? 0 : O_NOFOLLOW)
            let found = unsafe place.name.withCString { unsafe openat(place.folder, $0, flags) }
            if found < 0, errno == ENOENT || errno == ELOOP { continue }
            guard found >= 0 else { throw Self.refused(path, option, errno) }
            var (before, now) = (place.status ?? stat(), stat())
            unsafe _ = fstat(found, &now)
            let isSame = (before.st_dev, before.st_ino) == (now.st_dev, now.st_ino)
            before = now
            guard isSame || place.isOpenFile else {
                close(found)
                continue
            }
            descriptor = found
            isRegular = before.st_mode & S_IFMT == S_IFREG
            made = nil
            return
        }
        throw MountError(
            .usage, "\(option)\(path) is changed by somebody else all the time: name another")
    }

    private static func refused(_ path: PathBytes, _ option: String, _ error: Int32) -> MountError {
        MountError(
            .usage,
            "\(option)\(path) cannot be written (\(Errno(rawValue: error))): name another file")
    }

    /// Removes the file if it was made here, and cuts it otherwise.
    func discard() {
        if isRegular { ftruncate(descriptor, 0) }
        if let made { _ = unsafe made.name.withCString { unsafe unlinkat(made.folder, $0, 0) } }
    }
}
