// TreeSave: a moment of a mount on its way into a file. Requests do not wait for it.

internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import SystemPackage

/// What a mount was at one moment, in a store of its own. It is written once, and its store unmapped
/// by its owner.
struct TreeSave {
    let base: SnapshotBase
    let store: InodeStore

    /// Writes it to an empty file.
    func writeImage(to descriptor: Int32) throws(MountError) {
        try writing { () throws(Errno) in
            try store.writeImage(to: descriptor, base: base.mapping)
        }
    }

    /// Writes what differs from an image to an empty file.
    ///
    /// - Parameters:
    ///   - image: proved.
    ///   - name: what it is called, without a folder.
    func writeLayer(
        to descriptor: Int32, on image: ImageFile, named name: PathBytes
    ) throws(MountError) -> WrittenLayer {
        let depth = image.pages.layers.count + 1
        guard depth <= LayerFile.mostDepth else {
            throw MountError(
                .usage,
                "\(image.path) has \(depth - 1) layers below it, and more cannot be put on it: make it "
                    + "one image with `mayfly image flatten`")
        }
        guard LayerFile.isName(name.bytes) else {
            throw MountError(.usage, "\(image.path) has no name of its own: name a file")
        }
        var written: WrittenLayer?
        try writing { () throws(Errno) in
            written = try store.writeLayer(
                to: descriptor, over: image.pages, named: name.bytes, base: base.mapping)
        }
        // What was compared is perhaps neither the old file nor the new one.
        guard let written, KnownImages.areKnown(image.pages) else { throw image.changed }
        return written
    }

    private func writing(_ body: () throws(Errno) -> Void) throws(MountError) {
        var failure: MountError?
        do throws(MountError) { try TreeImage.writing(body) } catch { failure = error }
        // What was written of a changed image may be anything, and the failure only follows.
        if base.isChanged {
            throw MountError(
                .system, "the image \(base.name) was changed while it was saved: mount it anew")
        }
        if let failure { throw failure }
    }
}
