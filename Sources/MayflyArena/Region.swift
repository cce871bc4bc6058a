// Region: one reserved range of memory, addressed by offset only.
//
// Everything the file system keeps lies here, and every reference inside it is an offset, so that
// the bytes are an image: they mean the same at any address. The range is reserved once and never
// moves; its pages come when they are touched.
//
// Ordering: `load`/`store` are relaxed and serve words whose publication is ordered elsewhere (by a
// lock word, or by the acquire/release pair of the word that leads to them). `loadAcquire` pairs
// with `storeRelease` on the same word.
//
// Every way to write goes through an accessor that marks the page first (WrittenPages.swift).

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
public import Synchronization
package import SystemPackage

/// Where the memory of a region comes from.
package enum Backing: Sendable {
    /// Private zero pages, with transparent huge pages where the kernel has them.
    case anonymous
    /// The same in small pages only, for what is touched here and there.
    case scattered
    /// A shared mapping of an open file, as long as the part of the region that is used.
    case sharedFile(descriptor: Int32)
    /// A shared mapping of a memory file that another process holds, too (Survival.swift).
    case surviving(descriptor: Int32)
    /// A private mapping of the first bytes of an open file, which nobody changes meanwhile, and
    /// private zero pages behind it.
    case privateFile(BaseMapping)
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
        let marks = Self.markBytes(for: bytes)
        let reserved = unsafe mmap(
            nil, Int(marks + bytes + alignment), PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let reserved = unsafe reserved, unsafe reserved != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        let address = UInt64(UInt(bitPattern: reserved))
        let aligned = (address + marks + alignment - 1) & ~(alignment - 1)
        let start = unsafe reserved + Int(aligned - address)
        // In a program that has all its memory locked nothing of it must be filled.
        unsafe munlock(reserved, Int(marks + bytes + alignment))
        let head = aligned - marks - address
        if head > 0 { unsafe munmap(reserved, Int(head)) }
        if head < alignment { unsafe munmap(start + Int(bytes), Int(alignment - head)) }

        unsafe base = start
        self.bytes = bytes
        do throws(Errno) {
            try mapMarks(marks)
            switch backing {
            case .anonymous: try mapArena(from: 0)
            case .scattered: try mapZeros(0..<bytes, hugePages: false)
            case .sharedFile(let descriptor), .surviving(let descriptor):
                try mapFirst(0..<bytes, MAP_SHARED, descriptor)
            case .privateFile(let base):
                if base.overlayRuns != [0..<base.bytes] {
                    if base.guardian == nil || base.isMapped {
                        try mapFirst(0..<base.bytes, MAP_PRIVATE, base.descriptor)
                    } else {
                        // For what is read from a file and comes here when it is written.
                        try mapZeros(0..<base.bytes, hugePages: false)
                    }
                }
                for run in base.overlayRuns { try mapFirst(run, MAP_PRIVATE, base.overlay) }
                if let guardian = base.guardian, base.isMapped {
                    let code = unsafe cmem_guard_range(guardian.pointer, self.base, Int(base.bytes))
                    if code != 0 { throw Errno(rawValue: code) }
                }
                try mapArena(from: base.bytes)
            }
        } catch {
            unmap()
            throw error
        }
    }

    /// Maps zeros in huge pages, but for the first chunks: a fresh mount takes one of each kind for each
    /// shard, and a client would wait for 2 MiB of zeros the first time that it makes something.
    private func mapArena(from offset: UInt64) throws(Errno) {
        try mapZeros(min(offset, bytes)..<bytes, hugePages: true)
        let first = min(bytes - min(offset, bytes), Self.firstSmallBytes)
        if first > 0 { unsafe madvise(base + Int(offset), Int(first), MADV_NOHUGEPAGE) }
    }

    /// Bytes of an arena in small pages: some chunks of each kind for the shards of a few queues.
    private static var firstSmallBytes: UInt64 { 16 * Geometry.chunkBytes }

    private func mapZeros(_ run: PageRun, hugePages: Bool) throws(Errno) {
        if run.isEmpty { return }
        try open(run)
        // A wish only: a kernel without huge pages says EINVAL. Where they are for all, those who
        // touch a page here and there must not get 2 MiB for each.
        unsafe madvise(
            base + Int(run.lowerBound), run.count, hugePages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE)
    }

    /// Maps a part of the region that nobody looks at yet.
    private func mapFirst(_ run: PageRun, _ flags: Int32, _ descriptor: Int32) throws(Errno) {
        let mapped = unsafe mmap(
            base + Int(run.lowerBound), run.count, PROT_NONE, flags | MAP_NORESERVE | MAP_FIXED,
            descriptor, off_t(run.lowerBound))
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        unsafe munlock(mapped, run.count)
        try open(run)
    }

    /// Lets a range be used that was mapped without any right, so that locking could not fill it.
    private func open(_ run: PageRun) throws(Errno) {
        let start = unsafe base + Int(run.lowerBound)
        guard unsafe mprotect(start, run.count, PROT_READ | PROT_WRITE) == 0 else {
            throw Errno(rawValue: errno)
        }
        // What is kept in memory must not end in a core file of many gigabytes.
        unsafe madvise(start, run.count, MADV_DONTDUMP)
    }

    /// Puts another mapping in place of a range, at once for all who look at it.
    ///
    /// - Parameter descriptor: a file whose bytes have the region's offsets.
    /// - Throws: `ENOMEM` and others of mmap(2); the range is as it was then.
    package func map(
        _ offset: UInt64, _ count: UInt64, _ flags: Int32, _ descriptor: Int32
    ) throws(Errno) {
        let mapped = unsafe mmap(
            base + Int(offset), Int(count), PROT_READ | PROT_WRITE,
            flags | MAP_NORESERVE | MAP_FIXED, descriptor, descriptor < 0 ? 0 : off_t(offset))
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        unsafe madvise(mapped, Int(count), MADV_DONTDUMP)
        // Where all memory is locked it was filled with copies.
        unsafe munlock(mapped, Int(count))
        unsafe _ = cmem_release(mapped, Int(count))
    }

    /// Gives the whole range back. Nothing may use the region any more.
    package func unmap() {
        // Nothing where there is no guard.
        unsafe cmem_unguard_range(base)
        let marks = Self.markBytes(for: bytes)
        unsafe munmap(base - Int(marks), Int(marks + bytes))
    }

    /// Gives the memory behind a range back to the system; it reads as zeros afterwards, or as what
    /// the file says that it is a private mapping of.
    ///
    /// - Parameters:
    ///   - offset: start in bytes, a multiple of the OS page size.
    ///   - count: bytes, likewise.
    /// - Precondition: nobody writes there.
    /// - Returns: false when the system did not take it: what is there is as it was.
    /// - Source: madvise(2): DONTNEED for private memory, REMOVE for a shared file. The first refuses
    ///   what mlockall(2) has locked.
    package func release(_ offset: UInt64, _ count: UInt64, shared: Bool = false) -> Bool {
        let start = unsafe base + Int(offset)
        let isReleased =
            shared
            ? unsafe madvise(start, Int(count), MADV_REMOVE) == 0
            : unsafe cmem_release(start, Int(count)) == 0
        if isReleased { clearMarks(offset..<offset + count) }
        return isReleased
    }

    /// Makes a range read as zeros where it has no file behind it.
    ///
    /// - Precondition: nobody writes there.
    package func clear(_ offset: UInt64, _ count: UInt64) {
        if release(offset, count) { return }
        for run in writtenRuns(in: offset..<offset + count) {
            zero(run.lowerBound, UInt64(run.count))
        }
    }

    /// Makes ranges show again what the region began as, at once for all.
    ///
    /// - Parameter origin: what that is.
    /// - Precondition: nobody writes there.
    /// - Complexity: O(pages), with one system call for 512 ranges where the kernel has that.
    package func release(_ runs: [PageRun], showing origin: BaseMapping) {
        let ranges = runs.map { cmem_run(start: $0.lowerBound, end: $0.upperBound) }
        if unsafe cmem_release_runs(base, ranges, ranges.count) == 0 {
            for run in runs { clearMarks(run) }
            return
        }
        // What the system does not take back is made the same by hand.
        for run in runs {
            if release(run.lowerBound, UInt64(run.count)) { continue }
            for piece in run.byChunks {
                guard let file = origin.file(at: piece.lowerBound) else {
                    // Content without a mark is read from the file, whatever lies here.
                    clearMarks(piece)
                    continue
                }
                let code = unsafe csys_read_all(
                    file, pointer(writing: piece.lowerBound, UInt64(piece.count)), piece.count,
                    piece.lowerBound)
                precondition(code == 0, "Region.release: the base cannot be read (errno \(code))")
            }
        }
    }

    /// The address of an offset, for reading content.
    @inlinable @_noLocks
    package func pointer(_ offset: UInt64) -> UnsafeRawPointer {
        assert(offset < bytes, "Region.pointer: offset \(offset) is outside")
        return unsafe UnsafeRawPointer(base + Int(truncatingIfNeeded: offset))
    }

    /// The address of an offset, for writing `count` bytes there and no others.
    @inlinable @_noLocks
    package func pointer(writing offset: UInt64, _ count: UInt64) -> UnsafeMutableRawPointer {
        assert(offset < bytes && count <= bytes - offset, "Region.pointer: \(offset), \(count)")
        markWritten(offset, count)
        return unsafe base + Int(truncatingIfNeeded: offset)
    }

    /// Writes zeros.
    @_noLocks package func zero(_ offset: UInt64, _ count: UInt64) {
        unsafe cmem_zero(pointer(writing: offset, count), Int(truncatingIfNeeded: count))
    }

    // To write, a function marks the page first.

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

    /// Whether a range holds zeros only: its first word does, and each byte is like the one 8 on.
    package func isZero(_ offset: UInt64, _ count: UInt64) -> Bool {
        guard count >= 8 else {
            return (0..<count).allSatisfy {
                unsafe pointer(offset + $0).load(as: UInt8.self) == 0
            }
        }
        let start = unsafe pointer(offset)
        guard unsafe start.loadUnaligned(as: UInt64.self) == 0 else { return false }
        return unsafe cmem_compare(start, start + 8, Int(count) - 8) == 0
    }

    // MARK: 64-bit words

    @inlinable @_noLocks package func load(_ offset: UInt64) -> UInt64 {
        unsafe word(offset).pointee.load(ordering: .relaxed)
    }
    @inlinable @_noLocks package func store(_ offset: UInt64, _ value: UInt64) {
        mark(offset)
        unsafe word(offset).pointee.store(value, ordering: .relaxed)
    }
    @inlinable @_noLocks package func loadAcquire(_ offset: UInt64) -> UInt64 {
        unsafe word(offset).pointee.load(ordering: .acquiring)
    }
    @inlinable @_noLocks package func storeRelease(_ offset: UInt64, _ value: UInt64) {
        mark(offset)
        unsafe word(offset).pointee.store(value, ordering: .releasing)
    }
    /// Adds (wrapping) and returns the new value; acquire and release.
    @inlinable @_noLocks @discardableResult
    package func add(_ offset: UInt64, _ delta: UInt64) -> UInt64 {
        mark(offset)
        return unsafe word(offset).pointee
            .wrappingAdd(delta, ordering: .acquiringAndReleasing).newValue
    }
    /// Subtracts (wrapping) and returns the new value; acquire and release.
    @inlinable @_noLocks @discardableResult
    package func subtract(_ offset: UInt64, _ delta: UInt64) -> UInt64 {
        mark(offset)
        return unsafe word(offset).pointee
            .wrappingSubtract(delta, ordering: .acquiringAndReleasing).newValue
    }
    /// Replaces `expected` by `desired`; acquire and release. Returns whether it did.
    @inlinable @_noLocks
    package func exchange(_ offset: UInt64, expected: UInt64, desired: UInt64) -> Bool {
        mark(offset)
        return unsafe word(offset).pointee.compareExchange(
            expected: expected, desired: desired, ordering: .acquiringAndReleasing
        ).exchanged
    }
    /// Stores and returns what stood there; acquire and release.
    @inlinable @_noLocks
    package func swap(_ offset: UInt64, _ value: UInt64) -> UInt64 {
        mark(offset)
        return unsafe word(offset).pointee.exchange(value, ordering: .acquiringAndReleasing)
    }
    /// Sets bits; release, so that what a bit guards is seen by who finds it set.
    @inlinable @_noLocks package func setBits(_ offset: UInt64, _ bits: UInt64) {
        mark(offset)
        unsafe word(offset).pointee.bitwiseOr(bits, ordering: .acquiringAndReleasing)
    }
    /// Clears bits and returns what stood there before; release, so that the last use of what the
    /// bits guard happens before they are found clear.
    @inlinable @_noLocks @discardableResult
    package func clearBits(_ offset: UInt64, _ bits: UInt64) -> UInt64 {
        mark(offset)
        return unsafe word(offset).pointee
            .bitwiseAnd(~bits, ordering: .acquiringAndReleasing).oldValue
    }

    // MARK: 32-bit words

    @inlinable @_noLocks package func load32(_ offset: UInt64) -> UInt32 {
        unsafe half(offset).pointee.load(ordering: .relaxed)
    }
    @inlinable @_noLocks package func store32(_ offset: UInt64, _ value: UInt32) {
        mark(offset)
        unsafe half(offset).pointee.store(value, ordering: .relaxed)
    }
}
