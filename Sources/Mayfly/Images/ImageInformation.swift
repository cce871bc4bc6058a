// The facts of an image: its first page, its bases, and its names.

internal import CMayflyMemory
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import MayflyImages

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
