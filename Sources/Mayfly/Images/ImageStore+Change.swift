// The store as it is changed: images that come whole or not at all, names that lead to them, and what
// nothing leads to any more.
//
//     images/DIGEST      an image or a layer; the name is what is in it
//     names/NAME         a symbolic link to one of them
//     known/             notes of files that were compared (KnownImages.swift)
//     partial/DIGEST/    what has come of an image that is being pulled (ImageStore+Receive.swift)
//     lock               held while names change
//
// An image is written without a name, and gets one when it is on the disk. A name is a link that is
// renamed over the old one. So whoever is killed leaves the old image or the new one. An image in use
// has a shared lock (flock(2)) of each process that has it open, and is not removed.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import MayflyArena
package import MayflyHost
internal import SystemPackage

/// An image of the store, as it is listed.
package struct StoredImage: Codable, Sendable, Equatable {
    /// Nil for one that only others are layers on.
    package var name: String?
    /// "sha256:" and 64 digits.
    package var digest: String
    /// What the file takes on disk.
    package var diskBytes: UInt64
    /// Of a layer: what it is on.
    package var base: String?
    /// Layers from a plain image to this one; 0 for a plain one.
    package var depth: UInt64
    /// When it was used last by its name, in seconds since 1970.
    package var usedSeconds: Int64?
}

extension ImageStore {
    /// The folder with what is needed in it.
    static func ready() throws(MountError) -> PathBytes {
        guard make("images"), make("names"), make("known"), let folder else { throw refusal() }
        return folder
    }

    /// Calls `body` while nobody else changes names.
    static func whileLocked<Result>(
        _ body: (PathBytes) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        let folder = try ready()
        let lock = unsafe (folder + "/lock").withCString {
            unsafe open($0, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        }
        guard lock >= 0 else { throw refusal() }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else {
                throw MountError(
                    .system, "the store \(folder) cannot be locked (\(Errno(rawValue: errno)))")
            }
        }
        return try body(folder)
    }

    /// - Throws: `.usage` for what no image may be called.
    package static func checkName(_ name: PathBytes) throws(MountError) {
        if isName(name) { return }
        throw MountError(
            .usage,
            "'\(name)' is no name for an image: give up to 255 bytes without blanks and slashes, which do "
                + "not begin with - or .")
    }

    /// Whether images can be put in, and where the store is made for that.
    ///
    /// - Throws: `.usage` where they cannot.
    package static func checkWritable() throws(MountError) { _ = try ready() }

    // MARK: putting in

    /// Has an image written, and gives it a name when it is whole.
    ///
    /// - Parameters:
    ///   - name: what had it before is given up, when nothing else needs it.
    ///   - fill: writes an image or a layer to an empty file.
    /// - Returns: the image.
    /// - Throws: what `fill` throws; nothing is changed then. `.usage` for a bad name.
    package static func put(
        _ name: PathBytes, _ fill: (Int32) throws(MountError) -> Void
    ) throws(MountError) -> StoredImage {
        try checkName(name)
        return try place(
            fill,
            finish: { folder, digest throws(MountError) in
                try setName(name, to: digest, in: folder)
                sweep(folder)
                return stored(name, digest, in: folder)
            })
    }

    /// A file for an image, which nobody else can open: open(2), O_TMPFILE. -1 with errno where the store's file
    /// system has none.
    static func unnamedFile(in folder: PathBytes) -> Int32 {
        unsafe (folder + "/images").withCString {
            unsafe open($0, O_RDWR | CSYS_O_TMPFILE | O_CLOEXEC, mode_t(0o600))
        }
    }

