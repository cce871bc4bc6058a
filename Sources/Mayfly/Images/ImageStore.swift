// ImageStore: images of one user by name and by digest, in a folder of the user's own (Docs/Images.md).

internal import CMayflySystem
internal import Glibc
internal import MayflyArena
package import MayflyHost
internal import SystemPackage

/// The images of this user.
package enum ImageStore {
    /// Where it is, whether it is there or not: $XDG_DATA_HOME/mayfly, or /var/lib/mayfly for root, or
    /// ~/.local/share/mayfly. Nil for who has no home.
    ///
    /// Found once, before a namespace changes who this process seems to be.
    package static let folder: PathBytes? = {
        if let data = ProcessArguments.variable("XDG_DATA_HOME"), data.isAbsolute {
            return data + "/mayfly"
        }
        if geteuid() == 0 { return "/var/lib/mayfly" }
        guard let home = ProcessArguments.variable("HOME"), home.isAbsolute else { return nil }
        return home + "/.local/share/mayfly"
    }()

    /// Whether the folder is there, and nobody but its owner, who is this user, can put anything in it.
    static var isTrusted: Bool {
        guard let folder else { return false }
        var status = stat()
        return unsafe folder.withCString { unsafe stat($0, &status) } == 0
            && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & 0o022 == 0
    }

    /// Makes the folder and one in it; false where that cannot be, or others may write there.
    static func make(_ name: String) -> Bool {
        guard let folder else { return false }
        var path = PathBytes(bytes: [])
        for part in folder.names {
            path = path + "/" + PathBytes(bytes: part)
            _ = unsafe path.withCString { unsafe mkdir($0, 0o700) }
        }
        guard isTrusted else { return false }
        let place = folder + "/" + PathBytes(name)
        return unsafe place.withCString { unsafe mkdir($0, 0o700) == 0 || errno == EEXIST }
    }

    /// The file of an image of a digest; there may be none.
    static func path(of digest: ImageDigest) -> PathBytes? {
        isTrusted ? folder.map { $0 + "/images/" + PathBytes(digest.hexadecimal) } : nil
    }

    /// Keeps an image of the store for as long as it is open: nobody removes it meanwhile.
    ///
    /// - Parameters:
    ///   - descriptor: open as long as the image is needed, also as another one of its duplicates.
    ///   - path: where it was opened; nothing is done for a file elsewhere.
    static func hold(_ descriptor: Int32, _ path: PathBytes) {
        guard let folder, (HostFile.canonical(path) ?? path).bytes.starts(with: folder.bytes)
        else { return }
        _ = flock(descriptor, LOCK_SH | LOCK_NB)
    }

    /// Whether an image is in the store.
    static func holds(_ digest: ImageDigest) -> Bool {
        guard let path = path(of: digest) else { return false }
        return unsafe path.withCString { unsafe access($0, R_OK) } == 0
    }

    /// Whether images may be called so: up to 255 bytes that can be printed, without blanks and slashes,
    /// and that look like no option and no path.
    package static func isName(_ name: PathBytes) -> Bool {
        LayerFile.isName(name.bytes)
            && name.bytes.allSatisfy { $0 > 32 && $0 != 127 }
            && name.bytes.first != UInt8(ascii: "-") && name.bytes.first != UInt8(ascii: ".")
    }

    /// Where an image of a name is, if there is one.
    static func path(named name: PathBytes) -> PathBytes? {
        guard let folder, isName(name), isTrusted else { return nil }
        let path = folder + "/names/" + name
        return unsafe path.withCString { unsafe access($0, F_OK) } == 0 ? path : nil
    }

    /// What a path or a name leads to: a name without a slash that is no file here is looked up in the
    /// store.
    ///
    /// - Returns: the path itself where the store has nothing of that name.
    package static func found(_ path: PathBytes) -> PathBytes {
        if path.bytes.contains(UInt8(ascii: "/")) { return path }
        var status = stat()
        if unsafe path.withCString({ unsafe lstat($0, &status) }) == 0 { return path }
        guard let stored = self.path(named: path) else { return path }
        // When it was used last, for `gc`.
        _ = unsafe stored.withCString {
            unsafe utimensat(AT_FDCWD, $0, nil, AT_SYMLINK_NOFOLLOW)
        }
        return stored
    }

    /// Whether there is a file of that name here, or an image in the store.
    package static func isThere(_ path: PathBytes) -> Bool {
        unsafe found(path).withCString { unsafe access($0, F_OK) } == 0
    }

    /// Whether what a name leads to is in the store, and not a file here.
    package static func isFound(_ path: PathBytes) -> Bool { found(path) != path }

    /// What is said where a name was looked up in the store; nil for a file here.
    package static func line(on name: PathBytes) -> String? {
        guard isFound(name), let file = HostFile.canonical(found(name)),
            let digest = file.names.last.flatMap({
                ImageDigest(String(decoding: $0, as: UTF8.self))
            })
        else { return nil }
        return "\(name) is taken from the store: \(digest.short)"
    }

    /// The folder, or an image in it.
    ///
    /// - Throws: `.usage` where there is none of that name, or no folder at all.
    package static func place(of name: PathBytes?) throws(MountError) -> PathBytes {
        guard let folder else { throw refusal() }
        guard let name else { return folder }
        guard let path = path(named: name), let file = HostFile.canonical(path) else {
            throw missing(name)
        }
        return file
    }

    static func missing(_ name: PathBytes) -> MountError {
        MountError(
            .usage, code: .noSuchImage,
            "there is no \(name) in the store: `mayfly image store list` tells what there is")
    }

    static func refusal() -> MountError {
        guard let folder else {
            return MountError(
                .usage, "there is no HOME to have a store in: set HOME or XDG_DATA_HOME")
        }
        return MountError(
            .usage,
            "the store \(folder) cannot be made, or others may write there: make it a folder of yours "
                + "with mode 0700, or set XDG_DATA_HOME")
    }

    /// The same as an absolute path, for another process.
    ///
    /// - Throws: `.usage` where nothing is there.
    package static func absolute(_ path: PathBytes) throws(MountError) -> PathBytes {
        guard let absolute = HostFile.canonical(found(path)) else {
            throw MountError(
                .usage, code: .noSuchImage,
                "there is no \(path), neither a file nor in the store: name an image "
                    + "(`mayfly image store list`)")
        }
        return absolute
    }
}
