// Images as files: looking into them, checking, comparing and exporting them.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
public import MayflyHost
public import MayflyImages
internal import SystemPackage

/// An image in a file.
public struct TreeImage: Sendable {
    let file: ImageFile

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

    static func open(_ file: ImageFile) throws(MountError) -> InodeStore {
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
