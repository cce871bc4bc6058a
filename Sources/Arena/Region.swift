// Region: one reserved range of memory, addressed by offset only.
//
// Everything the file system keeps lies here, and every reference inside it is an offset, so that
// the bytes are an image: they mean the same at any address. The range is reserved once and never
// moves; its pages come when they are touched.
//
// Ordering: `load`/`store` are relaxed and serve words whose publication is ordered elsewhere (by a
// lock word, or by the acquire/release pair of the word that leads to them). `loadAcquire` pairs
// with `storeRelease` on the same word.

internal import CMemory
internal import Glibc
public import Synchronization
package import SystemPackage

/// Where the memory of a region comes from.
package enum Backing: Sendable {
    /// Private zero pages, with transparent huge pages where the kernel has them.
    case anonymous
    /// A shared mapping of an open file (memfd or /dev/shm) of at least the region's size.
    case sharedFile(descriptor: Int32)
}

/// A reserved range of memory addressed by offset.
///
/// A trivial value: copying it copies an address, and nothing is counted.
///
/// - Concurrency: the accessors are atomic; what they mean is the caller's protocol.
@usableFromInline @frozen @safe package struct Region: @unchecked Sendable {
    // Sendable: an address of a mapping that outlives every user (`Arena.unmap` is the last call).
    @usableFromInline package let base: UnsafeMutableRawPointer
    /// Size of the range in bytes.
    @usableFromInline package let bytes: UInt64

    /// Reserves `bytes` (a multiple of 2 MiB), aligned to 2 MiB.
    ///
    /// - Throws: `ENOMEM` when the address space or overcommit policy does not allow it.
    /// - Source: mmap(2), madvise(2).
    package init(reserving bytes: UInt64, backing: Backing) throws(Errno) {
        let alignment = Geometry.chunkBytes
        let reserved = unsafe mmap(
            nil, Int(bytes + alignment), PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let reserved = unsafe reserved, unsafe reserved != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        let address = UInt64(UInt(bitPattern: reserved))
        let aligned = (address + alignment - 1) & ~(alignment - 1)
        let start = unsafe reserved + Int(aligned - address)
        if aligned > address { unsafe munmap(reserved, Int(aligned - address)) }
        let tail = alignment - (aligned - address)
        if tail > 0 { unsafe munmap(start + Int(bytes), Int(tail)) }

        let mapped: UnsafeMutableRawPointer?
        switch backing {
        case .anonymous:
            unsafe mapped = unsafe mmap(
                start, Int(bytes), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0)
        case .sharedFile(let descriptor):
            unsafe mapped = unsafe mmap(
                start, Int(bytes), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_NORESERVE | MAP_FIXED, descriptor, 0)
        }
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            let error = Errno(rawValue: errno)
            unsafe munmap(start, Int(bytes))
            throw error
        }
        // Huge pages are an optimisation: a kernel without them says EINVAL, and that is all right.
        unsafe madvise(mapped, Int(bytes), MADV_HUGEPAGE)
        // What is kept in memory must not end in a core file of many gigabytes.
        unsafe madvise(mapped, Int(bytes), MADV_DONTDUMP)
        unsafe self.base = mapped
        self.bytes = bytes
    }

    /// Gives the whole range back. Nothing may use the region any more.
    package func unmap() { unsafe munmap(base, Int(bytes)) }

    /// Gives the memory behind a range back to the system; it reads as zeros afterwards.
    ///
    /// - Parameters:
    ///   - offset: start in bytes, a multiple of the OS page size.
    ///   - count: bytes, likewise.
    /// - Source: madvise(2): DONTNEED for private memory, REMOVE for a shared file.
    package func release(_ offset: UInt64, _ count: UInt64, backing: Backing) {
        switch backing {
        case .anonymous: unsafe madvise(base + Int(offset), Int(count), MADV_DONTNEED)
        case .sharedFile: unsafe madvise(base + Int(offset), Int(count), MADV_REMOVE)
        }
    }

    /// The address of an offset, for copying content.
    @inlinable @_noLocks
    package func pointer(_ offset: UInt64) -> UnsafeMutableRawPointer {
        assert(offset < bytes, "Region.pointer: offset \(offset) is outside")
        return unsafe base + Int(truncatingIfNeeded: offset)
    }

    @inlinable @inline(always) @_noLocks
    func word(_ offset: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        assert(offset < bytes && offset & 7 == 0, "Region.word: offset \(offset)")
        return unsafe (base + Int(truncatingIfNeeded: offset))
            .assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inlinable @inline(always) @_noLocks
    func half(_ offset: UInt64) -> UnsafeMutablePointer<Atomic<UInt32>> {
        assert(offset < bytes && offset & 3 == 0, "Region.half: offset \(offset)")
        return unsafe (base + Int(truncatingIfNeeded: offset))
            .assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    // MARK: 64-bit words

    @inlinable @_noLocks package func load(_ offset: UInt64) -> UInt64 {
        unsafe word(offset).pointee.load(ordering: .relaxed)
    }
    @inlinable @_noLocks package func store(_ offset: UInt64, _ value: UInt64) {
        unsafe word(offset).pointee.store(value, ordering: .relaxed)
    }
    @inlinable @_noLocks package func loadAcquire(_ offset: UInt64) -> UInt64 {
        unsafe word(offset).pointee.load(ordering: .acquiring)
    }
    @inlinable @_noLocks package func storeRelease(_ offset: UInt64, _ value: UInt64) {
        unsafe word(offset).pointee.store(value, ordering: .releasing)
    }
    /// Adds (wrapping) and returns the new value; acquire and release.
    @inlinable @_noLocks @discardableResult
    package func add(_ offset: UInt64, _ delta: UInt64) -> UInt64 {
        unsafe word(offset).pointee.wrappingAdd(delta, ordering: .acquiringAndReleasing).newValue
    }
    /// Subtracts (wrapping) and returns the new value; acquire and release.
    @inlinable @_noLocks @discardableResult
    package func subtract(_ offset: UInt64, _ delta: UInt64) -> UInt64 {
        unsafe word(offset).pointee
            .wrappingSubtract(delta, ordering: .acquiringAndReleasing).newValue
    }
    /// Replaces `expected` by `desired`; acquire and release. Returns whether it did.
    @inlinable @_noLocks
    package func exchange(_ offset: UInt64, expected: UInt64, desired: UInt64) -> Bool {
        unsafe word(offset).pointee.compareExchange(
            expected: expected, desired: desired, ordering: .acquiringAndReleasing
        ).exchanged
    }
    /// Stores and returns what stood there; acquire and release.
    @inlinable @_noLocks
    package func swap(_ offset: UInt64, _ value: UInt64) -> UInt64 {
        unsafe word(offset).pointee.exchange(value, ordering: .acquiringAndReleasing)
    }
    /// Sets bits; release, so that what a bit guards is seen by who finds it set.
    @inlinable @_noLocks package func setBits(_ offset: UInt64, _ bits: UInt64) {
        unsafe word(offset).pointee.bitwiseOr(bits, ordering: .acquiringAndReleasing)
    }
    /// Clears bits and returns what stood there before; release, so that the last use of what the
    /// bits guard happens before they are found clear.
    @inlinable @_noLocks @discardableResult
    package func clearBits(_ offset: UInt64, _ bits: UInt64) -> UInt64 {
        unsafe word(offset).pointee.bitwiseAnd(~bits, ordering: .acquiringAndReleasing).oldValue
    }

    // MARK: 32-bit words

    @inlinable @_noLocks package func load32(_ offset: UInt64) -> UInt32 {
        unsafe half(offset).pointee.load(ordering: .relaxed)
    }
    @inlinable @_noLocks package func store32(_ offset: UInt64, _ value: UInt32) {
        unsafe half(offset).pointee.store(value, ordering: .relaxed)
    }
}
