// Check of content: maps, pages, blobs and symlink targets.

internal import MayflyArena

extension StoreCheck {
    /// The content of a regular file.
    mutating func checkContent(_ inode: InodeOffset, pages: UInt64) {
        let map = MapWord(region.load(inode + Inode.content))
        let size = region.load(inode + Inode.size)
        if size > UInt64(Int64.max) { arena.note("inode \(inode): size \(size)") }
        var count: UInt64 = 0
        if map.form == MapWord.blobForm {
            count = 1
            let units = map.detail
            report.blobs += 1
            if units == 0 || units * 64 > Content.blobLimit {
                arena.note("inode \(inode): a blob of \(units) units")
            }
            if arena.claim(.small, map.offset, units, "content of inode \(inode)"),
                size < units * 64,
                !region.isZero(map.offset + size, units * 64 - size)
            {
                arena.note("inode \(inode): bytes beyond the end of its blob")
            }
        } else {
            var found = values
            values = []
            found.removeAll(keepingCapacity: true)
            addEntries(map, "inode \(inode)", to: &found)
            count = UInt64(found.count)
            if isForServing {
                claimPages(inode, found)
            } else {
                for (index, value) in found {
                    checkPage(inode, index: index, value: value, size: size)
                }
            }
            values = found
        }
        report.pages += count
        if count != pages {
            arena.note("inode \(inode): \(count) pages, \(pages) charged")
        }
    }

    /// Claims the pages of a file by runs that lie together.
    private mutating func claimPages(
        _ inode: InodeOffset, _ found: [(index: UInt64, value: UInt64)]
    ) {
        // Behind that the position in bytes would overflow.
        if let last = found.last, last.index > UInt64(Int64.max) >> 12 {
            return arena.note("inode \(inode): page \(last.index) is beyond any file's end")
        }
        var start = 0
        while start < found.count {
            let page = found[start].value & ~Content.unwritten
            if arena.mayShare(page) {
                claimPage(inode, found[start])
                start += 1
                continue
            }
            var count: UInt64 = 1
            while start + Int(count) < found.count, count < 512,
                found[start + Int(count)].value & ~Content.unwritten == page &+ count << 12,
                (page &+ count << 12) & (Geometry.chunkBytes - 1) != 0
            {
                count += 1
            }
            _ = arena.claim(.pages, page, count, "page \(found[start].index) of inode \(inode)")
            start += Int(count)
        }
    }

    /// Claims a page of a file, which other files may have, too, once it was written.
    @discardableResult
    private mutating func claimPage(
        _ inode: InodeOffset, _ entry: (index: UInt64, value: UInt64)
    ) -> Bool {
        let page = entry.value & ~Content.unwritten
        return entry.value & Content.unwritten != 0
            ? arena.claim(.pages, page, 1, "page \(entry.index) of inode \(inode)")
            : arena.claimContent(page, "page \(entry.index) of inode \(inode)")
    }

    private mutating func checkPage(
        _ inode: InodeOffset, index: UInt64, value: UInt64, size: UInt64
    ) {
        // Behind that the position in bytes would overflow.
        if index > UInt64(Int64.max) >> 12 {
            return arena.note("inode \(inode): page \(index) is beyond any file's end")
        }
        let page = value & ~Content.unwritten
        guard claimPage(inode, (index, value)), value & Content.unwritten == 0 else { return }
        let start = index << 12
        if start >= size {
            // fallocate(2) wrote it, being asked twice.
            if !region.isZero(page, 4096) {
                arena.note("inode \(inode): bytes in page \(index), beyond its end")
            }
        } else if size - start < 4096,
            !region.isZero(page + (size - start), 4096 - (size - start))
        {
            arena.note("inode \(inode): bytes beyond the end in its last page")
        }
    }

    /// The target of a symlink.
    mutating func checkTarget(_ inode: InodeOffset, pages: UInt64) {
        let size = region.load(inode + Inode.size)
        let map = MapWord(region.load(inode + Inode.content))
        if size == 0 || size > 4095 { arena.note("inode \(inode): a target of \(size) bytes") }
        if pages != (size >= 128 ? 1 : 0) {
            arena.note("inode \(inode): \(pages) pages for a target of \(size) bytes")
        }
        if size <= Inode.inlineBytes {
            if map != .empty { arena.note("inode \(inode): a short target with a blob") }
            return
        }
        report.blobs += 1
        guard map.form == MapWord.blobForm, map.detail == (size + 63) >> 6
        else { return arena.note("inode \(inode): a target in \(map)") }
        _ = arena.claim(
            .small, map.offset, map.detail, "target of inode \(inode)")
    }

    // MARK: maps

    /// The values of a map, whose nodes are claimed.
    mutating func entries(
        _ map: MapWord, _ owner: @autoclosure () -> String
    ) -> [(index: UInt64, value: UInt64)] {
        var values: [(index: UInt64, value: UInt64)] = []
        addEntries(map, owner(), to: &values)
        return values
    }

    /// The same behind others.
    mutating func addEntries(
        _ map: MapWord, _ owner: @autoclosure () -> String,
        to values: inout [(index: UInt64, value: UInt64)]
    ) {
        if map == .empty { return }
        let height = map.height
        let detail = map.detail
        guard height >= 1, height <= 6, height == 1 ? (3...9).contains(detail) : detail == 0 else {
            return arena.note("\(owner()): map word \(map)")
        }
        walkNode(
            map.offset, level: height, base: 0,
            entries: height == 1 ? 1 << detail : 512, owner, &values)
    }

    private mutating func walkNode(
        _ node: UInt64, level: UInt64, base: UInt64, entries: UInt64, _ owner: () -> String,
        _ values: inout [(index: UInt64, value: UInt64)]
    ) {
        guard claimBlob(node, bytes: entries * 8, "map node of \(owner())") else { return }
        report.mapNodes += 1
        for entry in 0..<entries {
            let value = region.load(node + entry * 8)
            if value == 0 { continue }
            let index = base + entry << (9 * (level - 1))
            if level == 1 {
                values.append((index, value))
            } else {
                walkNode(value, level: level - 1, base: index, entries: 512, owner, &values)
            }
        }
    }
}
