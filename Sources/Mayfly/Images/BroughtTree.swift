// BroughtTree: a tree that was brought into memory before there is a mount, for a process that may read it
// then and not later.

internal import InodeStore
package import MayflyHost
package import MayflyImages

/// A tree in memory that one mount, or several, can begin with.
package struct BroughtTree: Sendable {
    let file: ImageFile

    /// Brings a tree in.
    ///
    /// - Parameters:
    ///   - open: opens the tree, on a thread of its own that reads it to its end.
    ///   - path: what errors call it.
    ///   - configuration: its limits are the tree's.
    /// - Throws: `.usage` for what cannot be read, or does not fit; `.system` when there is no memory.
    package init(
        opening open: @escaping @Sendable () throws(TreeError) -> FolderSource,
        of path: PathBytes, for configuration: MountConfiguration
    ) throws(MountError) {
        MemoryHeadroom.watch()
        file = try TreeImage.temporary(of: path) { descriptor throws(MountError) in
            do throws(TreeError) {
                _ = try ImageBuilder.build(
                    opening: open, to: descriptor, within: configuration.unpackingLimits)
            } catch {
                throw MountError.tree(error)
            }
        }
    }
}
