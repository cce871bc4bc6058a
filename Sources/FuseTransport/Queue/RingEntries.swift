// The memory of one queue's ring entries: header areas and payloads.
//
// One mapping: payloads first, so that each begins on a page and the first on a huge page; then the
// headers, one per 512 bytes. Every access to an entry's buffers goes through this type. A pool of
// buffers, where the kernel picks the payload's offset per request (protocol 7.46), changes
// `payload(_:)` and nothing else.

internal import CFuseKernel
internal import CMayflyMemory
internal import Glibc
internal import SystemPackage

/// What the queue knows about one of its entries.
struct EntrySlot {
    /// Who has the entry. A completion for an entry that the kernel has not is a stray.
    enum Holder {
        case nobody, kernel, server, lost
    }

    var holder: Holder
    var argumentBytes: UInt16
    var payloadBytes: UInt32
    var unique: UInt64
    var commitID: UInt64

    var isWithKernel: Bool {
        @_noLocks get { if case .kernel = holder { true } else { false } }
    }

    var isWithServer: Bool {
        @_noLocks get { if case .server = holder { true } else { false } }
    }
}

/// Buffers of the entries of one queue. Trivial; the session's core unmaps the memory.
@safe
struct RingEntries {
    /// Distance of two header areas: the 288 bytes of one, on their own cache lines.
    static var headerStride: Int { @_noLocks get { 512 } }
    /// What the mapping is aligned to, so that the payloads can be huge pages.
    static let alignment = 2 << 20

    let base: UnsafeMutableRawPointer
    let mappedBytes: Int
    let depth: Int
    let payloadCapacity: Int
    let headers: UnsafeMutableRawPointer

    /// Bytes that a queue of this geometry takes: payloads, and headers to the next page.
    static func bytes(depth: Int, payloadBytes: Int) -> Int {
        depth * payloadBytes + (depth * headerStride + 4095) / 4096 * 4096
    }

    /// Maps the buffers, near to a NUMA node if one is given.
    ///
    /// - Throws: `ENOMEM` where the memory cannot be had.
    init(depth: Int, payloadBytes: Int, node: Int?) throws(Errno) {
        let bytes = Self.bytes(depth: depth, payloadBytes: payloadBytes)
        // Reserve more than is needed and cut the ends off: mmap(2) itself aligns to pages only.
        let reserved = bytes + Self.alignment
        guard
            let start = unsafe mmap(
                nil, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0), unsafe start != MAP_FAILED
        else { throw Errno(rawValue: errno) }
        let address = Int(bitPattern: start)
        let lead = (Self.alignment - address % Self.alignment) % Self.alignment
        let first = unsafe start + lead
        if lead > 0 { unsafe munmap(start, lead) }
        let mapped = (bytes + 4095) / 4096 * 4096
        let tail = reserved - lead - mapped
        if tail > 0 { unsafe munmap(first + mapped, tail) }
        // Both are wishes: a kernel without huge pages or NUMA serves the same bytes.
        unsafe _ = madvise(first, mapped, MADV_HUGEPAGE)
        if let node { unsafe _ = cmem_prefer_node(first, mapped, Int32(node)) }
        if cmem_budget_is_tight() {
            // Before a store is told that this memory is still there.
            guard cmem_budget_take(Int64(mapped / 4096)) else {
                unsafe munmap(first, mapped)
                throw .noMemory
            }
            unsafe _ = madvise(first, mapped, 23)  // MADV_POPULATE_WRITE, Linux 5.14
        }
        // A fork of the server (there should be none) must not turn the buffers copy-on-write.
        unsafe _ = madvise(first, mapped, MADV_DONTFORK)
        unsafe base = first
        mappedBytes = mapped
        self.depth = depth
        payloadCapacity = payloadBytes
        unsafe headers = first + depth * payloadBytes
    }

    func unmap() {
        unsafe _ = munmap(base, mappedBytes)
    }

    /// Bytes that are in memory: mincore(2).
    var residentBytes: UInt64 {
        var states = [UInt8](repeating: 0, count: mappedBytes / 4096)
        guard unsafe mincore(base, mappedBytes, &states) == 0 else { return 0 }
        return states.reduce(0) { $0 + UInt64($1 & 1) * 4096 }
    }

    @_noLocks
    func payload(_ entry: Int) -> UnsafeMutableRawPointer {
        assert(entry >= 0 && entry < depth)
        return unsafe base + entry &* payloadCapacity
    }

    /// The header area: in/out header, first argument, the ring's own part.
    @_noLocks
    func header(_ entry: Int) -> UnsafeMutableRawPointer {
        assert(entry >= 0 && entry < depth)
        return unsafe headers + entry &* Self.headerStride
    }

    @_noLocks
    func inHeader(_ entry: Int) -> UnsafeMutablePointer<cfk_in_header> {
        unsafe header(entry).assumingMemoryBound(to: cfk_in_header.self)
    }

    @_noLocks
    func outHeader(_ entry: Int) -> UnsafeMutablePointer<cfk_out_header> {
        unsafe header(entry).assumingMemoryBound(to: cfk_out_header.self)
    }

    @_noLocks
    func argument(_ entry: Int) -> UnsafeMutableRawPointer {
        unsafe header(entry) + 128
    }

    @_noLocks
    func ringPart(_ entry: Int) -> UnsafeMutablePointer<cfk_ring_ent_in_out> {
        unsafe (header(entry) + 256).assumingMemoryBound(to: cfk_ring_ent_in_out.self)
    }
}