    /// Has an image written that is to be in the store, by its digest.
    ///
    /// - Parameters:
    ///   - replaces: whether it takes the place of one of the same digest, which may be damaged.
    ///   - given: a file without a name, which stays open; nil where one is to be made.
    ///   - fill: writes an image or a layer to an empty file.
    ///   - finish: called with the folder and the digest while names are locked.
    static func place<Result>(
        replaces: Bool = true, in given: Int32? = nil, _ fill: (Int32) throws(MountError) -> Void,
        finish: (PathBytes, ImageDigest) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        let folder = try ready()
        let fresh = folder + PathBytes("/images/.new-\(UInt64.random(in: .min ... .max))")
        // With a name of its own where there are no unnamed files; `sweep` removes it.
        var descriptor = given ?? unnamedFile(in: folder)
        let hasName = descriptor < 0
        if hasName {
            descriptor = unsafe fresh.withCString {
                unsafe open($0, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(0o600))
            }
        }
        guard descriptor >= 0 else { throw refusal() }
        defer {
            if given == nil { close(descriptor) }
            if hasName { _ = unsafe fresh.withCString { unsafe unlink($0) } }
        }
        _ = flock(descriptor, LOCK_SH | LOCK_NB)
        try fill(descriptor)
        guard let digest = ImageChain.digest(of: descriptor) else {
            throw MountError(.usage, "what was to be put into the store is no image")
        }
        guard fsync(descriptor) == 0 else { throw unwritable(Errno(rawValue: errno)) }
        return try whileLocked { folder throws(MountError) in
            let path = folder + "/images/" + PathBytes(digest.hexadecimal)
            try checkBase(descriptor)
            let isThere = unsafe path.withCString { unsafe access($0, F_OK) } == 0
            if isThere && !replaces { return try finish(folder, digest) }
            // One that is there may have been damaged since: this one was written just now.
            if isThere { _ = unsafe path.withCString { unsafe unlink($0) } }
            let linked = unsafe path.withCString { path in
                hasName
                    ? unsafe fresh.withCString { unsafe link($0, path) }
                    : unsafe linkat(
                        AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, path, AT_SYMLINK_FOLLOW)
            }
            guard linked == 0 else { throw unwritable(Errno(rawValue: errno)) }
            KnownImages.add(descriptor, digest)
            return try finish(folder, digest)
        }
    }

    static func unwritable(_ error: Errno) -> MountError {
        MountError(
            .system,
            "an image cannot be written to the store (\(error)): look for room there, or remove some "
                + "(`mayfly image store gc --limit SIZE`)")
    }

    /// A layer whose base is gone would be of no use to anybody.
    private static func checkBase(_ descriptor: Int32) throws(MountError) {
        guard let layer = try? LayerFile(reading: descriptor), !holds(layer.base) else { return }
        throw MountError(
            .usage,
            "it is a layer on \(layer.base.short), which is not in the store: `mayfly image store add` "
                + "that first")
    }

    static func setName(
        _ name: PathBytes, to digest: ImageDigest, in folder: PathBytes
    ) throws(MountError) {
        let path = folder + "/names/" + name
        let fresh = folder + PathBytes("/names/.new-\(UInt64.random(in: .min ... .max))")
        let target = PathBytes("../images/\(digest.hexadecimal)")
        let code = unsafe fresh.withCString { fresh in
            unsafe target.withCString { unsafe symlink($0, fresh) }
        }
        guard code == 0 else { throw unwritable(Errno(rawValue: errno)) }
        let isRenamed = unsafe fresh.withCString { fresh in
            unsafe path.withCString { unsafe rename(fresh, $0) }
        }
        guard isRenamed == 0 else {
            let error = Errno(rawValue: errno)
            _ = unsafe fresh.withCString { unsafe unlink($0) }
            throw unwritable(error)
        }
        for part in ["/images", "/names"] { sync(folder + PathBytes(part)) }
    }

