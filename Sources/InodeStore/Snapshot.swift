// Snapshots: a frozen base, and the pages in which the store differed from it at one moment.
//
// The base is what the region shows where nothing was written: the image that the store was opened
// from (BaseFile.swift), or a memory file that holds what the store had when its first snapshot was
// taken, of which the region is a private mapping. It never changes, or is found to be changed. So what
// a moment was is the base and the private pages of that moment, and a rollback drops the private pages
// there are and puts those back.

internal import CMayflyMemory
internal import Glibc
package import MayflyArena
internal import Synchronization
package import SystemPackage

/// The file behind a private mapping. Closed with the last who needs it.
package final class SnapshotBase: Sendable {
    package let mapping: BaseMapping
    /// The path of an image, as the user called it; empty for what is none.
    package let name: String
    /// Inodes in it without names; an image has none.
    let orphans: [InodeOffset]

    package var descriptor: Int32 { mapping.descriptor }
    package var bytes: UInt64 { mapping.bytes }
    /// Whether it is an image that somebody has changed. One system call, until somebody has.
    package var isChanged: Bool { mapping.guardian?.isChanged ?? false }

    /// - Parameter mapping: its descriptors and its guard are taken over.
    package convenience init(image mapping: BaseMapping, name: String) {
        self.init(mapping: mapping, name: name, orphans: [])
    }

    init(mapping: BaseMapping, name: String = "", orphans: [InodeOffset]) {
        self.mapping = mapping
        self.name = name
        self.orphans = orphans
    }

    deinit {
        mapping.guardian?.end()
        close(mapping.descriptor)
        if mapping.overlay >= 0 { close(mapping.overlay) }
        for layer in mapping.pages?.layers ?? [] { close(layer.descriptor) }
    }
}

/// One moment of a store.
@safe package final class StoreSnapshot: @unchecked Sendable {
    // Sendable: written by `init` alone.
    package let base: SnapshotBase
    /// What the store was opened with.
    let header: ImageHeader
    package var shardCount: Int { header.shardCount }
    /// Pages that differ from the base, in ascending order, and their copies, one after another.
    let runs: [PageRun]
    /// Where the copies of each run begin.
    private let starts: [Int]
    private let copies: UnsafeMutableRawPointer?
    /// Bytes of the copies.
    package let privateBytes: UInt64
    /// Inodes without names that the kernel held.
    let orphans: [InodeOffset]
    /// Content and inodes at that moment.
    package let pagesInUse: UInt64
    package let inodeSpaceInUse: UInt64

    /// Copies the pages that differ.
    ///
    /// - Precondition: the store is frozen.
    init(
        _ store: InodeStore, base: SnapshotBase, runs: [PageRun], orphans: [InodeOffset]
    ) throws(Errno) {
        self.base = base
        self.runs = runs
        self.orphans = orphans
        let arena = store.arena
        header = ImageHeader(trusting: arena, bytes: base.bytes)
        pagesInUse = header.pagesInUse
        inodeSpaceInUse = header.inodeSpaceInUse
        var bytes = 0
        starts = runs.map { run in
            defer { bytes += run.count }
            return bytes
        }
        privateBytes = UInt64(bytes)
        if runs.isEmpty {
            unsafe copies = nil
            return
        }
        var claim = try MemoryClaim(bytes: privateBytes)
        guard let memory = unsafe cmem_map(Int(privateBytes)) else { throw Errno(rawValue: errno) }
        unsafe copies = memory
        var at = 0
        for piece in runs.lazy.flatMap(\.byChunks) {
            unsafe cmem_copy(memory + at, arena.region.pointer(piece.lowerBound), piece.count)
            at += piece.count
            do throws(Errno) {
                try claim.touched(UInt64(piece.count))
            } catch {
                unsafe cmem_unmap(memory, Int(privateBytes))
                throw error
            }
        }
    }

    deinit {
        if let copies = unsafe copies { unsafe cmem_unmap(copies, Int(privateBytes)) }
    }

    /// Its copy of a page; nil for a page that was the base's.
    ///
    /// - Complexity: O(log runs).
    func copy(of page: UInt64) -> UnsafeRawPointer? {
        guard let copies = unsafe copies else { return nil }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].upperBound <= page { low = middle + 1 } else { high = middle }
        }
        guard low < runs.count, runs[low].contains(page) else { return nil }
        return unsafe UnsafeRawPointer(copies + starts[low] + Int(page - runs[low].lowerBound))
    }

    /// Puts the copies into a region that shows the base.
    ///
    /// - Parameter claim: of memory for as much as they are.
    /// - Throws: `ENOMEM` when it is not there after all; not all of them are put in then.
    func write(to region: Region, _ claim: inout MemoryClaim) throws(Errno) {
        guard let copies = unsafe copies else { return }
        var at = 0
        for piece in runs.lazy.flatMap(\.byChunks) {
            unsafe cmem_copy(
                region.pointer(writing: piece.lowerBound, UInt64(piece.count)), copies + at,
                piece.count)
            at += piece.count
            try claim.touched(UInt64(piece.count))
        }
    }

    /// Puts the copies back, whatever there is: a rollback that has begun is not given up.
    func writeBack(to region: Region) {
        guard let copies = unsafe copies else { return }
        var at = 0
        for run in runs {
            unsafe cmem_copy(
                region.pointer(writing: run.lowerBound, UInt64(run.count)), copies + at, run.count)
            at += run.count
        }
    }
}

