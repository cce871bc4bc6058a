// ImageFile: an image that a mount starts from, opened and judged by its first page.

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import MayflyImages
internal import SystemPackage

/// An open image. Closed with the last mount that needs it.
struct ImageFile: Sendable {
    /// The file; of one that is guarded, with what was copied of it.
    let base: SnapshotBase
    /// Whether this process has made it, in memory where nobody else changes it.
    let isOwn: Bool
    let header: ImageHeader
    /// What the user called it.
    let path: PathBytes

    /// What the image is made of.
    var pages: ImagePages {
        guard let pages = base.mapping.pages else {
            preconditionFailure("ImageFile.pages: an image without files")
        }
        return pages
    }

    /// Whether it is a layer, of which there is a base.
    var isLayer: Bool { !pages.layers.isEmpty }

    /// Opens an image, or a layer with what is below it.
    ///
    /// - Throws: `.usage`: it is not there, cannot be read, or is no image that can be used; or what it
    ///   is a layer on is not there.
    init(path: PathBytes) throws(MountError) {
        try MountError.checkPages()
        let descriptor = unsafe path.withCString {
            unsafe open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        guard descriptor >= 0 else {
            throw MountError(
                .usage, code: .noSuchImage,
                "\(path) cannot be opened (\(Errno(rawValue: errno))): name an image")
        }
        try self.init(descriptor: descriptor, path: path)
    }

    /// An image as it is, or one that is built of a directory or an archive for the time of its use.
    ///
    /// - Parameter limits: what one that is built may hold.
    init(from path: PathBytes, within limits: ImageLimits) throws(MountError) {
        let path = ImageStore.found(path)
        var status = stat()
        let isThere = unsafe path.withCString { unsafe stat($0, &status) } == 0
        let isFile = isThere && status.st_mode & S_IFMT == S_IFREG
        if path == "-" || (isThere && !isFile) || (isFile && !Self.begins(path)) {
            self = try TreeImage.temporary(of: path, within: limits)
        } else if !isThere {
            throw MountError(
                .usage, code: .noSuchImage,
                "\(setting: .from) \(path) cannot be opened (\(Errno(rawValue: errno))): name \(Self.sources)"
            )
        } else {
            try self.init(path: path)
        }
    }

    /// What a tree can come from.
    static let sources =
        "an image, a directory, an archive (tar, cpio, zip and others), or - for an "
        + "archive on the standard input"

    /// Whether a file begins as an image does, be it whole or not.
    private static func begins(_ path: PathBytes) -> Bool {
        let descriptor = unsafe path.withCString { unsafe open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return true }  // which will be said when it is opened
        defer { close(descriptor) }
        var word: UInt64 = 0
        let code = unsafe csys_read_all(descriptor, &word, 8, 0)
        return code != 0 || word == Superblock.magicValue || word == LayerWord.magicValue
    }

    /// - Parameters:
    ///   - descriptor: taken over.
    ///   - isOwn: whether this process has made it.
    init(descriptor: Int32, path: PathBytes, isOwn: Bool = false) throws(MountError) {
        let image = try ImageChain.open(descriptor, path)
        header = image.header
        base = SnapshotBase(image: BaseMapping(image.pages), name: path.text)
        self.path = path
        self.isOwn = isOwn
    }

    /// Opens an image of which not all is here yet.
    ///
    /// - Throws: `.mount` where its names and maps do not come.
    init(_ arriving: ArrivingImage, path: PathBytes) throws(MountError) {
        try MountError.checkPages()
        let image = try arriving.pages(path)
        header = image.header
        base = SnapshotBase(image: BaseMapping(image.pages), name: path.text)
        self.path = path
        isOwn = false
    }

    private init(base: SnapshotBase, header: ImageHeader, path: PathBytes) {
        self.base = base
        self.header = header
        self.path = path
        isOwn = false
    }

    /// The same image, of which nobody can change what a store believes, nor content unseen.
    ///
    /// - Parameter isOnlyRead: whether its checksum is to stay what it is.
    /// - Throws: `.usage` when it is cut meanwhile, `.system` when there is no memory for it.
    func guarded(isOnlyRead: Bool) throws(MountError) -> ImageFile {
        if isOwn { return self }
        // What comes is compared before it is used, each run by its digest.
        let isProved = pages.arrival != nil
        if isLayer && !isOnlyRead && !isProved { try KnownImages.prove(self) }
        let pages: ImagePages
        do throws(Errno) { pages = try self.pages.duplicated() } catch {
            throw MountError(.system, "\(path) cannot be opened again: raise `ulimit -n`")
        }
        let mapping: BaseMapping
        do throws(ImageError) {
            mapping = try FileSignals.held { () throws(ImageError) in
                try BaseFile.mapping(of: pages, header, isOnlyRead: isOnlyRead)
            }
        } catch {
            pages.close()
            switch error {
            case .system(.fileTooLarge):
                throw MountError(
                    .system,
                    "\(path) takes a file in memory that is larger than the limit of file sizes: "
                        + "raise `ulimit -f`")
            case .system(.ioError):
                if let arrival = self.pages.arrival { throw ArrivingImage.absent(path, arrival) }
                throw changed
            case .system(let error):
                throw MountError(
                    .system,
                    "\(path) cannot be copied to memory (\(error)): free some, or raise limits")
            default: throw MountError(.usage, code: .damagedImage, error.described(path))
            }
        }
        let file = ImageFile(
            base: SnapshotBase(image: mapping, name: path.text), header: header, path: path)
        // The guard looks from here on; what was proved is from before.
        if isLayer && !isOnlyRead && !isProved, !KnownImages.areKnown(pages) { throw changed }
        return file
    }

    /// What was read is perhaps neither the old file nor the new one.
    var changed: MountError {
        MountError(
            .usage, code: .changedImage,
            "\(path) was changed while it was read: use it when nobody writes it")
    }

    private var noMemory: MountError {
        MountError(
            .system, code: .noMemory,
            "there is no memory for the names and maps of \(path): free some, or raise the memory limit"
        )
    }

    /// Proves what a mount relies on, or knows that it was proved.
    ///
    /// - Parameter store: just opened from this image.
    /// - Throws: `.usage` with the first thing that is wrong; `.system` when there is no memory for what
    ///   must be copied to be believed.
    /// - Complexity: O(pages with maps) where it is known; else O(inodes, names and pages of content).
    func checkForServing(_ store: InodeStore) throws(MountError) {
        if isOwn { return }
        let pages = pages
        if pages.arrival == nil, let maps = KnownImages.maps(of: pages) {
            guard store.bring(maps) else { throw base.isChanged ? changed : noMemory }
            return
        }
        let report = store.worker(0).checkForServing()
        if base.isChanged { throw changed }
        if report.lacksMemory { throw noMemory }
        guard let problem = report.problems.first else {
            if pages.arrival != nil { return }
            return KnownImages.addMaps(store.broughtRuns, of: pages)
        }
        throw MountError(
            .usage, code: .damagedImage,
            "\(path) is damaged (\(problem)): get it again; `mayfly image check` tells all of it")
    }
}

extension ImageError {
    static func wrapping<Result>(
        _ body: () throws(Errno) -> Result
    ) throws(ImageError) -> Result {
        do throws(Errno) { return try body() } catch { throw .system(error) }
    }

