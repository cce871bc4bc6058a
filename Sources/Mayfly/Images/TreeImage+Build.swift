// Images are built of folders and archives, alone or as layers, and layers become plain images.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
public import MayflyHost
internal import MayflyImages
internal import SystemPackage

/// How far a build is.
public struct BuildProgress: Sendable, Equatable {
    /// Entries of the source that are in the image.
    public var entries: UInt64
    /// Bytes of files that are in it.
    public var contentBytes: UInt64
    /// Bytes of the source that were read.
    public var readBytes: UInt64
    /// Bytes that the source has, where that is known.
    public var sourceBytes: UInt64?

    package init(
        entries: UInt64, contentBytes: UInt64, readBytes: UInt64, sourceBytes: UInt64?
    ) {
        self.entries = entries
        self.contentBytes = contentBytes
        self.readBytes = readBytes
        self.sourceBytes = sourceBytes
    }
}

/// What a build has made.
public struct BuildSummary: Codable, Sendable, Equatable {
    /// The image.
    public var path: String
    /// Entries that were put in.
    public var entries: UInt64
    /// Bytes of files.
    public var contentBytes: UInt64
    /// Bytes of the image, holes among them.
    public var fileBytes: UInt64
    /// What of the source is not in the image.
    public var warnings: [String]
}

extension TreeImage {
    /// Builds an image of a directory or an archive.
    ///
    /// The same input gives the same bytes: names come sorted from a directory and as they stand from
    /// an archive, and no time of the build is kept.
    ///
    /// - Parameters:
    ///   - source: a directory; an archive in a form that libarchive knows; "-" for an archive on the
    ///     standard input.
    ///   - path: replaced when the image is whole.
    ///   - oneFileSystem: leaves out what is mounted in the directory.
    ///   - progress: called for each entry.
    /// - Throws: what cannot be read or written, with its path; nothing is left at `path` then.
    public static func build(
        from source: String, to path: String, oneFileSystem: Bool = false,
        progress: (BuildProgress) -> Void = { _ in }
    ) throws(MountError) -> BuildSummary {
        try build(
            from: PathBytes(source), to: PathBytes(path), oneFileSystem: oneFileSystem,
            progress: progress)
    }

    /// The same for paths as they are.
    ///
    /// - Parameters:
    ///   - source: as text has it.
    ///   - path: replaced when the image is whole.
    ///   - base: an image that a layer is made on; nil for a plain image.
    ///   - oneFileSystem: leaves out what is mounted in the directory.
    ///   - progress: called for each entry.
    public static func build(
        from source: PathBytes, to path: PathBytes, on base: PathBytes? = nil,
        oneFileSystem: Bool = false, progress: (BuildProgress) -> Void = { _ in }
    ) throws(MountError) -> BuildSummary {
        if path == "-" { throw MountError.noStream("OUT", "an image") }
        if let base {
            return try buildLayer(source, path, base, oneFileSystem, progress)
        }
        let tree = try Self.source(source, oneFileSystem: oneFileSystem)
        var built: BuiltImage?
        let bytes = try ReplacedFile.write(
            path,
            filling: { descriptor throws(MountError) in
                built = try FileSignals.held { () throws(MountError) in
                    try Self.build(tree, to: descriptor, progress: progress)
                }
            })
        return BuildSummary(
            path: path.text, entries: built?.entries ?? 0, contentBytes: built?.contentBytes ?? 0,
            fileBytes: bytes, warnings: built?.warnings ?? [])
    }

    /// Builds an image beside the layer, and keeps only what differs.
    private static func buildLayer(
        _ source: PathBytes, _ path: PathBytes, _ base: PathBytes, _ oneFileSystem: Bool,
        _ progress: (BuildProgress) -> Void
    ) throws(MountError) -> BuildSummary {
        let image = try ImageFile(path: ImageStore.found(base))
        try KnownImages.prove(image)
        let tree = try Self.source(source, oneFileSystem: oneFileSystem)
        let whole = unsafe ImageChain.folder(of: HostFile.canonicalParent(path) ?? path).withCString
        { unsafe Glibc.open($0, O_RDWR | CSYS_O_TMPFILE | O_CLOEXEC, mode_t(0o600)) }
        guard whole >= 0 else {
            throw MountError(
                .usage,
                "\(path) cannot be made (\(Errno(rawValue: errno))): name a file in a folder that may "
                    + "be written, on a file system with unnamed files (O_TMPFILE)")
        }
        let built: BuiltImage
        do throws(MountError) {
            built = try FileSignals.held { () throws(MountError) in
                try build(tree, to: whole, progress: progress)
            }
        } catch {
            close(whole)
            throw error
        }
        let file = try ImageFile(descriptor: whole, path: source, isOwn: true)
        let save = TreeSave(base: file.base, store: try open(file))
        defer { save.store.unmap() }
        var written: WrittenLayer?
        let bytes = try ReplacedFile.write(
            path,
            filling: { descriptor throws(MountError) in
                written = try save.writeLayer(
                    to: descriptor, on: image, named: ImageChain.name(of: image.path))
            })
        if let written { KnownImages.add(path, written.digest) }
        return BuildSummary(
            path: path.text, entries: built.entries, contentBytes: built.contentBytes,
            fileBytes: bytes, warnings: built.warnings)
    }

