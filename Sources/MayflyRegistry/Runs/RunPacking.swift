// RunPacking: the bytes of a run as one frame of zstd, and back. Unpacking is bounded by what the run is to have,
// whatever the frame says, and by a window of 16 MiB of memory.

internal import CMayflySystem
internal import CMayflyZstd
internal import Glibc
internal import Mayfly
internal import MayflyArena
internal import SystemPackage

/// Packs runs, one after the other. Not to be used by two threads at once.
@safe final class RunPacker {
    /// Higher levels take several times as long for a tenth less.
    private static let level: Int32 = 3
    private let context: OpaquePointer

    /// - Throws: `.system` without memory.
    init() throws(MountError) {
        guard let context = unsafe ZSTD_createCCtx() else { throw RunPacking.noMemory }
        unsafe self.context = context
        unsafe _ = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.level)
    }

    deinit { unsafe _ = ZSTD_freeCCtx(context) }

    /// One frame that holds the bytes. The same bytes give the same frame with the same version of zstd.
    func packed(_ bytes: UnsafeRawBufferPointer) throws(MountError) -> [UInt8] {
        let most = ZSTD_compressBound(bytes.count)
        var failed = false
        let frame = unsafe [UInt8](unsafeUninitializedCapacity: most) { buffer, count in
            let size = unsafe ZSTD_compress2(
                context, buffer.baseAddress, most, bytes.baseAddress, bytes.count)
            failed = ZSTD_isError(size) != 0
            count = failed ? 0 : size
        }
        if failed { throw RunPacking.noMemory }
        return frame
    }
}

/// Unpacking into files.
enum RunPacking {
    /// log2 of the bytes that a frame may make its reader remember.
    private static let mostWindowLog: Int32 = 24
    private static let pieceBytes = 256 << 10

    static var noMemory: MountError {
        MountError(.system, "there is no memory to pack or unpack an image: free some")
    }

    /// Unpacks a frame to its place in a file, where there are zeros so far.
    ///
    /// - Parameters:
    ///   - blob: an open file and where in it the frame is; its digest was compared.
    ///   - what: what errors call it.
    /// - Throws: `.usage` where the frame is none, holds more or less than the run has, or other bytes;
    ///   `.system` where the file cannot be written.
    /// - Complexity: O(bytes of the run): it ends at the first byte that is too many.
    static func unpack(
        _ blob: OpenBlob, _ run: FileRun, to file: Int32, what: String
    ) throws(MountError) {
        guard let context = unsafe ZSTD_createDCtx() else { throw noMemory }
        defer { unsafe _ = ZSTD_freeDCtx(context) }
        unsafe _ = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, mostWindowLog)
        let input = UnsafeMutableRawPointer.allocate(byteCount: pieceBytes, alignment: 16)
        let output = UnsafeMutableRawPointer.allocate(byteCount: pieceBytes, alignment: 4096)
        defer {
            unsafe input.deallocate()
            unsafe output.deallocate()
        }
        func damaged(_ why: String) -> MountError {
            MountError(.usage, "\(what) is damaged (\(why)): push it anew")
        }
        var sum = DigestSum()
        var (read, written): (UInt64, UInt64) = (0, 0)
        var isFrameOver = false
        while read < blob.bytes {
            let count = min(UInt64(pieceBytes), blob.bytes - read)
            let code = unsafe csys_read_all(
                blob.descriptor, input, Int(count), blob.offset + read)
            guard code == 0 else {
                throw MountError(.system, "\(what) cannot be read (\(Errno(rawValue: code)))")
            }
            read += count
            var source = unsafe ZSTD_inBuffer(src: input, size: Int(count), pos: 0)
            while unsafe source.pos < source.size {
                if isFrameOver { throw damaged("there is something behind its end") }
                var target = unsafe ZSTD_outBuffer(dst: output, size: pieceBytes, pos: 0)
                var rest: Int
                repeat {
                    unsafe target.pos = 0
                    rest = unsafe ZSTD_decompressStream(context, &target, &source)
                    if ZSTD_isError(rest) != 0 {
                        throw damaged(unsafe String(cString: ZSTD_getErrorName(rest)))
                    }
                    let made = unsafe UnsafeRawBufferPointer(start: output, count: target.pos)
                    guard UInt64(made.count) <= run.bytes - written else {
                        throw damaged("it has more than the \(run.bytes) bytes that it should have")
                    }
                    unsafe sum.add(made)
                    try unsafe write(made, to: file, run.offset + written)
                    written += UInt64(made.count)
                    // A full buffer: there may be more without more input.
                } while unsafe rest != 0 && target.pos == pieceBytes
                isFrameOver = rest == 0
            }
        }
        guard isFrameOver, written == run.bytes else {
            throw damaged("it has \(written) of the \(run.bytes) bytes that it should have")
        }
        guard sum.end() == run.digest else {
            throw damaged("it holds other bytes than it should")
        }
    }

    /// Writes what is not zero: the rest is a hole.
    private static func write(
        _ bytes: UnsafeRawBufferPointer, to file: Int32, _ offset: UInt64
    ) throws(MountError) {
        var start = 0
        while start < bytes.count {
            // Up to the page that the next ones begin at, in the file.
            func end(_ at: Int) -> Int {
                min(bytes.count, at + 4096 - Int((offset + UInt64(at)) % 4096))
            }
            func isZero(_ at: Int) -> Bool {
                guard let base = bytes.baseAddress else { return true }
                let count = end(at) - at
                // Each byte is the one before it, and the first one is 0.
                return unsafe base.load(fromByteOffset: at, as: UInt8.self) == 0
                    && (count == 1 || memcmp(base + at, base + at + 1, count - 1) == 0)
            }
            if isZero(start) {
                start = end(start)
                continue
            }
            var stop = end(start)
            while stop < bytes.count, !isZero(stop) { stop = end(stop) }
            let code = unsafe csys_write_all(
                file, bytes.baseAddress! + start, stop - start, offset + UInt64(start))
            guard code == 0 else {
                throw MountError(
                    .system,
                    "an image cannot be written to the store (\(Errno(rawValue: code))): look for room "
                        + "there, or remove some (`mayfly image store gc --limit SIZE`)")
            }
            start = stop
        }
    }
}

/// Where the bytes of a blob are: in a file, from an offset on.
@safe final class OpenBlob: Sendable {
    let descriptor: Int32
    let offset: UInt64
    let bytes: UInt64
    private let isOwned: Bool

    /// - Parameter isOwned: whether the descriptor is closed with this.
    init(_ descriptor: Int32, offset: UInt64 = 0, bytes: UInt64, isOwned: Bool) {
        self.descriptor = descriptor
        self.offset = offset
        self.bytes = bytes
        self.isOwned = isOwned
    }

    deinit { if isOwned { close(descriptor) } }

    /// The digest of its bytes; nil where they cannot be read.
    var digest: ImageDigest? {
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { unsafe buffer.deallocate() }
        var sum = DigestSum()
        var at: UInt64 = 0
        while at < bytes {
            let count = min(256 << 10, bytes - at)
            let code = unsafe csys_read_all(descriptor, buffer, Int(count), offset + at)
            if code != 0 { return nil }
            unsafe sum.add(UnsafeRawBufferPointer(start: buffer, count: Int(count)))
            at += count
        }
        return sum.end()
    }

    /// All of its bytes; nil where they cannot be read.
    var content: [UInt8]? {
        var all = [UInt8](repeating: 0, count: Int(bytes))
        return unsafe csys_read_all(descriptor, &all, all.count, offset) == 0 ? all : nil
    }
}
