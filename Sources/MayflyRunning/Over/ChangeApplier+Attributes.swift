// Owners, modes, times, flags and extended attributes, as the changed tree has them.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

extension ChangeApplier {
    /// Gives what has a name the attributes that the tree has.
    ///
    /// - Parameter all: for what is new; else those that were changed.
    mutating func setAttributes(
        of folder: Int32, _ name: [CChar], from source: Int32, _ own: [CChar], _ status: stat,
        _ change: TreeChange, all: Bool
    ) throws(Errno) {
        if setsOwners {
            if all || change.aspects.contains(.owner) {
                try Self.checked(
                    unsafe fchownat(
                        folder, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW))
            }
        } else if all {
            keepOwner(of: folder, name, change)
        }
        if status.type != S_IFLNK, all || !change.aspects.isDisjoint(with: [.mode, .attributes]) {
            // What is no link now is one only where somebody else has put it there.
            let opened = unsafe openat(folder, name, CSYS_O_PATH | O_NOFOLLOW | O_CLOEXEC)
            try Self.checked(opened)
            defer { close(opened) }
            let path = PathBytes("/proc/self/fd/\(opened)")
            // Attributes first: they cannot be set of what its owner may not write.
            setXattrs(of: path, from: source, own, change)
            try Self.checked(
                unsafe path.withCString { unsafe chmod($0, status.st_mode & 0o7777) })
        }
        if all || change.aspects.contains(.time) {
            var times = [status.st_atim, status.st_mtim]
            if !all { times[0].tv_nsec = Self.leave }
            try Self.checked(unsafe utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW))
        }
        let hasFlags = status.type == S_IFREG || status.isFolder
        if hasFlags, all || change.aspects.contains(.flags) {
            // What may not be changed could not go to its place either.
            let code = unsafe csys_copy_file_flags(source, own, folder, name, all ? 0 : 1)
            if code != 0 { throw Errno(rawValue: code) }
        }
    }

    /// Leaves a time as it is: utimensat(2), `UTIME_OMIT`.
    static let leave = (1 << 30) - 2

    /// Gives the owner and the group of what is replaced, or the group of the folder where that hands its own
    /// on. Who may not give a file away owns it.
    func keepOwner(of folder: Int32, _ name: [CChar], _ change: TreeChange) {
        if let old = try? target.status(of: change.path) {
            if unsafe fchownat(folder, name, old.st_uid, old.st_gid, AT_SYMLINK_NOFOLLOW) == 0 {
                return
            }
            _ = unsafe fchownat(folder, name, .max, old.st_gid, AT_SYMLINK_NOFOLLOW)
        } else if let above = try? target.status(of: Self.folder(of: change.path)),
            above.st_mode & S_ISGID != 0
        {
            _ = unsafe fchownat(folder, name, .max, above.st_gid, AT_SYMLINK_NOFOLLOW)
        }
    }

    /// Has the extended attributes of one be those of another, access lists among them.
    mutating func setXattrs(
        of path: PathBytes, from source: Int32, _ own: [CChar], _ change: TreeChange
    ) {
        let opened = unsafe openat(source, own, CSYS_O_PATH | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else { return }
        defer { close(opened) }
        let wanted = Self.xattrs(of: PathBytes("/proc/self/fd/\(opened)"))
        let present = Self.xattrs(of: path)
        for name in present.keys where wanted[name] == nil {
            // The system gives one to each file by itself.
            if name.elementsEqual("security.selinux".utf8) { continue }
            _ = unsafe path.withCString { path in
                unsafe PathBytes(bytes: name).withCString { unsafe csys_remove_attribute(path, $0) }
            }
        }
        for (name, value) in wanted where present[name] != value {
            func set() -> Int32 {
                unsafe path.withCString { path in
                    unsafe PathBytes(bytes: name).withCString {
                        unsafe csys_set_attribute(path, $0, value, value.count)
                    }
                }
            }
            var code = set()
            // The mode that it is to have comes after.
            if code != 0, errno == EACCES, unsafe path.withCString({ unsafe chmod($0, 0o700) }) == 0
            {
                code = set()
            }
            // What only root may set was not set by who is not root.
            if code == 0 || !setsOwners && name.starts(with: "security.".utf8) { continue }
            let error = Errno(rawValue: errno)
            failures.append(
                "\(Self.text(change.path)): attribute \(PathBytes(bytes: name)) is not applied "
                    + "(\(error))")
        }
    }

    static func xattrs(of path: PathBytes) -> [[UInt8]: [UInt8]] {
        unsafe path.withCString { path in
            var names = [CChar](repeating: 0, count: 65536)
            let count = max(0, unsafe csys_list_attributes(path, &names, names.count))
            var found: [[UInt8]: [UInt8]] = [:]
            if count == 0 { return found }
            var value = [UInt8](repeating: 0, count: 65536)
            for name in names.prefix(count).split(separator: 0) {
                let length = unsafe csys_get_attribute(
                    path, Array(name) + [0], &value, value.count)
                if length >= 0 {
                    found[name.map { UInt8(bitPattern: $0) }] = Array(value.prefix(length))
                }
            }
            return found
        }
    }
}
