// A mount that begins with a tree that was brought in before, and what has changed of it since.

internal import InodeStore
internal import MayflyHost
package import MayflyImages
internal import SystemPackage

extension MountedFileSystem {
    /// Mounts a tree that was brought in before.
    ///
    /// - Parameter beforeServing: as for the other.
    package convenience init(
        _ configuration: MountConfiguration, tree: BroughtTree,
        beforeServing: () throws(MountError) -> Void
    ) throws(MountError) {
        try self.init(configuration, origin: .image(tree.file), beforeServing: beforeServing)
    }

    /// What is different now from what the mount began with.
    ///
    /// - Throws: `.usage` where somebody has removed that snapshot; `.system` when there is no memory.
    package func differencesSinceStart() throws(MountError) -> [TreeDifference] {
        try differences(since: SnapshotShelf.start)
    }

    /// Writes what the mount holds now to an empty file, as an image.
    package func writeImage(to descriptor: Int32) throws(MountError) {
        let save = try beginSave()
        defer { save.store.unmap() }
        try save.writeImage(to: descriptor)
    }

    /// Writes a tar archive of some paths as they are now, and of names that are gone.
    ///
    /// - Parameters:
    ///   - paths: what the archive is to have.
    ///   - gone: each becomes an empty file whose name begins with ".wh.", as in layers of containers.
    ///   - descriptor: open for writing.
    /// - Returns: what is not in it: a line for each socket.
    package func exportTar(
        of paths: Set<[UInt8]>, gone: [[UInt8]], to descriptor: Int32
    ) throws(MountError) -> [String] {
        let (_, now) = try snapshotPair(SnapshotShelf.start)
        let store: InodeStore
        do {
            store = try InodeStore(snapshot: now, pageLimit: 1, inodeLimit: 1, workerCount: 1)
        } catch {
            throw Self.shortage("an archive", now.privateBytes)
        }
        defer { store.unmap() }
        do throws(TreeError) {
            return try FileSignals.held { () throws(TreeError) in
                try TreeExporter.writeTar(store, of: paths, gone: gone, to: descriptor)
            }
        } catch { throw MountError(.system, error.description) }
    }
}
