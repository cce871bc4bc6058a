// LayoutFolder: images in a folder of the OCI image layout, as skopeo and oras write and read it.

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import MayflyHost
internal import SystemPackage

struct LayoutFolder: ImageSource, ImageTarget {
    private let folder: PathBytes
    private let tag: String?
    var name: String { ImageReference.layout(folder, tag: tag).text }

    init(_ folder: PathBytes, tag: String?) {
        self.folder = folder
        self.tag = tag
    }

    /// Makes the folder where it is not there.
    ///
    /// - Throws: `.usage` for a folder that holds something else.
    func prepare() throws(MountError) {
        _ = unsafe folder.withCString { unsafe mkdir($0, 0o777) }
        guard HostFile.isDirectory(folder) else {
            throw MountError(
                .usage, "\(folder) is no folder, and cannot be made one: name another after oci:")
        }
        let version = folder + "/oci-layout"
        if HostFile.kind(of: version) == nil {
            guard HostFile.isEmpty(folder) else {
                throw MountError(
                    .usage,
                    "\(folder) is not empty, and is no OCI image layout: name another folder after oci:"
                )
            }
            try write(LayoutIndex.versionFile, to: version)
        }
        for part in ["/blobs", "/blobs/sha256"] {
            _ = unsafe (folder + PathBytes(part)).withCString { unsafe mkdir($0, 0o777) }
        }
    }

    private func path(_ digest: ImageDigest) -> PathBytes {
        folder + "/blobs/sha256/" + PathBytes(digest.hexadecimal)
    }

    // MARK: reading

    private func index() throws(MountError) -> LayoutIndex {
        guard HostFile.kind(of: folder + "/oci-layout") != nil,
            let bytes = HostFile.bytes(
                at: (folder + "/index.json").text, atMost: Int(LayoutIndex.mostBytes))
        else {
            throw MountError(
                .usage,
                "\(folder) is no folder of the OCI image layout: it has no oci-layout or index.json"
            )
        }
        return try LayoutIndex(bytes, from: "\(folder)")
    }

    func manifest(_ progress: TransferProgress) throws(MountError) -> [UInt8]? {
        guard let blob = try index().manifest(tag, from: name) else { return nil }
        guard blob.size <= ImageManifest.mostBytes else { throw damaged(blob, "it is too long") }
        guard let bytes = try open(blob, parts: folder, progress).content else {
            throw damaged(blob, "it cannot be read")
        }
        return bytes
    }

    func open(
        _ blob: BlobDescriptor, parts: PathBytes, _ progress: TransferProgress
    ) throws(MountError) -> OpenBlob {
        let file = unsafe path(blob.digest).withCString {
            unsafe Glibc.open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        guard file >= 0 else { throw damaged(blob, "\(Errno(rawValue: errno))") }
        let found = OpenBlob(file, bytes: blob.size, isOwned: true)
        var status = stat()
        guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            UInt64(max(0, status.st_size)) == blob.size
        else { throw damaged(blob, "it has \(status.st_size) bytes, and should have \(blob.size)") }
        try check(found, blob)
        progress.advance(blob.size)
        progress.carry(blob.size)
        return found
    }

    // MARK: writing

    func has(_ blob: BlobDescriptor, _ progress: TransferProgress) throws(MountError) -> Bool {
        guard let size = HostFile.size(of: path(blob.digest)), size == blob.size else {
            return false
        }
        // One that is damaged is written anew.
        let file = unsafe path(blob.digest).withCString {
            unsafe Glibc.open($0, O_RDONLY | O_CLOEXEC)
        }
        if file < 0 { return false }
        return OpenBlob(file, bytes: size, isOwned: true).digest == blob.digest
    }

    func put(
        _ bytes: [UInt8], as blob: BlobDescriptor, _ progress: TransferProgress
    ) throws(MountError) {
        try write(bytes, to: path(blob.digest))
        progress.carry(blob.size)
    }

    func putManifest(
        _ bytes: [UInt8], _ digest: ImageDigest, _ progress: TransferProgress
    ) throws(MountError) {
        try write(bytes, to: path(digest))
        // Of two that push at once each keeps what the other one has put there.
        let lock = unsafe folder.withCString {
            unsafe Glibc.open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        guard lock >= 0 else { throw RegistryPlace.unwritable(folder, Errno(rawValue: errno)) }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0, errno == EINTR {}
        var index =
            HostFile.kind(of: folder + "/index.json") == nil ? LayoutIndex() : try self.index()
        index.set(
            tag,
            to: BlobDescriptor(
                mediaType: MediaType.manifest, digest: digest, size: UInt64(bytes.count)))
        try write(index.encoded, to: folder + "/index.json")
        fsync(lock)
    }

    /// Writes a file that is there whole or not at all.
    private func write(_ bytes: [UInt8], to path: PathBytes) throws(MountError) {
        try ReplacedFile.write(
            path,
            filling: { descriptor throws(MountError) in
                let code = unsafe csys_write_all(descriptor, bytes, bytes.count, 0)
                if code != 0 { throw RegistryPlace.unwritable(path, Errno(rawValue: code)) }
            })
    }
}
