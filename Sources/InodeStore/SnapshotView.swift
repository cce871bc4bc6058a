// SnapshotView: the words of a snapshot, read while the store goes on from it.
//
// A page is in the snapshot's copies, or in the base where the store has written it since; every
// other page is the same in both moments, and is read from the store.

internal import Glibc
internal import MayflyArena
internal import SystemPackage

/// Two moments of one region: as it is now, and as it was when a snapshot was taken.
@safe struct SnapshotView: ~Copyable {
    private let region: Region
    private let snapshot: StoreSnapshot
    /// Pages that may differ between the moments, in ascending order.
    let runs: [PageRun]
    private let base: UnsafeMutableRawPointer?
    private let baseBytes: UInt64
    /// The page that was read last, and where it is; nil for a page of zeros.
    private var lastPage = UInt64.max
    private var lastMemory: UnsafeRawPointer?
    /// The run that was found last.
    private var lastRun = 0

    /// - Parameter runs: pages that differ from the base in one of the moments.
    /// - Throws: `ENOMEM` when there is no address space for the base.
    init(_ store: InodeStore, _ snapshot: StoreSnapshot, runs: [PageRun]) throws(Errno) {
        region = store.arena.region
        self.snapshot = snapshot
        self.runs = runs
        baseBytes = store.arena.baseBytes
        guard baseBytes > 0 else {
            unsafe base = nil
            return
        }
        // Beside an overlay lies only content, which nobody asks for: the overlay has a hole there. Before
        // Linux 6.7 a file that is sealed cannot be mapped shared, not even for reading (mm/mmap.c,
        // `mmap_region()`).
        let origin = snapshot.base.mapping
        let file = origin.overlay >= 0 ? origin.overlay : origin.descriptor
        let mapped = unsafe mmap(
            nil, Int(baseBytes), PROT_READ, MAP_PRIVATE | MAP_NORESERVE, file, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        unsafe base = mapped
    }

    deinit { if let base = unsafe base { unsafe munmap(base, Int(baseBytes)) } }

    /// Whether anything in a range may differ.
    ///
    /// - Complexity: O(log runs), O(1) beside the range of the last call.
    mutating func mayDiffer(_ offset: UInt64, _ bytes: UInt64) -> Bool {
        if lastRun < runs.count, runs[lastRun].contains(offset) { return true }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        lastRun = low
        return low < runs.count && runs[low].lowerBound < offset + bytes
    }

    /// A word of the snapshot.
    ///
    /// - Parameter offset: a multiple of 8.
    mutating func load(_ offset: UInt64) -> UInt64 {
        guard let page = unsafe page(offset) else { return 0 }
        return unsafe page.load(
            fromByteOffset: Int(offset & (Geometry.pageBytes - 1)), as: UInt64.self)
    }

    /// Half a word of the snapshot.
    ///
    /// - Parameter offset: a multiple of 4.
    mutating func load32(_ offset: UInt64) -> UInt32 {
        guard let page = unsafe page(offset) else { return 0 }
        return unsafe page.load(
            fromByteOffset: Int(offset & (Geometry.pageBytes - 1)), as: UInt32.self)
    }

    /// Bytes of the snapshot.
    mutating func bytes(_ offset: UInt64, _ count: UInt64) -> [UInt8] {
        (offset..<offset + count).map { at in
            guard let page = unsafe page(at) else { return 0 }
            return unsafe page.load(
                fromByteOffset: Int(at & (Geometry.pageBytes - 1)), as: UInt8.self)
        }
    }

    private mutating func page(_ offset: UInt64) -> UnsafeRawPointer? {
        let page = offset & ~(Geometry.pageBytes - 1)
        if page == lastPage { return unsafe lastMemory }
        lastPage = page
        unsafe lastMemory = find(page)
        return unsafe lastMemory
    }

    private mutating func find(_ page: UInt64) -> UnsafeRawPointer? {
        guard page < region.bytes else { return nil }
        if !mayDiffer(page, Geometry.pageBytes) { return unsafe region.pointer(page) }
        if let copy = unsafe snapshot.copy(of: page) { return unsafe copy }
        guard page < baseBytes, let base = unsafe base else { return nil }
        return unsafe UnsafeRawPointer(base + Int(page))
    }
}
