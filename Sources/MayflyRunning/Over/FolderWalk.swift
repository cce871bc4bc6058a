// FolderWalk: names below an open folder, reached without following any symbolic link.

import CMayflySystem
import Glibc
import SystemPackage

/// Opens folders below one that is open. Not for several threads.
final class FolderWalk {
    let root: Int32
    private var last: (path: ArraySlice<UInt8>, descriptor: Int32)?

    /// - Parameter root: stays open, and the caller's.
    init(_ root: Int32) { self.root = root }

    deinit { forget() }

    /// Closes what was opened, after names have been moved.
    func forget() {
        if let last { close(last.descriptor) }
        last = nil
    }

    /// The folder that a path lies in, open until the next call, and the path's last name.
    ///
    /// - Throws: errors of openat(2): `ENOENT` where a folder is missing, `ENOTDIR` or `ELOOP` where something
    ///   else has its name.
    func parent(of path: [UInt8]) throws(Errno) -> (folder: Int32, name: [CChar]) {
        let slash = path.lastIndex(of: UInt8(ascii: "/"))
        let name = path[(slash.map { $0 + 1 } ?? 0)...].map { CChar(bitPattern: $0) } + [0]
        guard let slash else { return (root, name) }
        let above = path[..<slash]
        if let last, last.path == above { return (last.descriptor, name) }
        let descriptor = try open(above)
        forget()
        last = (above, descriptor)
        return (descriptor, name)
    }

    /// The same with a folder that is the caller's to close.
    func parentKept(of path: [UInt8]) throws(Errno) -> (folder: Int32, name: [CChar]) {
        let slash = path.lastIndex(of: UInt8(ascii: "/"))
        let name = path[(slash.map { $0 + 1 } ?? 0)...].map { CChar(bitPattern: $0) } + [0]
        return (try open(path[..<(slash ?? 0)]), name)
    }

    /// Opens a folder, which is the caller's to close.
    func open(_ path: ArraySlice<UInt8>) throws(Errno) -> Int32 {
        let flags = CSYS_O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        var descriptor = unsafe openat(root, ".", flags)
        for part in path.split(separator: UInt8(ascii: "/")) where descriptor >= 0 {
            let name = part.map { CChar(bitPattern: $0) } + [0]
            let next = unsafe openat(descriptor, name, flags)
            let error = errno
            close(descriptor)
            errno = error
            descriptor = next
        }
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        return descriptor
    }

    /// What stat(2) tells of a path that is no folder's "."; the root's for the empty path.
    ///
    /// - Throws: errors of `parent(of:)` and of fstatat(2).
    func status(of path: [UInt8]) throws(Errno) -> stat {
        var status = stat()
        if path.isEmpty {
            guard unsafe fstat(root, &status) == 0 else { throw Errno(rawValue: errno) }
            return status
        }
        let (folder, name) = try parent(of: path)
        guard unsafe fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw Errno(rawValue: errno)
        }
        return status
    }

    /// The names in a folder.
    func names(in path: [UInt8]) throws(Errno) -> [[UInt8]] {
        let opened = try open(path[...])
        defer { close(opened) }
        let readable = unsafe openat(opened, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard readable >= 0 else { throw Errno(rawValue: errno) }
        guard let folder = unsafe fdopendir(readable) else {
            close(readable)
            throw .noMemory
        }
        defer { unsafe closedir(folder) }
        var names: [[UInt8]] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe Array(bytes.prefix { $0 != 0 })
            }
            if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
        }
        return names
    }
}

extension stat {
    var type: mode_t { st_mode & S_IFMT }
    var isFolder: Bool { type == S_IFDIR }
}
