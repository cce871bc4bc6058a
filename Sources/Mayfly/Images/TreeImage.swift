// TreeImage: images as files: building, looking into, checking, comparing and exporting them.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
public import MayflyHost
public import MayflyImages
internal import SystemPackage

/// What an image is and holds, as its first page says.
public struct ImageInformation: Codable, Sendable, Equatable {
    /// As it was opened.
    public var path: String
    /// Docs/ImageFormat.md has them.
    public var formatVersion: UInt64
    /// Bytes of the file, holes among them.
    public var fileBytes: UInt64
    /// What the file takes on disk.
    public var diskBytes: UInt64
    /// Content as a mount counts it: whole pages.
    public var contentBytes: UInt64
    /// Files, directories and further links, as a mount counts them.
    public var inodes: UInt64
    /// Threads of a mount that it has shards for.
    public var shards: Int
    /// "sha256:" and 64 digits: what the image is, wherever it lies.
    public var digest: String
    /// Of a layer: what it is on, and so on down to a plain image. Empty for one that is plain.
    public var bases: [ImageBase]
    /// Of a layer: bytes of the pages in which it differs from its base.
    public var pageBytes: UInt64?
}

/// What a layer is on.
public struct ImageBase: Codable, Sendable, Equatable {
    /// What it was called when the layer was made, without a folder.
    public var name: String
    /// "sha256:" and 64 digits.
    public var digest: String
}

/// One name in an image.
public struct ImageEntry: Codable, Sendable, Equatable {
    /// From the root, without a slash in front; "." is the root.
    public var path: String
    /// st_mode.
    public var mode: UInt32
    /// Its owner.
    public var userID: UInt32
    /// Its group.
    public var groupID: UInt32
    /// Names that it has.
    public var links: UInt32
    /// Bytes; of a directory as stat(2) tells.
    public var size: UInt64
    /// Seconds since 1970, and nanoseconds.
    public var modified: [Int64]
    /// Of a symbolic link.
    public var target: String?
}

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

/// An image in a file.
public struct TreeImage: Sendable {
    private let file: ImageFile

    /// Opens an image and judges its first page.
    ///
    /// - Throws: `.usage` with what is wrong with it.
    /// - Complexity: O(1).
    public init(_ path: String) throws(MountError) { try self.init(PathBytes(path)) }

    /// The same for a path as it is.
    public init(_ path: PathBytes) throws(MountError) {
        file = try ImageFile(path: ImageStore.found(path))
    }

    init(_ file: ImageFile) { self.file = file }

    /// What its first page says.
    public var information: ImageInformation {
        var status = stat()
        let pages = file.pages
        unsafe _ = fstat(pages.layers.last?.descriptor ?? pages.descriptor, &status)
        let bases = pages.layers.reversed().map {
            ImageBase(name: PathBytes(bytes: $0.file.baseName).text, digest: $0.file.base.text)
        }
        return ImageInformation(
            path: file.path.text, formatVersion: file.header.version,
            fileBytes: UInt64(status.st_size), diskBytes: UInt64(status.st_blocks) * 512,
            contentBytes: file.header.pagesInUse * SizeText.pageBytes,
            inodes: file.header.inodeSpaceInUse / InodeStore.inodeSpaceUnit,
            shards: file.header.shardCount, digest: pages.digests[0].text, bases: bases,
            pageBytes: pages.layers.last?.file.pageBytes)
    }

    // MARK: building

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

    // MARK: looking into it

    /// Calls `body` with a store over the image, once the image is proved to be sound.
    private func withStore<Result>(
        _ body: (InodeStore) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        if file.isLayer { try KnownImages.prove(file) }
        let file = try file.guarded(isOnlyRead: true)
        let store = try Self.open(file)
        defer { store.unmap() }
        let problems = problems(store, Self.report(of: store, file))
        guard problems.isEmpty else {
            throw MountError(
                .usage, code: .damagedImage,
                "\(file.path) is damaged (\(problems[0])): `mayfly image check` tells all of it")
        }
        let result = try body(store)
        if file.base.isChanged { throw file.changed }
        return result
    }

    private static func open(_ file: ImageFile) throws(MountError) -> InodeStore {
        do throws(ImageError) {
            return try InodeStore(
                image: file.base, header: file.header, pageLimit: 1, inodeLimit: 1, workerCount: 1)
        } catch { throw MountError(.usage, error.described(file.path)) }
    }

    /// Everything that is wrong with the tree.
    private static func report(of store: InodeStore, _ file: ImageFile) -> CheckReport {
        // Nothing of layers is mapped: what lies among pages of content is brought first.
        if file.isLayer {
            let report = store.worker(0).checkForServing()
            if !report.isSound { return report }
        }
        return store.worker(0).check()
    }

    /// Proves that the image is sound and that every byte is what was written.
    func proveWhole() throws(MountError) { try withStore { _ throws(MountError) in } }

    private func problems(_ store: InodeStore, _ report: CheckReport) -> [String] {
        if !report.problems.isEmpty { return report.problems }
        if report.orphans > 0 { return ["\(report.orphans) inodes without a name"] }
        // A layer's pages were compared with their digests. Only what is sound can be walked for its
        // checksum.
        if file.isLayer { return [] }
        if store.arena.bodyChecksum() != file.header.bodyChecksum {
            return ["content is not what was written: its checksum differs"]
        }
        return []
    }

