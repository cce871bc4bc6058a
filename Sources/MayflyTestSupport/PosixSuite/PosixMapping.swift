import Glibc
import SystemPackage

/// A memory mapping of a file; unmaps itself.
///
/// Safe because every access is checked against the length.
@safe
final class PosixMapping {
    private let base: UnsafeMutableRawPointer
    let count: Int

    /// mmap(2).
    init(
        _ file: PosixFile, _ count: Int, offset: Int64 = 0, shared: Bool = true,
        protection: Int32 = PROT_READ | PROT_WRITE
    ) throws(PosixCallFailure) {
        let kind = shared ? MAP_SHARED : MAP_PRIVATE
        let base = unsafe mmap(nil, count, protection, kind, file.fd, Int(offset))
        guard let base = unsafe base, unsafe base != MAP_FAILED else {
            throw PosixCallFailure(errno: Errno(rawValue: errno), call: "mmap(\(count))")
        }
        unsafe self.base = unsafe base
        self.count = count
    }

    deinit { unsafe munmap(base, count) }

    subscript(offset: Int) -> UInt8 {
        get {
            precondition(offset >= 0 && offset < count, "PosixMapping: \(offset) of \(count)")
            return unsafe base.load(fromByteOffset: offset, as: UInt8.self)
        }
        set {
            precondition(offset >= 0 && offset < count, "PosixMapping: \(offset) of \(count)")
            unsafe base.storeBytes(of: newValue, toByteOffset: offset, as: UInt8.self)
        }
    }

    func fill(_ range: Range<Int>, _ byte: UInt8) { for index in range { self[index] = byte } }

    func bytes(_ range: Range<Int>) -> [UInt8] { range.map { self[$0] } }

    func synchronize() throws(PosixCallFailure) {
        if unsafe msync(base, count, MS_SYNC) != 0 {
            throw PosixCallFailure(errno: Errno(rawValue: errno), call: "msync")
        }
    }

    /// Lets the kernel read one byte: EFAULT where a load would raise SIGBUS.
    func send(byte offset: Int, to file: PosixFile) throws(PosixCallFailure) {
        if unsafe write(file.fd, base + offset, 1) < 0 {
            throw PosixCallFailure(errno: Errno(rawValue: errno), call: "write from a mapping")
        }
    }

    /// Lets the kernel write one byte: EFAULT where a store would raise SIGBUS.
    func receive(byte offset: Int, from file: PosixFile) throws(PosixCallFailure) {
        if unsafe pread(file.fd, base + offset, 1, 0) < 0 {
            throw PosixCallFailure(errno: Errno(rawValue: errno), call: "pread into a mapping")
        }
    }
}
