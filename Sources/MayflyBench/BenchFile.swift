// System calls as the workloads make them: names are bytes that end in a NUL, made beforehand, so
// that nothing but the call is measured.

internal import Glibc
internal import SystemPackage

/// A name for a system call.
typealias FileName = [CChar]

/// A descriptor that is closed with its owner.
struct BenchFile: ~Copyable {
    let descriptor: Int32

    static var lastError: Errno { Errno(rawValue: errno) }

    /// Takes over a descriptor, or minus an errno.
    init(taking result: Int32, _ call: String) throws(WorkloadFailure) {
        guard result >= 0 else { throw .call(call, Errno(rawValue: -result)) }
        descriptor = result
    }

    init(
        _ directory: Int32, _ name: FileName, _ flags: Int32, mode: mode_t = 0o644
    ) throws(WorkloadFailure) {
        let result = unsafe openat(directory, name, flags | O_CLOEXEC, mode)
        guard result >= 0 else { throw .last("open(2)") }
        descriptor = result
    }

    deinit { close(descriptor) }

    func write(_ buffer: BenchBuffer, _ count: Int) throws(WorkloadFailure) {
        let written = unsafe Glibc.write(descriptor, buffer.start, count)
        guard written == count else { throw Self.incomplete(written, "write(2)") }
    }

    func write(_ buffer: BenchBuffer, _ count: Int, at offset: Int) throws(WorkloadFailure) {
        let written = unsafe pwrite(descriptor, buffer.start, count, offset)
        guard written == count else { throw Self.incomplete(written, "pwrite(2)") }
    }

    func read(_ buffer: BenchBuffer, _ count: Int, at offset: Int) throws(WorkloadFailure) {
        let got = unsafe pread(descriptor, buffer.start, count, offset)
        guard got == count else { throw Self.incomplete(got, "pread(2)") }
    }

    /// At most `count` bytes from where the descriptor stands; 0 at the end.
    func read(_ buffer: BenchBuffer, _ count: Int) throws(WorkloadFailure) -> Int {
        let got = unsafe Glibc.read(descriptor, buffer.start, count)
        guard got >= 0 else { throw .last("read(2)") }
        return got
    }

    func synchronize() throws(WorkloadFailure) {
        guard fsync(descriptor) == 0 else { throw .last("fsync(2)") }
    }

    /// Sets mode and times, as whoever unpacks or copies a file does.
    func finish(mode: mode_t, seconds: Int) throws(WorkloadFailure) {
        guard fchmod(descriptor, mode) == 0 else { throw .last("fchmod(2)") }
        let time = timespec(tv_sec: seconds, tv_nsec: 0)
        guard unsafe futimens(descriptor, [time, time]) == 0 else { throw .last("futimens(2)") }
    }

    /// A transfer that was cut short is what a full file system does.
    private static func incomplete(_ count: Int, _ call: String) -> WorkloadFailure {
        count < 0 ? .last(call) : .call(call, .noSpace)
    }
}

/// Memory for transfers, aligned for O_DIRECT.
@safe final class BenchBuffer {
    let start: UnsafeMutableRawPointer
    let count: Int

    init(_ count: Int) {
        self.count = count
        unsafe start = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 4096)
        for index in 0..<count {
            // No two pages alike, should a file system look for that.
            unsafe start.storeBytes(
                of: UInt8(truncatingIfNeeded: index &* 31 &+ index >> 12), toByteOffset: index,
                as: UInt8.self)
        }
    }

    deinit { unsafe start.deallocate() }
}
