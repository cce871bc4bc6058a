// LayoutArchive: one image in a tar archive of the OCI image layout. It is read where it lies, and written in one go.

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

/// An archive that is read.
final class LayoutArchive: ImageSource {
    let name: String
    private let tag: String?
    private let descriptor: Int32
    private let members: [String: TarMember]

    init(_ path: PathBytes, tag: String?) throws(MountError) {
        name = ImageReference.archive(path, tag: tag).text
        self.tag = tag
        let file = unsafe path.withCString {
            unsafe Glibc.open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        guard file >= 0 else {
            throw MountError(
                .usage, "\(path) cannot be opened (\(Errno(rawValue: errno))): name an archive")
        }
        var status = stat()
        guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw MountError(.usage, "\(path) is no file: name an archive after oci-archive:")
        }
        do throws(MountError) {
            members = try TarIndex.members(
                bytes: UInt64(max(0, status.st_size)), from: "\(path)",
                read: { offset, count in
                    var bytes = [UInt8](repeating: 0, count: count)
                    return unsafe csys_read_all(file, &bytes, count, offset) == 0 ? bytes : nil
                })
        } catch {
            close(file)
            throw error
        }
        descriptor = file
    }

    deinit { close(descriptor) }

    private func blob(_ member: TarMember) -> OpenBlob {
        OpenBlob(descriptor, offset: member.offset, bytes: member.bytes, isOwned: false)
    }

    func manifest(_ progress: TransferProgress) throws(MountError) -> [UInt8]? {
        guard members["oci-layout"] != nil, let member = members["index.json"],
            member.bytes <= LayoutIndex.mostBytes, let bytes = blob(member).content
        else {
            throw MountError(
                .usage,
                "\(name) is no archive of the OCI image layout: it has no oci-layout or index.json")
        }
        guard let blob = try LayoutIndex(bytes, from: name).manifest(tag, from: name) else {
            return nil
        }
        guard blob.size <= ImageManifest.mostBytes else { throw damaged(blob, "it is too long") }
        guard let manifest = try open(blob, parts: ".", progress).content else {
            throw damaged(blob, "it cannot be read")
        }
        return manifest
    }

    func open(
        _ blob: BlobDescriptor, parts: PathBytes, _ progress: TransferProgress
    ) throws(MountError) -> OpenBlob {
        guard let member = members["blobs/sha256/\(blob.digest.hexadecimal)"] else {
            throw damaged(blob, "it is not there")
        }
        let found = self.blob(member)
        try check(found, blob)
        progress.advance(blob.size)
        progress.carry(blob.size)
        // With a descriptor of its own, which may be there longer than the archive.
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw MountError(.system, "\(name) cannot be opened again: raise `ulimit -n`")
        }
        return OpenBlob(copy, offset: member.offset, bytes: member.bytes, isOwned: true)
    }
}

/// An archive that is written, to a file that has its name when it is whole.
final class LayoutArchiveWriter: ImageTarget {
    private struct State {
        var end: UInt64 = 0
        var names: Set<String> = []
    }
    private let descriptor: Int32
    private let tag: String?
    private let state = Mutex(State())

    /// - Parameter descriptor: an empty file, which stays its owner's.
    init(to descriptor: Int32, tag: String?) throws(MountError) {
        self.descriptor = descriptor
        self.tag = tag
        try append("oci-layout", LayoutIndex.versionFile)
    }

    private func append(_ name: String, _ bytes: [UInt8]) throws(MountError) {
        // Nobody else writes what lies between.
        let start: UInt64? = state.withLock { state in
            guard state.names.insert(name).inserted else { return nil }
            let start = state.end
            let size = (UInt64(bytes.count) + 511) / TarIndex.blockBytes * TarIndex.blockBytes
            state.end += TarIndex.blockBytes + size
            return start
        }
        guard let start else { return }
        let header = TarIndex.header(name, bytes: UInt64(bytes.count))
        try write(header, at: start)
        try write(bytes, at: start + TarIndex.blockBytes)
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) throws(MountError) {
        let code = unsafe csys_write_all(descriptor, bytes, bytes.count, offset)
        if code != 0 { throw RegistryPlace.unwritable("the archive", Errno(rawValue: code)) }
    }

    func has(_ blob: BlobDescriptor, _ progress: TransferProgress) throws(MountError) -> Bool {
        state.withLock { $0.names.contains("blobs/sha256/\(blob.digest.hexadecimal)") }
    }

    func put(
        _ bytes: [UInt8], as blob: BlobDescriptor, _ progress: TransferProgress
    ) throws(MountError) {
        try append("blobs/sha256/\(blob.digest.hexadecimal)", bytes)
        progress.carry(blob.size)
    }

    func putManifest(
        _ bytes: [UInt8], _ digest: ImageDigest, _ progress: TransferProgress
    ) throws(MountError) {
        try append("blobs/sha256/\(digest.hexadecimal)", bytes)
        var index = LayoutIndex()
        index.set(
            tag,
            to: BlobDescriptor(
                mediaType: MediaType.manifest, digest: digest, size: UInt64(bytes.count)))
        try append("index.json", index.encoded)
        // Two blocks of zeros are the end.
        let end = state.withLock { $0.end }
        guard ftruncate(descriptor, off_t(end + 2 * TarIndex.blockBytes)) == 0 else {
            throw RegistryPlace.unwritable("the archive", Errno(rawValue: errno))
        }
    }
}
