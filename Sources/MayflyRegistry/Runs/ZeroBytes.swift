// Runs that hold nothing.

internal import Glibc

extension UnsafeRawBufferPointer {
    /// Whether all bytes are zero: the first is, and each is the one before it.
    var isZero: Bool {
        guard let base = baseAddress, count > 0 else { return true }
        return unsafe base.load(as: UInt8.self) == 0 && memcmp(base, base + 1, count - 1) == 0
    }
}