    /// Builds an image that lives as long as it is used, in memory that is asked for as it grows.
    ///
    /// - Parameter limits: what the image may hold.
    static func temporary(
        of source: PathBytes, within limits: ImageLimits
    ) throws(MountError) -> ImageFile {
        let tree = try Self.source(source, oneFileSystem: false)
        return try temporary(of: source) { descriptor throws(MountError) in
            _ = try build(tree, to: descriptor, within: limits, inMemory: true) { _ in }
        }
    }

    /// The same for who fills the file.
    static func temporary(
        of source: PathBytes, filling fill: (Int32) throws(MountError) -> Void
    ) throws(MountError) -> ImageFile {
        let descriptor = unsafe csys_memory_file("mayfly-image")
        guard descriptor >= 0 else {
            throw MountError(.system, "no memory file can be made: raise `ulimit -n`")
        }
        do throws(MountError) {
            try FileSignals.held { () throws(MountError) in try fill(descriptor) }
        } catch {
            close(descriptor)
            throw error
        }
        _ = csys_seal(descriptor)
        return try ImageFile(descriptor: descriptor, path: source, isOwn: true)
    }

    private static func build(
        _ source: TreeSource, to descriptor: Int32, within limits: ImageLimits = ImageLimits(),
        inMemory: Bool = false, progress: (BuildProgress) -> Void
    ) throws(MountError) -> BuiltImage {
        try MountError.checkPages()
        var total: UInt64?
        if case .archive(let path) = source {
            var status = stat()
            if unsafe PathBytes(bytes: path).withCString({ unsafe stat($0, &status) }) == 0 {
                total = UInt64(status.st_size)
            }
        }
        do throws(TreeError) {
            return try ImageBuilder.build(
                source, to: descriptor, within: limits, inMemory: inMemory
            ) {
                progress(
                    BuildProgress(
                        entries: $0, contentBytes: $1, readBytes: $2, sourceBytes: total))
            }
        } catch {
            throw MountError.tree(error)
        }
    }

    private static func source(
        _ path: PathBytes, oneFileSystem: Bool
    ) throws(MountError) -> TreeSource {
        if path == "-" { return .stream(STDIN_FILENO) }
        var status = stat()
        guard unsafe path.withCString({ unsafe stat($0, &status) }) == 0 else {
            throw MountError(
                .usage,
                "\(setting: .from) \(path) cannot be read (\(Errno(rawValue: errno))): name a directory, an archive "
                    + "(tar, cpio, zip and others), or - for an archive on the standard input")
        }
        return status.st_mode & S_IFMT == S_IFDIR
            ? .directory(path.bytes, oneFileSystem: oneFileSystem) : .archive(path.bytes)
    }

    /// Writes a layer with all that is below it as one plain image.
    ///
    /// - Parameter path: replaced when the image is whole.
    /// - Returns: bytes of the image, holes among them.
    /// - Throws: `.usage` for a damaged image; `.system` when the file cannot be written.
    /// - Complexity: O(bytes in use).
    @discardableResult
    public func flatten(to path: PathBytes) throws(MountError) -> UInt64 {
        if path == "-" { throw MountError.noStream("OUT", "an image") }
        return try ReplacedFile.write(
            path, filling: { descriptor throws(MountError) in try flatten(into: descriptor) })
    }

    /// The same into an empty file.
    func flatten(into descriptor: Int32) throws(MountError) {
        try KnownImages.prove(file)
        let file = try file.guarded(isOnlyRead: false)
        let store = try Self.open(file)
        defer { store.unmap() }
        try file.checkForServing(store)
        try Self.writing { () throws(Errno) in
            try store.writeImage(to: descriptor, base: file.base.mapping)
        }
        if file.base.isChanged { throw file.changed }
    }

    /// Turns what the system says of a file that is written into a line.
    static func writing(_ body: () throws(Errno) -> Void) throws(MountError) {
        do throws(Errno) { try FileSignals.held(body) } catch {
            throw MountError(.system, "an image cannot be written (\(error)): look for room there")
        }
    }
}
