// What work on whole trees is asked for, and what it tells.

public import MayflyHost
package import MayflyImages

/// Where a tree is to be in a mount.
package struct TreePlace: Sendable, Equatable {
    /// The directory, from the mount's root on; empty for the root.
    package var directory: PathBytes
    /// What the tree's own root is called there; nil: what lies in it goes into the directory itself.
    package var name: PathBytes?

    package init(directory: PathBytes, name: PathBytes?) {
        self.directory = directory
        self.name = name
    }
}

/// How a tree is put into a mount.
public struct TreeOptions: Sendable, Equatable {
    /// Patterns of fnmatch(3) of paths that are left out, with all that lies below them; as tar(1) takes
    /// them.
    public var excludes: [PathBytes] = []
    /// Leading names of each path that are taken off.
    public var strippedNames = 0
    /// Whether what has a name already keeps it.
    public var keepsOld = false
    /// Whether what is mounted in a folder is left out.
    public var oneFileSystem = false

    /// As tar(1) and cp(1) do without options.
    public init() {}

    /// - Parameter isDirectory: whether the source is one, and no archive.
    package func filter(isDirectory: Bool) -> TreeFilter {
        TreeFilter(
            excludes: excludes.map(\.bytes), strippedNames: strippedNames,
            hasContentOfLinks: isDirectory)
    }
}

/// What was put into a mount.
public struct TreeSummary: Codable, Sendable, Equatable {
    /// Files, directories and links that the source has.
    public var entries: UInt64
    /// Bytes of files.
    public var contentBytes: UInt64
    /// What of the source is not there.
    public var warnings: [String]
    /// From the first entry to the moment when all of it could be seen.
    public var nanoseconds: UInt64
}

/// What was taken out of a mount.
public struct RemoveSummary: Codable, Sendable, Equatable {
    /// Names that are gone, of those that were asked for.
    public var names: Int
    /// Until they were.
    public var nanoseconds: UInt64

    package init(names: Int, nanoseconds: UInt64) {
        self.names = names
        self.nanoseconds = nanoseconds
    }
}
