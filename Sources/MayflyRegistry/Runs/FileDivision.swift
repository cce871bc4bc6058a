// FileDivision: a file of an image as runs: pieces of one size, of which those that hold only zeros are left out.
// What the runs of a file are, and the blobs that they became, is noted beside the store's other notes, so that a
// file is read and packed once, for as long as nobody changes it.

internal import CMayflySystem
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import SystemPackage

/// A run, and the blob that it was the last time.
struct DividedRun: Sendable, Equatable {
    var run: FileRun
    /// Nil for one that was not packed yet.
    var blob: BlobDescriptor?
}

enum FileDivision {
    private static let noteKind = "runs"

    /// Where a file may hold anything but zeros, in pieces of the size that the runs of such a file have.
    ///
    /// - Throws: `.usage` for a file that is too large to be sent.
    static func pieces(of file: CarriedImage.File) throws(MountError) -> [PageRun] {
        guard let size = RunSize.of(fileBytes: file.bytes) else {
            throw MountError(
                .usage,
                "the image has a file of \(file.bytes) bytes, and mayfly sends at most "
                    + "\(RunSize.most * 4096): make it smaller")
        }
        var pieces: [PageRun] = []
        var at: UInt64 = 0
        while at < file.bytes {
            let data = lseek(file.descriptor, off_t(at), 3)  // SEEK_DATA
            if data < 0, errno == ENXIO { break }
            // A file system without holes says EINVAL, and then everything is data.
            if data > off_t(at) { at = UInt64(data) / size * size }
            pieces.append(at..<min(file.bytes, at + size))
            at += size
        }
        return pieces
    }

    /// Reads a piece.
    ///
    /// - Parameter buffer: has room for it.
    /// - Returns: the run; nil where there are zeros alone.
    static func run(
        _ piece: PageRun, of file: CarriedImage.File, into buffer: UnsafeMutableRawPointer
    ) throws(MountError) -> FileRun? {
        let code = unsafe csys_read_all(file.descriptor, buffer, piece.count, piece.lowerBound)
        guard code == 0 else {
            throw MountError(
                .usage,
                "the image cannot be read (\(Errno(rawValue: code))): it was changed, or its disk fails"
            )
        }
        let bytes = unsafe UnsafeRawBufferPointer(start: buffer, count: piece.count)
        if unsafe bytes.isZero { return nil }
        return FileRun(
            offset: piece.lowerBound, bytes: UInt64(piece.count),
            digest: unsafe ImageDigest(of: bytes))
    }

    // MARK: notes

    /// What was noted of a file that is what it was.
    static func noted(of file: CarriedImage.File) -> [DividedRun]? {
        guard let bytes = ImageStore.noted(noteKind, of: file) else { return nil }
        var runs: [DividedRun] = []
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard words.count == 3 || words.count == 5, let offset = UInt64(words[0]),
                let count = UInt64(words[1]), let digest = ImageDigest(String(words[2])),
                offset <= file.bytes, count <= file.bytes - offset
            else { return nil }
            var divided = DividedRun(
                run: FileRun(offset: offset, bytes: count, digest: digest), blob: nil)
            if words.count == 5 {
                guard let digest = ImageDigest(String(words[3])), let size = UInt64(words[4])
                else { return nil }
                divided.blob = BlobDescriptor(
                    mediaType: MediaType.run, digest: digest, size: size)
            }
            runs.append(divided)
        }
        return runs.isEmpty ? nil : runs
    }

    /// Notes the runs of a file that was read, or came, whole.
    static func note(_ runs: [DividedRun], of file: CarriedImage.File) {
        let lines = runs.map { divided in
            "\(divided.run.offset) \(divided.run.bytes) \(divided.run.digest.hexadecimal)"
                + (divided.blob.map { " \($0.digest.hexadecimal) \($0.size)" } ?? "") + "\n"
        }
        ImageStore.note(Array(lines.joined().utf8), noteKind, of: file)
    }

    /// The runs of a file: what was noted, or what is found by reading it.
    ///
    /// - Complexity: O(bytes of the file) where nothing was noted.
    static func runs(of file: CarriedImage.File) throws(MountError) -> [DividedRun] {
        if let noted = noted(of: file) { return noted }
        let pieces = try pieces(of: file)
        let most = pieces.reduce(0) { max($0, $1.count) }
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(1, most), alignment: 4096)
        defer { unsafe buffer.deallocate() }
        var runs: [DividedRun] = []
        for piece in pieces {
            if let run = try unsafe run(piece, of: file, into: buffer) {
                runs.append(DividedRun(run: run, blob: nil))
            }
        }
        note(runs, of: file)
        return runs
    }
}