    /// Proves that everything in the image is as it must be and as it was written.
    ///
    /// - Throws: `.usage` when it cannot even be opened.
    /// - Complexity: O(everything), in time and memory.
    public func check() throws(MountError) -> CheckSummary {
        let start = cmem_monotonic_nanoseconds()
        if file.isLayer { try KnownImages.prove(file, anew: true) }
        let file = try file.guarded(isOnlyRead: true)
        let store = try Self.open(file)
        defer { store.unmap() }
        let report = Self.report(of: store, file)
        let problems = problems(store, report)
        if file.base.isChanged { throw file.changed }
        return CheckSummary(
            problems: problems, inodes: report.inodes, orphans: report.orphans,
            directories: report.directories, entries: report.dentries,
            contentBytes: report.pages * SizeText.pageBytes,
            nanoseconds: cmem_monotonic_nanoseconds() - start)
    }

    /// Calls `body` with everything at and below a path.
    ///
    /// - Parameters:
    ///   - path: from the root; nil for all.
    ///   - body: gets one name after the other.
    /// - Throws: `.usage` for a damaged image, or when there is nothing at the path.
    public func list(
        below path: String? = nil, _ body: (ImageEntry) -> Void
    ) throws(MountError) {
        try list(at: path.map { PathBytes($0) }, body)
    }

    /// The same for a path as it is.
    package func list(
        at path: PathBytes?, _ body: (ImageEntry) -> Void
    ) throws(MountError) {
        let slash = UInt8(ascii: "/")
        let wanted = Array(
            (path?.names ?? []).filter { $0 != [UInt8(ascii: ".")] }.joined(separator: [slash]))
        let count = try withStore { store throws(MountError) in
            var count = 0
            let worker = store.worker(0)
            worker.walk { (entry: TreeEntry) in
                guard
                    wanted.isEmpty || entry.path == wanted
                        || entry.path.starts(with: wanted + [slash])
                else { return }
                count += 1
                body(ImageEntry(entry, worker))
            }
            return count
        }
        if count == 0 { throw MountError(.usage, "there is no \(path ?? "") in \(file.path)") }
    }

    /// Writes the tree as a tar archive.
    ///
    /// - Parameters:
    ///   - descriptor: need not be seekable.
    ///   - progress: gets the bytes that are written so far.
    /// - Returns: what is not in the archive: a line for each socket.
    /// - Throws: `.usage` for a damaged image; `.system` for what cannot be written.
    @discardableResult
    public func exportTar(
        to descriptor: Int32, progress: (UInt64) -> Void = { _ in }
    ) throws(MountError) -> [String] {
        try withStore { store throws(MountError) in
            do throws(TreeError) {
                return try FileSignals.held { () throws(TreeError) in
                    try TreeExporter.writeTar(store, to: descriptor, progress: progress)
                }
            } catch { throw MountError(.system, error.description) }
        }
    }

    /// Writes the tree as a tar archive to a file, which is touched once the image is proved sound.
    ///
    /// - Parameter path: a file to make or to overwrite, or a device or fifo. The end of its name says
    ///   how it is compressed: .gz, .xz, .zst and others.
    /// - Returns: as `exportTar(to:progress:)`.
    /// - Throws: as that; `.usage` when the file cannot be opened. Part of a new file is not left.
    @discardableResult
    public func exportTar(toFile path: String) throws(MountError) -> [String] {
        try exportTar(toFile: PathBytes(path))
    }

    /// The same for a path as it is.
    @discardableResult
    public func exportTar(toFile path: PathBytes) throws(MountError) -> [String] {
        let form = try ArchiveForm.ofTar(path, option: "the archive")
        return try withStore { store throws(MountError) in
            let output = try OutputFile(path)
            var (target, image) = (stat(), stat())
            unsafe _ = fstat(output.descriptor, &target)
            unsafe _ = fstat(file.base.descriptor, &image)
            guard (target.st_dev, target.st_ino) != (image.st_dev, image.st_ino) else {
                throw MountError(.usage, "\(path) is the image itself: name another file")
            }
            if output.isRegular { ftruncate(output.descriptor, 0) }
            do throws(TreeError) {
                return try FileSignals.held { () throws(TreeError) in
                    try TreeExporter.writeTar(store, to: output.descriptor, filter: form.filter)
                }
            } catch {
                output.discard()
                throw MountError(.system, error.description)
            }
        }
    }

    /// What is different in another image.
    ///
    /// - Parameters:
    ///   - other: the newer one.
    ///   - report: called for each path that was added, removed or changed.
    /// - Throws: `.usage` when one of them is damaged.
    public func compare(
        with other: TreeImage, report: (TreeDifference) -> Void
    ) throws(MountError) {
        try withStore { old throws(MountError) in
            try other.withStore { new throws(MountError) in
                TreeDiff.compare(old, new) {
                    report($0)
                    return true
                }
            }
        }
    }
}

extension ImageEntry {
    /// - Precondition: the worker is entered.
    init(_ entry: TreeEntry, _ worker: StoreWorker) {
        let a = entry.attributes
        let isLink = entry.type == FileMode.symlink
        let target = isLink ? unsafe (try? worker.readLink(entry.node)) : nil
        self.init(
            path: entry.path.isEmpty ? "." : entry.text, mode: a.mode, userID: a.userID,
            groupID: a.groupID, links: a.links, size: a.size,
            modified: [a.modificationTime.seconds, Int64(a.modificationTime.nanoseconds)],
            target: unsafe target.map { unsafe ByteText.text(of: Array($0)) })
    }
}
