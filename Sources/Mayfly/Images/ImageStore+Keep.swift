// Keeping what a mount has become in the store: as a layer on what it began with, or as a plain image
// where that would cost more than it saves (Docs/Images.md, A build cache).

internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
package import MayflyHost
internal import SystemPackage

/// What became of keeping a tree.
package struct KeptImage: Sendable, Equatable {
    package var image: StoredImage
    /// Of a layer: bytes of the pages in it.
    package var pageBytes: UInt64?
}

/// What a new image is to be.
private enum KeptForm {
    case plain
    case layer(ImageFile)
}

extension ImageStore {
    /// Layers on a plain image after which the next is put on the plain image itself, with all that
    /// they have.
    private static var mostLayers: Int { 8 }

    /// Puts what a mount holds at this moment into the store.
    ///
    /// - Parameter name: what had it before is given up; of two at once the last one stays.
    /// - Throws: `.system` where there is no room or no memory; the name is what it was then.
    /// - Complexity: O(pages that have changed) for a layer, O(bytes in use) for a plain image.
    package static func keep(
        _ fileSystem: MountedFileSystem, as name: PathBytes
    ) throws(MountError) -> KeptImage {
        let save = try fileSystem.beginSave()
        // Written once: a store that was written is no more than unmapped.
        defer { save.store.unmap() }
        var pageBytes: UInt64?
        var maps: [PageRun]?
        let image = try put(name) { descriptor throws(MountError) in
            guard case .layer(let base) = form(after: save.base) else {
                return try save.writeImage(to: descriptor)
            }
            let written = try save.writeLayer(
                to: descriptor, on: base, named: PathBytes(base.pages.digests[0].hexadecimal))
            pageBytes = written.pageBytes
            // What is not in the layer was there before, and where its maps lie is known.
            if let before = KnownImages.maps(of: base.pages) {
                maps = PageRun.union(before + written.contentRuns)
            }
        }
        // The next run begins with it, and need not look at all of it again.
        if let maps, let digest = ImageDigest(image.digest), let file = stored(digest) {
            KnownImages.addMaps(maps, of: file.pages)
        }
        return KeptImage(image: image, pageBytes: pageBytes)
    }

    /// What is to be written of a mount that began with this.
    ///
    /// A layer, where its base is in the store; on the plain image at the bottom where there are many
    /// layers by now; and a plain image where the layers weigh half of that.
    private static func form(after base: SnapshotBase) -> KeptForm {
        guard let pages = base.mapping.pages, !base.isChanged, let top = stored(pages.digests[0])
        else { return .plain }
        var status = stat()
        guard unsafe fstat(pages.descriptor, &status) == 0 else { return .plain }
        let layered = pages.layers.reduce(0) { $0 + $1.file.pageBytes }
        if layered > UInt64(status.st_blocks) * 512 / 2 { return .plain }
        if pages.layers.count < mostLayers { return .layer(top) }
        guard let plain = stored(pages.digest) else { return .plain }
        return .layer(plain)
    }

    /// An image of the store that was compared and is what it was; nil where it is not there.
    private static func stored(_ digest: ImageDigest) -> ImageFile? {
        guard holds(digest), let path = path(of: digest) else { return nil }
        do throws(MountError) {
            let file = try ImageFile(path: path)
            guard file.pages.digests[0] == digest, KnownImages.areKnown(file.pages) else {
                return nil
            }
            return file
        } catch { return nil }
    }
}