extension InodeStore {
    /// Takes a snapshot between two requests.
    ///
    /// - Parameter base: the one that the store has; nil where it has none yet.
    /// - Throws: `ENOMEM`, `EMFILE`.
    /// - Complexity: O(private pages); without a base O(bytes in use), once.
    package func snapshot(base: SnapshotBase?) throws(Errno) -> StoreSnapshot {
        let result: Result<StoreSnapshot, Errno> = whileFrozen {
            do throws(Errno) {
                return .success(try snapshotFrozen(base: base))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private func snapshotFrozen(base: SnapshotBase?) throws(Errno) -> StoreSnapshot {
        if let base {
            assert(arena.unmarkedRuns().isEmpty, "InodeStore: writes without a mark")
            let runs = changedRuns()
            let orphans = orphans(in: runs).union(base.orphans.filter(isOrphan))
            return try StoreSnapshot(
                self, base: base, runs: runs, orphans: orphans.sorted { $0 < $1 })
        }
        let orphans = orphans()
        let descriptor = try arena.makeBase()
        let base = SnapshotBase(
            mapping: BaseMapping(descriptor: descriptor, bytes: arena.baseBytes),
            orphans: orphans)
        return try StoreSnapshot(self, base: base, runs: [], orphans: orphans)
    }

    /// What a store was that was just opened from an image: the image, with what was made private of
    /// it when it was checked. The headers are settled anew whenever they are put back.
    package func start(of base: SnapshotBase) -> StoreSnapshot? {
        let first = arena.geometry.firstChunkOffset
        let runs = arena.writtenRuns().filter { $0.lowerBound >= first }
        return try? StoreSnapshot(self, base: base, runs: runs, orphans: [])
    }

    /// Bytes that a store does not share: what it has changed of its base, and all that is behind it.
    ///
    /// - Complexity: O(chunks and private pages).
    package var privateBytes: UInt64 { changedRuns().reduce(0) { $0 + UInt64($1.count) } }

    /// Pages that differ from the base, or may; in ascending order.
    func changedRuns() -> [PageRun] {
        let end = arena.baseBytes
        var runs = arena.writtenRuns()
        // Behind the base everything that was written is private, and the rest is zero.
        try? arena.forEachWrittenRun(from: end) { run throws(Errno) in
            if run.upperBound > end { runs.append(max(run.lowerBound, end)..<run.upperBound) }
        }
        return runs
    }

    private func orphans(in runs: [PageRun]) -> Set<InodeOffset> {
        var found: Set<InodeOffset> = []
        for page in inodePages(in: runs) {
            for slot in slots(of: page) where isOrphan(slot) { found.insert(slot) }
        }
        return found
    }

    /// Those of some pages that hold inodes.
    func inodePages(in runs: [PageRun]) -> [UInt64] {
        let geometry = arena.geometry
        var found: [UInt64] = []
        for run in runs {
            var page = max(run.lowerBound, geometry.firstChunkOffset)
            while page < run.upperBound {
                let chunk = geometry.chunk(containing: page)
                let end = min(run.upperBound, geometry.chunkStart(chunk + 1))
                if arena.holdsInodes(chunk) {
                    found += stride(from: page, to: end, by: Int(Geometry.pageBytes))
                }
                page = end
            }
        }
        return found
    }

    /// Where inodes may be in a page that holds some.
    func slots(of page: UInt64) -> some Sequence<InodeOffset> {
        let start = arena.geometry.chunkStart(arena.geometry.chunk(containing: page))
        let first = start + ChunkKind.inodes.firstUnit << ChunkKind.inodes.unitShift
        return stride(
            from: max(page, first), to: page + Geometry.pageBytes, by: Int(Inode.bytes)
        ).lazy.map { InodeOffset($0) }
    }

    /// Memory that a snapshot of this moment takes, in bytes. Without a base it takes none for long:
    /// what there is becomes the base.
    package func snapshotBytes(base: SnapshotBase?) -> UInt64 { base == nil ? 0 : privateBytes }

    // MARK: fork

    /// A store of its own that begins as a moment of another was: a private mapping of the same
    /// base, with the same pages put in. Inodes without names are left out.
    ///
    /// - Throws: as `init(image:)`.
    /// - Complexity: O(private pages of the snapshot).
    package init(
        snapshot: StoreSnapshot, pageLimit: UInt64, inodeLimit: UInt64, workerCount: Int,
        growth: (pageLimit: UInt64, inodeLimit: UInt64) = (0, 0),
        options: StoreOptions = StoreOptions()
    ) throws(Errno) {
        var claim = try MemoryClaim(bytes: snapshot.privateBytes)
        try self.init(
            snapshot.base.mapping, snapshot.header, limits: (pageLimit, inodeLimit),
            growth: growth, workerCount: workerCount,
            least: snapshot.runs.last?.upperBound ?? 0, options: options)
        do throws(Errno) {
            try snapshot.write(to: arena.region, &claim)
        } catch {
            unmap()
            throw error
        }
        arena.settle(limits: (pageLimit, inodeLimit * Self.inodeSpaceUnit))
        if snapshot.orphans.isEmpty { return }
        whileFrozen {
            for inode in snapshot.orphans where isOrphan(inode) { endOrphan(inode) }
        }
    }
}
