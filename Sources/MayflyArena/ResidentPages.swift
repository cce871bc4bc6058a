// ResidentPages: how much of a range of memory is there, as mincore(2) tells it.

internal import Glibc

/// Bytes of a range that are in memory.
///
/// - Parameter start: at an OS page.
/// - Complexity: O(pages of the range).
private func pagesInMemory(_ start: UnsafeRawPointer, _ bytes: UInt64) -> UInt64 {
    let page = Geometry.pageBytes
    let most = 1 << 16
    var states = [UInt8](repeating: 0, count: most)
    var found: UInt64 = 0
    var at: UInt64 = 0
    while at < bytes {
        let count = min(UInt64(most), (bytes - at + page - 1) / page)
        let address = unsafe UnsafeMutableRawPointer(mutating: start + Int(at))
        guard unsafe mincore(address, Int(count * page), &states) == 0 else { break }
        for state in states[..<Int(count)] where state & 1 != 0 { found += page }
        at += count * page
    }
    return found
}

extension Region {
    /// Bytes before `end` that are in memory. Of a file that is mapped those count, too, which others
    /// have read.
    package func residentBytes(to end: UInt64) -> UInt64 {
        unsafe pagesInMemory(UnsafeRawPointer(base), min(end, bytes))
    }

    /// Bytes in memory of the marks of the pages before `end`.
    package func residentMarkBytes(to end: UInt64) -> UInt64 {
        let page = Geometry.pageBytes
        let count = (min(end, bytes) / page + page - 1) & ~(page - 1)
        let most = Self.markBytes(for: bytes)
        let length = min(count, most)
        return unsafe pagesInMemory(UnsafeRawPointer(base - Int(length)), length)
    }
}