    private static func sync(_ folder: PathBytes) {
        let descriptor = unsafe folder.withCString {
            unsafe open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        if descriptor < 0 { return }
        fsync(descriptor)
        close(descriptor)
    }

    /// Copies an image or a layer into the store, once it is compared with all that it says.
    ///
    /// - Parameters:
    ///   - path: a layer's base must be in the store, or is taken as well when `withBases`.
    ///   - name: nil for the file's, without ".mayfly".
    package static func add(
        _ path: PathBytes, as name: PathBytes? = nil
    ) throws(MountError) -> StoredImage {
        let file = try ImageFile(path: path)
        try KnownImages.prove(file)
        let pages = file.pages
        let name = name ?? Self.name(of: path)
        return try put(name) { descriptor throws(MountError) in
            let source = pages.layers.last?.descriptor ?? pages.descriptor
            var status = stat()
            guard unsafe fstat(source, &status) == 0, ftruncate(descriptor, status.st_size) == 0
            else { throw unwritable(Errno(rawValue: errno)) }
            let code = csys_copy_range(source, descriptor, 0, UInt64(status.st_size))
            if code != 0 { throw unwritable(Errno(rawValue: code)) }
            // What was copied is what was compared.
            if !KnownImages.areKnown(pages) { throw file.changed }
        }
    }

    private static func name(of path: PathBytes) -> PathBytes {
        let name = path.names.last.map { Array($0) } ?? []
        let end = Array(".mayfly".utf8)
        return PathBytes(
            bytes: name.count > end.count && name.suffix(end.count).elementsEqual(end)
                ? Array(name.dropLast(end.count)) : name)
    }

    // MARK: looking

    /// All images: those with names, sorted by them, and then those that only others need.
    package static func list() throws(MountError) -> [StoredImage] {
        guard let folder, isTrusted else { return [] }
        var found = names(in: folder).map { stored($0.name, $0.digest, in: folder) }
        let named = Set(found.map(\.digest))
        found += images(in: folder).filter { !named.contains($0.text) }
            .map { stored(nil, $0, in: folder) }
        return found
    }

    private static func names(
        in folder: PathBytes
    ) -> [(name: PathBytes, digest: ImageDigest)] {
        let names = HostFile.namesIfReadable(in: folder + "/names") ?? []
        return names.map { PathBytes($0) }.filter(isName).sorted().compactMap { name in
            HostFile.linkBytes(at: folder + "/names/" + name)
                .flatMap { $0.names.last }
                .flatMap { ImageDigest(String(decoding: $0, as: UTF8.self)) }
                .map { (name, $0) }
        }
    }

    private static func images(in folder: PathBytes) -> [ImageDigest] {
        (HostFile.namesIfReadable(in: folder + "/images") ?? []).sorted()
            .compactMap { ImageDigest($0) }
    }

    static func stored(
        _ name: PathBytes?, _ digest: ImageDigest, in folder: PathBytes
    ) -> StoredImage {
        var status = stat()
        let path = folder + "/images/" + PathBytes(digest.hexadecimal)
        unsafe _ = path.withCString { unsafe stat($0, &status) }
        let layer = layer(at: path)
        return StoredImage(
            name: name?.text, digest: digest.text, diskBytes: UInt64(status.st_blocks) * 512,
            base: layer?.base.text, depth: layer?.depth ?? 0,
            usedSeconds: name.map { used($0, in: folder) / 1_000_000_000 })
    }

    /// When an image was used last by its name, in nanoseconds since 1970; 0 where that is not known.
    private static func used(_ name: PathBytes, in folder: PathBytes) -> Int64 {
        var link = stat()
        unsafe _ = (folder + "/names/" + name).withCString { unsafe lstat($0, &link) }
        return Int64(link.st_mtim.tv_sec) * 1_000_000_000 + Int64(link.st_mtim.tv_nsec)
    }

    /// What the file of an image is a layer on; nil for a plain one.
    private static func layer(at path: PathBytes) -> (base: ImageDigest, depth: UInt64)? {
        let descriptor = unsafe path.withCString { unsafe open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return LayerFile.base(reading: descriptor)
    }

    // MARK: taking out

    /// Gives names up, and the images that nothing needs any more.
    ///
    /// - Throws: `.usage` for a name that there is not; the others are given up all the same.
    package static func remove(_ names: [PathBytes]) throws(MountError) {
        try whileLocked { folder throws(MountError) in
            var missing: [PathBytes] = []
            for name in names {
                let path = folder + "/names/" + name
                guard isName(name), unsafe path.withCString({ unsafe unlink($0) }) == 0 else {
                    missing.append(name)
                    continue
                }
            }
            sweep(folder)
            if let first = missing.first { throw Self.missing(first) }
        }
    }

    /// Gives up what was not used for longest, until the store takes no more than a limit.
    ///
    /// Images in use, and those that such are layers on, stay.
    ///
    /// - Parameter limit: bytes on disk; nil to remove only what nothing needs.
    /// - Returns: names that were given up, and the bytes that the store takes now.
    package static func collect(
        limit: UInt64?
    ) throws(MountError) -> (removed: [PathBytes], bytes: UInt64) {
        try whileLocked { folder throws(MountError) in
            sweep(folder)
            removeParts(folder)
            var removed: [PathBytes] = []
            var bytes = diskBytes(in: folder)
            guard let limit else { return (removed, bytes) }
            let oldest = names(in: folder)
                .map { (name: $0.name, digest: $0.digest, used: used($0.name, in: folder)) }
                .sorted { $0.used < $1.used }
            for (name, digest, _) in oldest where bytes > limit {
                if isInUse(folder + "/images/" + PathBytes(digest.hexadecimal)) { continue }
                guard unsafe (folder + "/names/" + name).withCString({ unsafe unlink($0) }) == 0
                else { continue }
                removed.append(name)
                sweep(folder)
                bytes = diskBytes(in: folder)
            }
            return (removed, bytes)
        }
    }

    private static func diskBytes(in folder: PathBytes) -> UInt64 {
        images(in: folder).reduce(0) { $0 + stored(nil, $1, in: folder).diskBytes }
    }

    /// Removes images that no name and no layer of a name leads to, but for those in use.
    ///
    /// - Precondition: names are locked.
    static func sweep(_ folder: PathBytes) {
        var needed: Set<ImageDigest> = []
        for (_, digest) in names(in: folder) {
            var next: ImageDigest? = digest
            while let image = next, needed.insert(image).inserted {
                next = layer(at: folder + "/images/" + PathBytes(image.hexadecimal))?.base
            }
        }
        // A layer in use needs what it is on.
        var waiting = images(in: folder).filter { !needed.contains($0) }
        while let index = waiting.firstIndex(where: {
            isInUse(folder + "/images/" + PathBytes($0.hexadecimal))
        }) {
            var next: ImageDigest? = waiting.remove(at: index)
            while let image = next, needed.insert(image).inserted {
                waiting.removeAll { $0 == image }
                next = layer(at: folder + "/images/" + PathBytes(image.hexadecimal))?.base
            }
        }
        for image in waiting {
            _ = unsafe (folder + "/images/" + PathBytes(image.hexadecimal))
                .withCString { unsafe unlink($0) }
        }
        // What somebody left who was killed.
        for name in HostFile.namesIfReadable(in: folder + "/images") ?? []
        where name.hasPrefix(".new-") {
            let path = folder + PathBytes("/images/\(name)")
            if !isInUse(path) { _ = unsafe path.withCString { unsafe unlink($0) } }
        }
        for name in HostFile.namesIfReadable(in: folder + "/names") ?? []
        where name.hasPrefix(".new-") {
            _ = unsafe (folder + PathBytes("/names/\(name)")).withCString { unsafe unlink($0) }
        }
        forgetGone(folder)
    }

    /// Notes of images that were in the store and are not any more.
    private static func forgetGone(_ folder: PathBytes) {
        let kept = Set(images(in: folder).map(\.hexadecimal))
        let notes = HostFile.namesIfReadable(in: folder + "/known") ?? []
        // Notes of files elsewhere stay, unless there are very many.
        guard notes.count > 4096 else { return }
        for note in notes where !kept.contains(String(note.prefix(64))) {
            _ = unsafe (folder + PathBytes("/known/\(note)")).withCString { unsafe unlink($0) }
        }
    }

    private static func isInUse(_ path: PathBytes) -> Bool {
        let descriptor = unsafe path.withCString { unsafe open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }
}
