// Images that come from elsewhere, file by file: the plain one first, then each layer. A file has no name, and
// whoever receives it holds it, so that nobody removes it before the image has its name.
//
// What has come so far lies in partial/DIGEST, a folder for each file that is received, which one process at a
// time has locked. `image store gc` removes those that nobody has.

internal import CMayflySystem
internal import Glibc
package import MayflyArena
package import MayflyHost
internal import SystemPackage

extension ImageStore {
    /// An image of the store that was compared with what it says; nil where it is not there, or is damaged.
    ///
    /// - Throws: `.usage` where the store cannot be used.
    package static func held(_ digest: ImageDigest) throws(MountError) -> CarriedImage? {
        guard holds(digest), let path = path(of: digest) else { return nil }
        do throws(MountError) {
            let image = try CarriedImage(proving: path)
            return image.digest == digest ? image : nil
        } catch { return nil }
    }

    /// Has a file of an image written into the store, and proves it there.
    ///
    /// - Parameters:
    ///   - digest: what it must have.
    ///   - origin: where it comes from, for errors.
    ///   - fill: writes it to an empty file.
    /// - Returns: the image, which nobody removes as long as this is there. One that is there already stays.
    /// - Throws: `.usage` where it is not what it should be; nothing is in the store then.
    package static func receive(
        _ digest: ImageDigest, from origin: String, _ fill: (Int32) throws(MountError) -> Void
    ) throws(MountError) -> CarriedImage {
        try receive(digest, from: origin, in: nil, fill)
    }

    private static func receive(
        _ digest: ImageDigest, from origin: String, in given: Int32?,
        _ fill: (Int32) throws(MountError) -> Void
    ) throws(MountError) -> CarriedImage {
        var damaged = false
        if holds(digest) { damaged = try held(digest) == nil }
        return try place(
            replaces: damaged, in: given,
            { descriptor throws(MountError) in
                try fill(descriptor)
                guard ImageChain.digest(of: descriptor) == digest else {
                    throw MountError(
                        .usage,
                        "\(origin) says that it has the image \(digest.short), and what it has is another: ask "
                            + "who made it")
                }
                let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
                guard copy >= 0 else {
                    throw MountError(
                        .system, "an image cannot be opened again: raise `ulimit -n`")
                }
                try KnownImages.prove(
                    try ImageFile(descriptor: copy, path: PathBytes(origin)))
            },
            finish: { folder, digest throws(MountError) in
                try CarriedImage(
                    try ImageFile(path: folder + "/images/" + PathBytes(digest.hexadecimal)))
            })
    }

    /// An empty file without a name, which `receive(_:from:writtenTo:)` puts into the store when it is filled.
    ///
    /// - Throws: `.system` where the store's file system has no such files.
    package static func emptyFile(bytes: UInt64) throws(MountError) -> Int32 {
        let descriptor = unnamedFile(in: try ready())
        guard descriptor >= 0, ftruncate(descriptor, off_t(bytes)) == 0 else {
            let error = Errno(rawValue: errno)
            if descriptor >= 0 { close(descriptor) }
            throw MountError(
                .system,
                "no file without a name can be made in the store (\(error)): bring the image there with `mayfly image pull` first"
            )
        }
        return descriptor
    }

    /// Puts such a file into the store when it is proved.
    ///
    /// - Parameters:
    ///   - digest: what it must have.
    ///   - origin: where it comes from, for errors.
    ///   - descriptor: the file, which stays open.
    /// - Throws: as the other.
    package static func receive(
        _ digest: ImageDigest, from origin: String, writtenTo descriptor: Int32
    ) throws(MountError) -> CarriedImage {
        try receive(digest, from: origin, in: descriptor) { _ throws(MountError) in }
    }

    /// Gives an image of the store a name.
    package static func name(
        _ name: PathBytes, _ image: CarriedImage
    ) throws(MountError) -> StoredImage {
        try checkName(name)
        return try whileLocked { folder throws(MountError) in
            try setName(name, to: image.digest, in: folder)
            sweep(folder)
            return stored(name, image.digest, in: folder)
        }
    }

    /// The file of an image that is held.
    package static func path(of image: CarriedImage) throws(MountError) -> PathBytes {
        guard let path = path(of: image.digest) else { throw refusal() }
        return path
    }

    // MARK: what has come so far

    /// The parts of a file, for who keeps several.
    package final class PartsLock: Sendable {
        package let parts: Parts

        /// Waits until no other process has the folder.
        ///
        /// - Parameter waiting: called where that takes time.
        package init(of digest: ImageDigest, waiting: () -> Void) throws(MountError) {
            parts = try Parts(of: digest, waiting: waiting)
        }
    }

    /// A folder for the parts of a file that is received. Only one process has it at a time.
    package struct Parts: ~Copyable {
        package let folder: PathBytes
        private let lock: Int32

        /// Waits until no other process has the folder.
        ///
        /// - Parameter waiting: called where that takes time.
        package init(
            of digest: ImageDigest, waiting: () -> Void
        ) throws(MountError) {
            let store = try ImageStore.ready()
            guard ImageStore.make("partial") else { throw ImageStore.refusal() }
            let folder = store + "/partial/" + PathBytes(digest.hexadecimal)
            lock = try Self.locked(folder, waiting)
            self.folder = folder
        }

        private static func locked(
            _ folder: PathBytes, _ waiting: () -> Void
        ) throws(MountError) -> Int32 {
            while true {
                _ = unsafe folder.withCString { unsafe mkdir($0, 0o700) }
                let lock = unsafe folder.withCString {
                    unsafe open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
                }
                guard lock >= 0 else { throw ImageStore.refusal() }
                if flock(lock, LOCK_EX | LOCK_NB) != 0 {
                    waiting()
                    while flock(lock, LOCK_EX) != 0, errno == EINTR {}
                }
                // Whoever had it has perhaps removed it at its end.
                var (mine, named) = (stat(), stat())
                if unsafe fstat(lock, &mine) == 0,
                    unsafe folder.withCString({ unsafe stat($0, &named) }) == 0,
                    mine.st_ino == named.st_ino
                {
                    return lock
                }
                close(lock)
            }
        }

        deinit { close(lock) }

        /// Removes all that has come.
        package func remove() { ImageStore.removeFolder(folder) }
    }

    fileprivate static func removeFolder(_ folder: PathBytes) {
        for name in HostFile.namesIfReadable(in: folder) ?? [] {
            _ = unsafe (folder + "/" + PathBytes(name)).withCString { unsafe unlink($0) }
        }
        _ = unsafe folder.withCString { unsafe rmdir($0) }
    }

    /// Removes parts of images that nobody receives any more.
    static func removeParts(_ store: PathBytes) {
        for name in HostFile.namesIfReadable(in: store + "/partial") ?? [] {
            let folder = store + "/partial/" + PathBytes(name)
            let lock = unsafe folder.withCString {
                unsafe open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            }
            guard lock >= 0 else { continue }
            if flock(lock, LOCK_EX | LOCK_NB) == 0 { removeFolder(folder) }
            close(lock)
        }
    }

    // MARK: notes

    /// What was noted of a file of an image by `note`, if the file is what it was.
    ///
    /// - Parameter kind: a word without dots and slashes.
    package static func noted(_ kind: String, of file: CarriedImage.File) -> [UInt8]? {
        KnownImages.noted(kind, of: file.descriptor, file.digest)
    }

    /// Notes something of a file that was read, for as long as nobody changes it.
    package static func note(_ bytes: [UInt8], _ kind: String, of file: CarriedImage.File) {
        KnownImages.note(bytes, kind, of: file.descriptor, file.digest)
    }
}
