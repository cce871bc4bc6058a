// RequestCounters: how many requests of each opcode a worker has answered, and how many bytes of
// content they carried.

internal import CMemory
internal import Glibc
internal import Synchronization

/// One cache-line aligned block of counters per worker; trivial to copy.
///
/// - Concurrency: written by the worker's thread with relaxed adds that nobody contends, read by
///   anyone.
@safe struct RequestCounters: @unchecked Sendable {
    // Sendable: points to memory that lives as long as the mount.
    static var count: Int { @_noLocks get { 64 } }
    /// Words after those of the opcodes: bytes that READ gave, and that WRITE took.
    private static var bytesRead: Int { @_noLocks get { 64 } }
    private static var bytesWritten: Int { @_noLocks get { 65 } }
    private static var wordCount: Int { 80 }  // whole cache lines
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    private init(_ words: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.words = words }

    static func make() -> RequestCounters {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: wordCount * 8, alignment: 128)
        unsafe memory.initializeMemory(as: UInt64.self, repeating: 0, count: wordCount)
        return unsafe RequestCounters(memory.assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    func deallocate() { unsafe UnsafeMutableRawPointer(words).deallocate() }

    @_noLocks func count(_ opcode: UInt32) {
        let index = Int(truncatingIfNeeded: opcode & 63)
        unsafe words[index].wrappingAdd(1, ordering: .relaxed)
    }

    @_noLocks func countRead(_ bytes: UInt64) {
        unsafe words[Self.bytesRead].wrappingAdd(bytes, ordering: .relaxed)
    }

    @_noLocks func countWritten(_ bytes: UInt64) {
        unsafe words[Self.bytesWritten].wrappingAdd(bytes, ordering: .relaxed)
    }

    /// Bytes of content in the replies to READ, and taken from WRITE.
    var bytes: (read: UInt64, written: UInt64) {
        unsafe (
            words[Self.bytesRead].load(ordering: .relaxed),
            words[Self.bytesWritten].load(ordering: .relaxed)
        )
    }

    /// Requests of one opcode.
    subscript(opcode: Int) -> UInt64 { unsafe words[opcode & 63].load(ordering: .relaxed) }

    var total: UInt64 { (0..<Self.count).reduce(0) { $0 + self[$1] } }
}
