// RequestCounters: how many requests of each opcode a worker has answered.

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
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    private init(_ words: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.words = words }

    static func make() -> RequestCounters {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128)
        unsafe memory.initializeMemory(as: UInt64.self, repeating: 0, count: count)
        return unsafe RequestCounters(memory.assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    func deallocate() { unsafe UnsafeMutableRawPointer(words).deallocate() }

    @_noLocks func count(_ opcode: UInt32) {
        let index = Int(truncatingIfNeeded: opcode & 63)
        unsafe words[index].wrappingAdd(1, ordering: .relaxed)
    }

    /// Requests of one opcode.
    subscript(opcode: Int) -> UInt64 { unsafe words[opcode & 63].load(ordering: .relaxed) }

    var total: UInt64 { (0..<Self.count).reduce(0) { $0 + self[$1] } }
}
