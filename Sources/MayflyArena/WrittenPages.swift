// WrittenPages: which pages of a region may differ from the file that it is a private mapping of.
//
// A page becomes private by its first write. The kernel knows which those are (PAGEMAP_SCAN), but
// looks at every page that was ever touched to tell: 1 ms for 1 GiB. So each write marks its page:
// a byte for each page, and one for each 2 MiB of which any page is marked. They lie below the
// region's base, the first page's next to it, so that no other word is needed to find them, and
// are in no image.
//
// A mark is set before what it stands for is written, and is cleared when the page is the file's
// again. So a page without a mark is the file's, and one with a mark may be.
//
// Ordering: marks are relaxed. Who looks at them has stopped the workers (`enter` of each acquires
// what `leave` released). Who writes without having entered a worker writes to the headers alone,
// whose marks are never cleared: a write that has found its mark set may still be under way.

internal import CMayflyMemory
internal import Glibc
public import Synchronization
internal import SystemPackage

extension Region {
    /// Bytes below the base, in whole OS pages: a mark for each page, one for each chunk, and at the
    /// lower end a page of words (MemoryBudget.swift).
    @_noLocks static func markBytes(for bytes: UInt64) -> UInt64 {
        let marks = bytes / Geometry.pageBytes + bytes / Geometry.chunkBytes
        return (marks + Geometry.pageBytes - 1) & ~(Geometry.pageBytes - 1) + Geometry.pageBytes
    }

    func mapMarks(_ count: UInt64) throws(Errno) {
        // Marks of pages that lie far apart are seldom set together: no huge pages.
        let start = unsafe base - Int(count)
        guard unsafe mprotect(start, Int(count), PROT_READ | PROT_WRITE) == 0 else {
            throw Errno(rawValue: errno)
        }
        unsafe madvise(start, Int(count), MADV_NOHUGEPAGE)
        unsafe madvise(start, Int(count), MADV_DONTDUMP)
    }

    /// The mark of the number-th page; those of chunks lie behind those of pages.
    @inlinable @inline(always) @_noLocks
    func markOfPage(_ number: UInt64) -> UnsafeMutablePointer<Atomic<UInt8>> {
        unsafe (base - 1 - Int(truncatingIfNeeded: number))
            .assumingMemoryBound(to: Atomic<UInt8>.self)
    }

    @usableFromInline @_noLocks
    func markOfChunk(_ number: UInt64) -> UnsafeMutablePointer<Atomic<UInt8>> {
        unsafe markOfPage(bytes / Geometry.pageBytes + number)
    }

    /// Notes that the page of an offset is written.
    @inlinable @inline(always) @_noLocks
    func mark(_ offset: UInt64) {
        if unsafe markOfPage(offset >> 12).pointee.load(ordering: .relaxed) == 0 {
            markFirst(offset)
        }
    }

    /// Whether the number-th page was written.
    @_noLocks func isMarked(_ number: UInt64) -> Bool {
        unsafe markOfPage(number).pointee.load(ordering: .relaxed) != 0
    }

    @usableFromInline @inline(never) @_noLocks
    func markFirst(_ offset: UInt64) {
        unsafe markOfChunk(offset / Geometry.chunkBytes).pointee.store(1, ordering: .relaxed)
        unsafe markOfPage(offset >> 12).pointee.store(1, ordering: .relaxed)
        if offset < privateEnd { cmem_budget_draw(1) }
    }

    /// Notes that `count` bytes from `offset` are written.
    @inlinable @_noLocks
    func markWritten(_ offset: UInt64, _ count: UInt64) {
        if count == 0 { return }
        var page = offset >> 12
        let last = (offset + count - 1) >> 12
        while page <= last {
            mark(page << 12)
            page += 1
        }
    }

    /// Forgets that pages were written, but for the headers'.
    ///
    /// - Precondition: the pages are the file's; nobody writes there.
    func clearMarks(_ run: PageRun) {
        var at = max(run.lowerBound, Geometry.chunkBytes)
        while at < run.upperBound {
            let chunk = at / Geometry.chunkBytes
            let end = min(run.upperBound, (chunk + 1) * Geometry.chunkBytes)
            if unsafe markOfChunk(chunk).pointee.load(ordering: .relaxed) != 0 {
                for page in at >> 12..<end >> 12 {
                    unsafe markOfPage(page).pointee.store(0, ordering: .relaxed)
                }
                if !isAnyMarked(chunk) {
                    unsafe markOfChunk(chunk).pointee.store(0, ordering: .relaxed)
                }
            }
            at = end
        }
    }

    /// The marks of eight pages, the first in the highest byte.
    @_noLocks func marksOfEight(_ number: UInt64) -> UInt64 {
        unsafe UnsafeRawPointer(markOfPage(number * 8 + 7))
            .assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
    }

    private func isAnyMarked(_ chunk: UInt64) -> Bool {
        let first = chunk * Geometry.chunkBytes >> 15
        return (first..<first + Geometry.chunkBytes >> 15).contains { marksOfEight($0) != 0 }
    }

    /// The pages before `end`, a multiple of 2 MiB, that were written; in ascending order.
    ///
    /// - Complexity: O(chunks), and the pages of those in which something was written.
    func writtenRuns(to end: UInt64) -> [PageRun] {
        var runs: [PageRun] = []
        for chunk in 0..<end / Geometry.chunkBytes
        where unsafe markOfChunk(chunk).pointee.load(ordering: .relaxed) != 0 {
            let first = chunk * Geometry.chunkBytes >> 15
            for eight in first..<first + Geometry.chunkBytes >> 15 {
                var marks = marksOfEight(eight)
                while marks != 0 {
                    let within = UInt64(marks.leadingZeroBitCount) / 8
                    marks &= ~(0xFF << (56 - within * 8))
                    let at = (eight * 8 + within) << 12
                    if let last = runs.last, last.upperBound == at {
                        runs[runs.count - 1] = last.lowerBound..<at + Geometry.pageBytes
                    } else {
                        runs.append(at..<at + Geometry.pageBytes)
                    }
                }
            }
        }
        return runs
    }
}

extension Region {
    /// The parts of a run that were written, in ascending order.
    func writtenRuns(in run: PageRun) -> [PageRun] {
        var runs: [PageRun] = []
        var start: UInt64?
        for page in run.lowerBound >> 12..<run.upperBound >> 12 {
            if unsafe markOfPage(page).pointee.load(ordering: .relaxed) != 0 {
                start = start ?? page << 12
            } else if let from = start {
                runs.append(from..<page << 12)
                start = nil
            }
        }
        if let start { runs.append(start..<run.upperBound) }
        return runs
    }
}

extension Arena {
    /// Pages of the private mapping of a file that may differ from it, in ascending order.
    ///
    /// - Precondition: nobody changes the arena; else what is being written may be missing.
    package func writtenRuns() -> [PageRun] { region.writtenRuns(to: baseBytes) }

    /// Private pages, as the kernel knows them, without a mark: none, if every write sets one.
    ///
    /// - Precondition: as `writtenRuns`.
    /// - Complexity: O(page tables of the range). For tests.
    package func unmarkedRuns() -> [PageRun] {
        (privateRuns() ?? []).filter { run in
            (run.lowerBound >> 12..<run.upperBound >> 12).contains { page in
                unsafe region.markOfPage(page).pointee.load(ordering: .relaxed) == 0
            }
        }
    }
}
