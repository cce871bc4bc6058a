// KnownImages: files of which every byte was compared with what they say of it, and that nobody has
// written since. So a layer is ready in a time that does not grow with its base.
//
// A note says what the file was then: its inode, size, time of modification and time of change. The last
// nobody can set: a file with the same one was not written (Docs/ImageFormat.md, An image that is
// changed). A note is the user's own, as the store is that it lies in.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

enum KnownImages {
    private struct Note: Hashable, Sendable {
        let digest: ImageDigest
        /// What the file was, in words.
        let state: String
    }

    /// Of this process, for whom there is no folder.
    private static let own = Mutex<Set<Note>>([])

    /// Whether all files of an image are what was once proved.
    static func areKnown(_ pages: ImagePages) -> Bool {
        zip(pages.files.reversed(), pages.digests).allSatisfy(isKnown)
    }

    private static func note(of descriptor: Int32, _ digest: ImageDigest) -> (Note, PathBytes?)? {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return nil }
        func text(_ time: timespec) -> String { "\(time.tv_sec).\(time.tv_nsec)" }
        let state =
            "\(status.st_ino) \(status.st_size) \(text(status.st_mtim)) \(text(status.st_ctim))\n"
        let path = ImageStore.folder.map {
            $0 + PathBytes("/known/\(digest.hexadecimal)-\(status.st_ino)")
        }
        return (Note(digest: digest, state: state), path)
    }

    private static func isKnown(_ descriptor: Int32, _ digest: ImageDigest) -> Bool {
        guard let (note, path) = note(of: descriptor, digest) else { return false }
        if own.withLock({ $0.contains(note) }) { return true }
        guard let path, ImageStore.isTrusted,
            let said = HostFile.bytes(at: path.text, atMost: 4096)
        else { return false }
        return said == Array(note.state.utf8)
    }

    /// Notes that a file is what its digest says.
    static func add(_ descriptor: Int32, _ digest: ImageDigest) {
        guard let (note, path) = note(of: descriptor, digest) else { return }
        own.withLock { known in
            if known.count > 4096 { known.removeAll() }
            _ = known.insert(note)
        }
        guard let path, ImageStore.make("known") else { return }
        let file = unsafe path.withCString {
            unsafe open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        }
        if file < 0 { return }
        let bytes = Array(note.state.utf8)
        _ = unsafe csys_write_all(file, bytes, bytes.count, 0)
        close(file)
    }

    /// Notes it of a file that this process has just written to a path.
    static func add(_ path: PathBytes, _ digest: ImageDigest) {
        let descriptor = unsafe path.withCString {
            unsafe open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        if descriptor < 0 { return }
        if ImageChain.digest(of: descriptor) == digest { add(descriptor, digest) }
        close(descriptor)
    }

    // MARK: what a check has found

    /// Bytes of pages that are noted at most: more are found anew.
    private static var mostNoted: UInt64 { 64 << 20 }

    private static func mapsPath(_ pages: ImagePages) -> (path: PathBytes, state: String)? {
        guard
            let (note, path) = note(
                of: pages.layers.last?.descriptor ?? pages.descriptor,
                pages.digests[0]), let path
        else { return nil }
        return (path + ".maps", note.state)
    }

    /// Pages among those of content that hold more than content, of an image that was found sound as a
    /// whole and that nobody has changed since.
    ///
    /// - Returns: nil where that is not known.
    /// - Complexity: O(runs).
    static func maps(of pages: ImagePages) -> [PageRun]? {
        guard let (path, state) = mapsPath(pages), areKnown(pages), ImageStore.isTrusted,
            let bytes = HostFile.bytes(at: path.text, atMost: 64 << 20)
        else { return nil }
        // The state of the file, the digest of all that follows, and a line for each run.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2)
        guard lines.count == 3, Array(lines[0]) + [UInt8(ascii: "\n")] == Array(state.utf8),
            String(decoding: lines[1], as: UTF8.self) == digest(of: lines[2])
        else { return nil }
        var runs: [PageRun] = []
        for line in lines[2].split(separator: UInt8(ascii: "\n")) {
            let numbers = String(decoding: line, as: UTF8.self).split(separator: " ")
                .compactMap { UInt64($0) }
            guard numbers.count == 2, numbers[0] < numbers[1], numbers[1] <= pages.bytes else {
                // No run at all is a line with one zero.
                if numbers == [0] { continue }
                return nil
            }
            runs.append(numbers[0]..<numbers[1])
        }
        return runs
    }

    private static func digest(of bytes: ArraySlice<UInt8>) -> String {
        unsafe bytes.withUnsafeBytes { unsafe ImageDigest(of: $0) }.hexadecimal
    }

    /// Notes that an image is sound, and which of its pages must be in memory before they are believed.
    ///
    /// - Parameter runs: pages among those of content that hold more than content, and perhaps others.
    static func addMaps(_ runs: [PageRun], of pages: ImagePages) {
        guard runs.reduce(0, { $0 + UInt64($1.count) }) <= mostNoted,
            let (path, state) = mapsPath(pages), areKnown(pages), ImageStore.make("known")
        else { return }
        let lines =
            runs.isEmpty ? "0\n" : runs.map { "\($0.lowerBound) \($0.upperBound)\n" }.joined()
        let bytes = Array("\(state)\(digest(of: Array(lines.utf8)[...]))\n\(lines)".utf8)
        let file = unsafe path.withCString {
            unsafe open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        }
        if file < 0 { return }
        _ = unsafe csys_write_all(file, bytes, bytes.count, 0)
        close(file)
    }

    // MARK: other notes

    /// Bytes that were noted of a file; nil where there are none, or the file is not what it was.
    static func noted(_ kind: String, of descriptor: Int32, _ digest: ImageDigest) -> [UInt8]? {
        guard let (note, path) = note(of: descriptor, digest), let path, ImageStore.isTrusted,
            isKnown(descriptor, digest),
            let bytes = HostFile.bytes(
                at: (path + PathBytes(".\(kind)")).text, atMost: Int(mostNoted))
        else { return nil }
        let lines = bytes.split(
            separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        guard lines.count == 3, Array(lines[0]) + [UInt8(ascii: "\n")] == Array(note.state.utf8),
            String(decoding: lines[1], as: UTF8.self) == Self.digest(of: lines[2])
        else { return nil }
        return Array(lines[2])
    }

    /// Notes bytes of a file that is known, whole or not at all.
    static func note(
        _ bytes: [UInt8], _ kind: String, of descriptor: Int32, _ digest: ImageDigest
    ) {
        guard bytes.count < Int(mostNoted) - 4096, isKnown(descriptor, digest),
            let (note, path) = note(of: descriptor, digest), let path, ImageStore.make("known")
        else { return }
        let all = Array("\(note.state)\(Self.digest(of: bytes[...]))\n".utf8) + bytes
        let file = unsafe (path + PathBytes(".\(kind)")).withCString {
            unsafe open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode_t(0o600))
        }
        if file < 0 { return }
        _ = unsafe csys_write_all(file, all, all.count, 0)
        close(file)
    }

    /// Compares all files of an image that are not known with what they say.
    ///
    /// - Parameter anew: whether those that are known are compared as well.
    /// - Throws: `.usage` with the first thing that is wrong.
    /// - Complexity: O(files) where they are known, O(their bytes) otherwise.
    static func prove(_ file: ImageFile, anew: Bool = false) throws(MountError) {
        let pages = file.pages
        for layer in pages.layers.reversed()
        where anew || !isKnown(layer.descriptor, layer.file.digest) {
            do throws(ImageError) {
                try layer.file.checkPages(of: layer.descriptor)
            } catch {
                throw MountError(
                    .usage, code: .damagedImage, error.described(path(of: layer, in: file)))
            }
            add(layer.descriptor, layer.file.digest)
        }
        if !anew, isKnown(pages.descriptor, pages.digest) { return }
        if pages.layers.isEmpty {
            try TreeImage(file).proveWhole()
        } else {
            try proveBase(of: file)
        }
        add(pages.descriptor, pages.digest)
    }

    /// The plain image at the bottom, which is looked at as one of its own.
    private static func proveBase(of file: ImageFile) throws(MountError) {
        let copy = fcntl(file.pages.descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw MountError(.system, "\(file.path) cannot be opened again: raise `ulimit -n`")
        }
        let path = PathBytes(bytes: file.pages.layers[0].file.baseName)
        do throws(MountError) {
            try TreeImage(try ImageFile(descriptor: copy, path: path)).proveWhole()
        } catch {
            throw MountError(
                error.kind, code: .noBase,
                "\(file.path) is a layer on \(path), which is not what it was: \(error.text)")
        }
    }

    /// What a layer of a chain is called, for errors.
    private static func path(of layer: ImagePages.Layer, in file: ImageFile) -> PathBytes {
        let layers = file.pages.layers
        guard let index = layers.firstIndex(where: { $0.descriptor == layer.descriptor }),
            index + 1 < layers.count
        else { return file.path }
        return PathBytes(bytes: layers[index + 1].file.baseName)
    }
}
