// Check of content: maps, pages, blobs and symlink targets.

internal import MayflyArena

extension StoreCheck {
    /// The content of a regular file.
    mutating func checkContent(_ inode: UInt64, pages: UInt64) {
        let map = region.load(inode + Inode.content)
        let size = region.load(inode + Inode.size)
        if size > UInt64(Int64.max) { arena.note("inode \(inode): size \(size)") }
        var count: UInt64 = 0
        if MapWord.form(map) == MapWord.blobForm {
            count = 1
            let units = MapWord.detail(map)
            report.blobs += 1
            if units == 0 || units * 64 > Content.blobLimit {
                arena.note("inode \(inode): a blob of \(units) units")
            }
            if arena.claim(.small, MapWord.offset(map), units, "content of inode \(inode)"),
                size < units * 64,
                !region.isZero(MapWord.offset(map) + size, units * 64 - size)
            {
                arena.note("inode \(inode): bytes beyond the end of its blob")
            }
        } else {
            for (index, value) in entries(map, "inode \(inode)") {
                count += 1
                checkPage(inode, index: index, value: value, size: size)
            }
        }
        report.pages += count
        if count != pages {
            arena.note("inode \(inode): \(count) pages, \(pages) charged")
        }
    }

    private mutating func checkPage(_ inode: UInt64, index: UInt64, value: UInt64, size: UInt64) {
        // Behind that the position in bytes would overflow.
        if index > UInt64(Int64.max) >> 12 {
            return arena.note("inode \(inode): page \(index) is beyond any file's end")
        }
        let page = value & ~Content.unwritten
        // What was never written is nobody else's.
        let isUnwritten = value & Content.unwritten != 0
        let isClaimed =
            isUnwritten
            ? arena.claim(.pages, page, 1, "page \(index) of inode \(inode)")
            : arena.claimContent(page, "page \(index) of inode \(inode)")
        guard isClaimed, !isForServing, !isUnwritten else { return }
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
    mutating func checkTarget(_ inode: UInt64, pages: UInt64) {
        let size = region.load(inode + Inode.size)
        let map = region.load(inode + Inode.content)
        if size == 0 || size > 4095 { arena.note("inode \(inode): a target of \(size) bytes") }
        if pages != (size >= 128 ? 1 : 0) {
            arena.note("inode \(inode): \(pages) pages for a target of \(size) bytes")
        }
        if size <= Inode.inlineBytes {
            if map != 0 { arena.note("inode \(inode): a short target with a blob") }
            return
        }
        report.blobs += 1
        guard MapWord.form(map) == MapWord.blobForm, MapWord.detail(map) == (size + 63) >> 6
        else { return arena.note("inode \(inode): a target in \(map)") }
        _ = arena.claim(
            .small, MapWord.offset(map), MapWord.detail(map), "target of inode \(inode)")
    }

    // MARK: maps

    /// The values of a map, whose nodes are claimed.
    mutating func entries(_ map: UInt64, _ owner: String) -> [(index: UInt64, value: UInt64)] {
        var values: [(index: UInt64, value: UInt64)] = []
        if map == 0 { return values }
        let height = MapWord.height(map)
        let detail = MapWord.detail(map)
        guard height >= 1, height <= 6, height == 1 ? (3...9).contains(detail) : detail == 0 else {
            arena.note("\(owner): map word \(map)")
            return values
        }
        walkNode(
            MapWord.offset(map), level: height, base: 0,
            entries: height == 1 ? 1 << detail : 512, owner, &values)
        return values
    }

    private mutating func walkNode(
        _ node: UInt64, level: UInt64, base: UInt64, entries: UInt64, _ owner: String,
        _ values: inout [(index: UInt64, value: UInt64)]
    ) {
        guard claimBlob(node, bytes: entries * 8, "map node of \(owner)") else { return }
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
