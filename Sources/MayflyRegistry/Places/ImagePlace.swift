// ImagePlace: what a registry, a folder and an archive have in common.

internal import Mayfly
internal import MayflyArena
internal import MayflyHost

/// Where an image is pulled from. Several threads use it at once.
protocol ImageSource: Sendable {
    /// For errors.
    var name: String { get }
    /// The manifest with its digest compared where one is known; nil where there is none of the name.
    func manifest(_ progress: TransferProgress) throws(MountError) -> [UInt8]?
    /// A blob, all of whose bytes were compared with its digest.
    ///
    /// - Parameter parts: a folder in which what has come is kept.
    func open(
        _ blob: BlobDescriptor, parts: PathBytes, _ progress: TransferProgress
    ) throws(MountError) -> OpenBlob
}

/// Where an image is pushed to. Several threads use it at once.
protocol ImageTarget: Sendable {
    func has(_ blob: BlobDescriptor, _ progress: TransferProgress) throws(MountError) -> Bool
    func put(
        _ bytes: [UInt8], as blob: BlobDescriptor, _ progress: TransferProgress
    ) throws(MountError)
    /// Makes the image known by its name, when all its blobs are there.
    func putManifest(
        _ bytes: [UInt8], _ digest: ImageDigest, _ progress: TransferProgress
    ) throws(MountError)
}

extension ImageSource {
    func damaged(_ blob: BlobDescriptor, _ why: String) -> MountError {
        MountError(
            .usage, "the blob \(blob.digest.short) of \(name) is damaged (\(why)): push it anew")
    }

    /// Looks whether a blob is what it is to be.
    func check(_ found: OpenBlob, _ blob: BlobDescriptor) throws(MountError) {
        guard found.bytes == blob.size else {
            throw damaged(blob, "it has \(found.bytes) bytes, and should have \(blob.size)")
        }
        guard found.digest == blob.digest else {
            throw damaged(blob, "its bytes have another digest")
        }
    }
}
