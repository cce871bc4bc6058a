// BaseFile: what a region began as, so that nobody changes it unseen.
//
// The file of an image belongs to whoever may write it. So what the store believes - every offset,
// count and list - is copied into memory that is sealed, and is checked there; only pages of content
// stay the file's, for they are copied to whoever reads them and mean nothing else. They are read from
// the file, not mapped: whoever cuts a file takes the pages of its private mappings away, those that
// were written among them (mm/memory.c, `unmap_mapping_range()` with `even_cows`). A page that is
// written comes to the region first, and is marked then. A guard watches the file: pages of a changed
// one are not answered with (Docs/ImageFormat.md, An image that is changed).

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import Synchronization
package import SystemPackage

/// The files behind the first bytes of a region.
package struct BaseMapping: Sendable {
    /// What is mapped where the overlay is not.
    package var descriptor: Int32
    /// A multiple of 2 MiB.
    package var bytes: UInt64
    /// A file in memory with pages that take the place of the file's; -1 without one.
    package var overlay: Int32 = -1
    /// Where it does: ascending, in whole chunks.
    package var overlayRuns: [PageRun] = []
    /// Watches the file; nil where nobody can change it.
    package var guardian: ImageGuard?
    /// Whether a guarded file is mapped where the overlay is not, for who writes nothing.
    package var isMapped = false
    /// The image with its layers; nil for what is no image.
    package var pages: ImagePages?

    package init(descriptor: Int32, bytes: UInt64) {
        self.descriptor = descriptor
        self.bytes = bytes
    }

    /// Of an image. Its files are the mapping's owner's to close.
    package init(_ pages: ImagePages) {
        self.init(descriptor: pages.descriptor, bytes: pages.bytes)
        self.pages = pages
    }

    /// The file that is mapped at an offset; nil where none is, and requests read the descriptor.
    ///
    /// - Complexity: O(log overlay runs).
    func file(at offset: UInt64) -> Int32? {
        var low = 0
        var high = overlayRuns.count
        while low < high {
            let middle = (low + high) / 2
            if overlayRuns[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        if low < overlayRuns.count, overlayRuns[low].contains(offset) { return overlay }
        return guardian == nil || isMapped ? descriptor : nil
    }
}

/// The guard of the files of an image; ended by its owner, which is the last to go.
@safe package struct ImageGuard: @unchecked Sendable {
    // Sendable: the words of a guard are atomic, or written before it is shared.
    let pointer: OpaquePointer

    /// - Throws: `ENOMEM`.
    package init(watching pages: ImagePages) throws(Errno) {
        let files = pages.files
        let sources = pages.sources.map {
            cmem_source(
                start: $0.pages.lowerBound, end: $0.pages.upperBound, file: $0.file, place: $0.place
            )
        }
        guard
            let made = unsafe cmem_guard_make(
                files, files.count, pages.plainEnd, sources, sources.count)
        else { throw .noMemory }
        unsafe pointer = made
        if let arrival = pages.arrival { unsafe cmem_guard_set_presence(made, arrival.pointer) }
    }

    /// Whether a file is not what it was. One system call, until it is not.
    package var isChanged: Bool { unsafe cmem_guard_is_changed(pointer) }

    package func end() { unsafe cmem_guard_free(pointer) }
}

package enum BaseFile {
    /// Images up to here are copied as they are: it takes no longer than looking for what to copy.
    package static var smallBytes: UInt64 { 16 << 20 }

    /// Makes a mapping of an image that nobody can change but in its content.
    ///
    /// What is called clean in it, and would be handed out unlooked at, is no longer called so.
    ///
    /// - Parameters:
    ///   - isOnlyRead: whether the words of the allocator stay as they are, for their checksum, and
    ///     the file is mapped.
    ///   - smallBytes: an image that is no larger is copied whole.
    ///   - pages: of the image; nothing of layers is mapped.
    /// - Returns: a mapping whose overlay, and whose guard if it has one, are the caller's to end. A
    ///   small image is all overlay, and has none.
    /// - Throws: `.system` with `EIO` when a file is shorter than it says, `ENOMEM`, `EMFILE`, `EFBIG`;
    ///   errors of pread(2). `.damagedLayer` for pages with metadata that are not what they were.
    /// - Complexity: O(bytes of metadata, runs of layers).
    package static func mapping(
        of pages: ImagePages, _ header: ImageHeader, isOnlyRead: Bool,
        smallBytes: UInt64 = BaseFile.smallBytes
    ) throws(ImageError) -> BaseMapping {
        let overlay = unsafe csys_memory_file("mayfly-image")
        guard overlay >= 0 else { throw .system(Errno(rawValue: errno)) }
        var mapping = BaseMapping(pages)
        mapping.overlay = overlay
        do throws(ImageError) {
            guard ftruncate(overlay, off_t(header.imageBytes)) == 0 else {
                throw .system(Errno(rawValue: errno))
            }
            // What is not here yet is not waited for without need.
            let isSmall = header.imageBytes <= smallBytes && pages.arrival == nil
            if !isSmall { mapping.guardian = try watching(pages) }
            mapping.isMapped = isOnlyRead && pages.layers.isEmpty
            mapping.overlayRuns = try copy(
                pages, to: overlay, header, all: isSmall,
                isAsWritten: isOnlyRead && pages.layers.isEmpty)
            try check(csys_seal(overlay))
        } catch {
            close(overlay)
            mapping.guardian?.end()
            throw error
        }
        return mapping
    }

    private static func check(_ code: Int32) throws(ImageError) {
        if code != 0 { throw .system(Errno(rawValue: code)) }
    }

    private static func watching(_ pages: ImagePages) throws(ImageError) -> ImageGuard {
        do throws(Errno) { return try ImageGuard(watching: pages) } catch { throw .system(error) }
    }

    /// Copies the headers, the descriptors and all chunks that are not pages.
    private static func copy(
        _ pages: ImagePages, to overlay: Int32, _ header: ImageHeader, all: Bool,
        isAsWritten: Bool
    ) throws(ImageError) -> [PageRun] {
        let geometry = Geometry(
            bytes: max(header.imageBytes, 8 * Geometry.chunkBytes), shardCount: header.shardCount)
        let chunkBytes = Geometry.chunkBytes
        var runs: [PageRun] = []
        var chunks = LayerChunks(pages)
        func take(_ run: PageRun) throws(ImageError) {
            try chunks.demand(run)
            guard cmem_budget_take(Int64(run.count) >> 12) else { throw .system(.noMemory) }
            let end = min(run.upperBound, max(run.lowerBound, pages.plainEnd))
            try check(
                csys_copy_range(pages.descriptor, overlay, run.lowerBound, end - run.lowerBound))
            try chunks.copy(run, to: overlay)
            if let last = runs.last, last.upperBound == run.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<run.upperBound
            } else {
                runs.append(run)
            }
        }
        try take(0..<chunkBytes)
        let count = header.imageBytes / chunkBytes - 1
        var descriptors = [UInt64](repeating: 0, count: Int(chunkBytes / 8))
        for chunk in 0..<count {
            let start = geometry.chunkStart(chunk)
            if geometry.holdsDescriptors(chunk) {
                try take(start..<start + chunkBytes)
                // From the copy, which is what the store will see.
                try check(unsafe csys_read_all(overlay, &descriptors, Int(chunkBytes), start))
                if !isAsWritten {
                    doubt(&descriptors, count: count - chunk)
                    try check(unsafe csys_write_all(overlay, descriptors, Int(chunkBytes), start))
                }
                if pages.arrival != nil {
                    // Side by side: who waits for one after the other waits for each way there and back.
                    for other in chunk + 1..<min(count, chunk + Geometry.groupChunks)
                    where isMetadata(descriptors, other) {
                        let start = geometry.chunkStart(other)
                        chunks.want(start..<start + chunkBytes)
                    }
                }
                continue
            }
            if all || isMetadata(descriptors, chunk) { try take(start..<start + chunkBytes) }
        }
        return runs
    }

    /// Whether a chunk is one of inodes or small units.
    private static func isMetadata(_ descriptors: [UInt64], _ chunk: UInt64) -> Bool {
        let at = Int(chunk % Geometry.groupChunks * Geometry.descriptorBytes / 8)
        let state = descriptors[at + Int(Descriptor.state / 8)]
        let kind = descriptors[at + Int(Descriptor.tag / 8)] >> 32
        return state != Descriptor.pool && kind != ChunkKind.pages.rawValue
    }

    /// Calls no page clean and no pooled chunk zero: they are the file's.
    ///
    /// - Parameter count: descriptors of chunks that the file has.
    private static func doubt(_ descriptors: inout [UInt64], count: UInt64) {
        let pages = ChunkKind.pages
        for chunk in 1..<max(1, Int(min(count, Geometry.groupChunks))) {
            let at = chunk * Int(Geometry.descriptorBytes / 8)
            let state = descriptors[at + Int(Descriptor.state / 8)]
            let kind = descriptors[at + Int(Descriptor.tag / 8)] >> 32
            let clean = at + Int(Descriptor.clean / 8)
            if state == Descriptor.pool {
                descriptors[clean] = Descriptor.notZero
            } else if kind == pages.rawValue, descriptors[clean] < pages.unitCount {
                descriptors[clean] = pages.unitCount
            }
        }
    }
}

/// Copies what layers have of chunks, which are asked for in ascending order.
@safe private struct LayerChunks: ~Copyable {
    private let pages: ImagePages
    /// The next run of each layer.
    private var next: [Int]
    private let buffer: UnsafeMutableRawPointer

    init(_ pages: ImagePages) {
        self.pages = pages
        next = pages.layers.map { _ in 0 }
        unsafe buffer = UnsafeMutableRawPointer.allocate(
            byteCount: Int(Geometry.chunkBytes), alignment: 4096)
    }

    deinit { unsafe buffer.deallocate() }

    /// Has what the files have of a chunk come soon, where it is not here.
    func want(_ chunk: PageRun) {
        forEachPlace(of: chunk) { pages.arrival?.want($1, of: $0) }
    }

    /// Waits for it.
    func demand(_ chunk: PageRun) throws(ImageError) {
        guard let arrival = pages.arrival else { return }
        var places: [(Int, PageRun)] = []
        forEachPlace(of: chunk) { places.append(($0, $1)) }
        for (file, place) in places {
            do throws(Errno) { try arrival.demand(place, of: file) } catch { throw .system(error) }
        }
    }

    /// Calls `body` with what is read of each file when a chunk is copied.
    private func forEachPlace(of chunk: PageRun, _ body: (Int, PageRun) -> Void) {
        let end = min(chunk.upperBound, pages.plainEnd)
        if chunk.lowerBound < end { body(0, chunk.lowerBound..<end) }
        for (index, layer) in pages.layers.enumerated() {
            let runs = layer.file.runs
            var low = 0
            var high = runs.count
            while low < high {
                let middle = (low + high) / 2
                if runs[middle].pages.lowerBound < chunk.lowerBound {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            while low < runs.count, runs[low].pages.lowerBound < chunk.upperBound {
                body(index + 1, runs[low].place..<runs[low].place + UInt64(runs[low].pages.count))
                low += 1
            }
        }
    }

    /// Copies one chunk's runs, each compared with its digest; a higher layer's over a lower one's.
    mutating func copy(_ chunk: PageRun, to overlay: Int32) throws(ImageError) {
        for (index, layer) in pages.layers.enumerated() {
            // What a layer above has cut off is not there any more.
            let end = pages.layers[index...].reduce(UInt64.max) { min($0, $1.file.imageBytes) }
            let runs = layer.file.runs
            while next[index] < runs.count, runs[next[index]].pages.lowerBound < chunk.upperBound {
                let run = runs[next[index]]
                next[index] += 1
                if run.pages.lowerBound < chunk.lowerBound || run.pages.lowerBound >= end {
                    continue
                }
                try unsafe LayerFile.read(run, of: layer.descriptor, into: buffer)
                let code = unsafe csys_write_all(
                    overlay, buffer, run.pages.count, run.pages.lowerBound)
                if code != 0 { throw .system(Errno(rawValue: code)) }
            }
        }
    }
}

extension Arena {
    /// How much of a run of pages of content lies in one place: in the region, or in the file of an
    /// image that may be another than it was.
    ///
    /// - Precondition: `isGuarded`.
    /// - Returns: bytes from `offset` on, at most `count`.
    @_noLocks package func place(
        of offset: UInt64, _ count: UInt64
    ) -> (isFile: Bool, bytes: UInt64) {
        let end = offset + count
        let base = baseBytes
        var page = offset >> 12
        let isFile = page << 12 < base && !region.isMarked(page)
        while page << 12 < end, (page << 12 < base && !region.isMarked(page)) == isFile {
            page += 1
        }
        // Pairs with the release in `fetch`: what a mark stands for is there.
        atomicMemoryFence(ordering: .acquiring)
        return (isFile, min(end, page << 12) - offset)
    }

    /// Reads content that the file has.
    ///
    /// - Throws: `EIO` when it is cut; `.missing` where it is not here yet.
    @_noLocks package func readImage(
        _ offset: UInt64, into target: UnsafeMutableRawPointer, _ count: UInt64
    ) throws(Errno) {
        guard let pointer = unsafe guardPointer else { throw .ioError }
        let code = unsafe cmem_guard_read(
            pointer, target, Int(truncatingIfNeeded: count), offset)
        if code == 0 { return }
        throw code == Errno.missing.rawValue ? .missing : .ioError
    }

    /// What has come of the image; nil where all was here from the beginning.
    package var arrival: Arrival? {
        @_noLocks get {
            guard let pointer = unsafe guardPointer,
                let table = unsafe cmem_guard_presence(pointer)
            else { return nil }
            return unsafe Arrival(table)
        }
    }

    /// Brings pages of content from the file to the region, which has them from then on.
    ///
    /// - Precondition: pages of one run, for which there is memory; their owner's lock is held.
    /// - Throws: `EIO` where the image is changed, `.missing` where it is not here yet; the pages stay the
    ///   file's.
    @_noLocks package func fetch(_ offset: UInt64, _ count: UInt64) throws(Errno) {
        var at = offset & ~(Geometry.pageBytes - 1)
        let end = (offset + count + Geometry.pageBytes - 1) & ~(Geometry.pageBytes - 1)
        while at < end {
            let piece = place(of: at, end - at)
            if piece.isFile {
                do throws(Errno) {
                    try unsafe readImage(at, into: region.base + Int(at), piece.bytes)
                    if isImageChanged { throw Errno.ioError }
                } catch {
                    // What has come means nothing.
                    unsafe cmem_drop(region.base + Int(at), Int(piece.bytes))
                    throw error
                }
                // Whoever finds the mark reads the region.
                atomicMemoryFence(ordering: .releasing)
                region.markWritten(at, piece.bytes)
            }
            at += piece.bytes
        }
    }

    /// Whether the image was found to be changed before. A load.
    package var wasImageChanged: Bool {
        @_noLocks get {
            guard let pointer = unsafe guardPointer else { return false }
            return unsafe cmem_guard_was_changed(pointer)
        }
    }

    /// Whether the image is changed, now or ever since. One system call.
    package var isImageChanged: Bool {
        @_noLocks get {
            guard let pointer = unsafe guardPointer else { return false }
            return unsafe cmem_guard_is_changed(pointer)
        }
    }

    /// Whether the region shows content of a file that somebody may change. A load.
    package var isGuarded: Bool {
        @_noLocks get { volatileState.load(WorkerState.imageGuard) != 0 }
    }

    /// Whether that file is mapped, so that pages without a mark show it.
    var isImageMapped: Bool { volatileState.load(WorkerState.imageMapped) != 0 }

    private var guardPointer: OpaquePointer? {
        @_noLocks get {
            unsafe OpaquePointer(
                bitPattern: UInt(truncatingIfNeeded: volatileState.load(WorkerState.imageGuard)))
        }
    }

    /// Brings pages that hold more than content from the file to the region, before they are believed.
    ///
    /// - Precondition: nobody uses the arena yet.
    /// - Throws: `EIO`; `ENOMEM` where there is no memory for them.
    package func bring(_ offset: UInt64, _ count: UInt64) throws(Errno) {
        if isGuarded, !region.isMarked(offset >> 12) || count > Geometry.pageBytes {
            let start = offset & ~(Geometry.pageBytes - 1)
            let pages = (offset + count - start + Geometry.pageBytes - 1) / Geometry.pageBytes
            guard region.isAffordable(region.cost(start, pages: pages)) else { throw .noMemory }
            if let pointer = unsafe guardPointer, unsafe cmem_guard_presence(pointer) != nil,
                unsafe cmem_guard_await(pointer, Int(pages * Geometry.pageBytes), start) != 0
            {
                throw .ioError
            }
            try fetch(offset, count)
        }
    }

    /// Calls `body` with what a run of pages holds, wherever that lies.
    ///
    /// - Parameter isContent: whether pages without a mark are the file's.
    func forEachPiece(
        of run: PageRun, isContent: Bool,
        _ body: (UInt64, UnsafeRawPointer, Int) throws(Errno) -> Void
    ) throws(Errno) {
        guard isContent, isGuarded, !isImageMapped, run.lowerBound < baseBytes else {
            return try unsafe body(run.lowerBound, region.pointer(run.lowerBound), run.count)
        }
        let most: UInt64 = 1 << 20
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: Int(most), alignment: 4096)
        defer { unsafe buffer.deallocate() }
        var at = run.lowerBound
        while at < run.upperBound {
            let piece = place(of: at, min(most, run.upperBound - at))
            if piece.isFile {
                try unsafe readImage(at, into: buffer, piece.bytes)
                try unsafe body(at, UnsafeRawPointer(buffer), Int(piece.bytes))
            } else {
                try unsafe body(at, region.pointer(at), Int(piece.bytes))
            }
            at += piece.bytes
        }
    }
}