    /// One line that says what is wrong with the file, and what to do.
    func described(_ path: PathBytes) -> String {
        switch self {
        case .system(.invalidArgument):
            "\(path) was made for fewer threads than this machine's mounts have: build it anew"
        case .system(let error): "\(path) cannot be read (\(error)): look at its permissions"
        case .foreign:
            "\(path) is not a mayfly image: make one with `mayfly image build`"
        case .version(let version) where version > Superblock.sharingVersion:
            "\(path) is an image of format \(version), this mayfly reads \(Superblock.sharingVersion):"
                + " use a newer mayfly"
        case .version(let version):
            "\(path) is an image of format \(version), this mayfly reads \(Superblock.formatVersion):"
                + " build it anew"
        case .length(let size, let expected):
            "\(path) is \(size < expected ? "truncated" : "too long"): it has \(size) bytes, and says"
                + " that it has \(expected): get it again"
        case .damagedHeader: "\(path) is damaged: its first page is not what it was: get it again"
        case .unfinished: "\(path) was never finished: build it anew"
        case .layerVersion(let version):
            "\(path) is a layer of format \(version), this mayfly reads \(LayerWord.formatVersion): "
                + "save it anew, or use another mayfly"
        case .damagedLayer(let what): "\(path) is a damaged layer (\(what)): get it again"
        }
    }
}

extension MountConfiguration {
    /// What an image may hold that is built for the mount: the limits that were asked for.
    var unpackingLimits: ImageLimits {
        var limits = ImageLimits()
        if let sizeBytes, sizeBytes != 0 { limits.pages = max(1, sizeBytes / SizeText.pageBytes) }
        if let inodes, inodes != 0 { limits.inodes = max(1, inodes) }
        return limits
    }

    /// - Throws: `.usage` when limits were asked for that are below what an image holds.
    func checkRoom(for file: ImageFile) throws(MountError) {
        let bytes = file.header.pagesInUse * SizeText.pageBytes
        let count = file.header.inodeSpaceInUse / InodeStore.inodeSpaceUnit
        if let sizeBytes, sizeBytes != 0, sizeBytes < bytes {
            throw MountError(
                .usage, code: .badSize,
                "\(file.path) holds \(SizeText.described(bytes: bytes)): give a larger \(setting: .size)"
            )
        }
        if let inodes, inodes != 0, inodes < count {
            throw MountError(
                .usage, code: .badSize,
                "\(file.path) holds \(count) inodes: give more \(setting: .inodes)")
        }
    }
}

/// What a mount's tree is at first.
enum TreeOrigin: Sendable {
    case empty
    case image(ImageFile)
    case snapshot(StoreSnapshot)

    /// The file behind it, of which the mount is a private mapping.
    var base: SnapshotBase? {
        switch self {
        case .empty: nil
        case .image(let file): file.base
        case .snapshot(let snapshot): snapshot.base
        }
    }

    /// Workers that a store of it can have.
    var shardCount: Int {
        switch self {
        case .empty: Geometry.mostShards
        case .image(let file): file.header.shardCount
        case .snapshot(let snapshot): snapshot.shardCount
        }
    }

    /// What a store of it is before anything is changed; nil where that is nothing.
    func start(of store: InodeStore) -> StoreSnapshot? {
        switch self {
        case .empty: nil
        case .image(let file): store.start(of: file.base)
        case .snapshot(let snapshot): snapshot
        }
    }
}
