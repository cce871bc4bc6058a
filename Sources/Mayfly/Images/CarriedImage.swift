// CarriedImage: an image that is on its way to another place: its files, each of them proved, and open for as
// long as it takes.

internal import Glibc
internal import InodeStore
package import MayflyArena
package import MayflyHost
internal import SystemPackage

/// An open image with all that it is on.
package struct CarriedImage: Sendable {
    /// One of its files.
    package struct File: Sendable {
        package let digest: ImageDigest
        /// Open as long as the image is.
        package let descriptor: Int32
        /// What the file has, holes among it.
        package let bytes: UInt64
        /// Of a layer: what it is on.
        package let base: ImageDigest?
    }

    let file: ImageFile
    /// The plain image first.
    package let files: [File]

    /// Pages of content and inodes, as a mount counts them.
    package var contentBytes: UInt64 { file.header.pagesInUse * SizeText.pageBytes }
    package var inodes: UInt64 { file.header.inodeSpaceInUse / InodeStore.inodeSpaceUnit }
    /// Of the uppermost file.
    package var digest: ImageDigest { file.pages.digests[0] }

    init(_ file: ImageFile) throws(MountError) {
        self.file = file
        let pages = file.pages
        var files = [(pages.descriptor, pages.digest, ImageDigest?.none)]
        files += pages.layers.map { ($0.descriptor, $0.file.digest, $0.file.base) }
        self.files = try files.map { one throws(MountError) in
            var status = stat()
            guard unsafe fstat(one.0, &status) == 0 else {
                throw MountError(
                    .system, "\(file.path) cannot be read (\(Errno(rawValue: errno)))")
            }
            return File(
                digest: one.1, descriptor: one.0, bytes: UInt64(status.st_size), base: one.2)
        }
    }

    /// Opens an image by path or name, and compares all of it with what it says, unless that is known.
    ///
    /// - Throws: `.usage` with what is wrong with it.
    package init(proving path: PathBytes) throws(MountError) {
        let file = try ImageFile(path: ImageStore.found(path))
        try KnownImages.prove(file)
        try self.init(file)
    }

    /// Whether its files are still what they were.
    package func checkUnchanged() throws(MountError) {
        if !KnownImages.areKnown(file.pages) { throw file.changed }
    }

    /// Has a tree for every kind of entry counted.
    ///
    /// - Complexity: O(entries), after what a check of the image takes.
    package func counts() throws(MountError) -> TreeCounts {
        var counts = TreeCounts()
        try TreeImage(file).list(at: nil) { counts.add($0) }
        return counts
    }
}

/// What there is in a tree.
package struct TreeCounts: Codable, Sendable, Equatable {
    package var files: UInt64 = 0
    package var directories: UInt64 = 0
    package var links: UInt64 = 0
    package var others: UInt64 = 0
    /// Of regular files, each name counted.
    package var fileBytes: UInt64 = 0

    package init() {}

    mutating func add(_ entry: ImageEntry) {
        switch entry.mode & S_IFMT {
        case S_IFREG:
            files += 1
            fileBytes &+= entry.size
        case S_IFDIR: directories += 1
        case S_IFLNK: links += 1
        default: others += 1
        }
    }
}
