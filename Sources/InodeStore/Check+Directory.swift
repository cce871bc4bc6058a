// Check of directories: the split-ordered list, its cells, and the map of cookies.

internal import MayflyArena

/// The cells of a directory's buckets that its table leads to.
private struct BucketCells {
    private var segments: [(start: UInt64, first: UInt64, count: UInt64)] = []
    /// A bit for each bucket whose cell was met on the list.
    private var passed: [UInt64] = []

    mutating func add(start: UInt64, first: UInt64, count: UInt64) {
        segments.append((start, first, count))
        let words = Int((first + count + 63) / 64)
        if passed.count < words {
            passed += [UInt64](repeating: 0, count: words - passed.count)
        }
    }

    /// The bucket of the cell at an offset; nil where there is no cell.
    func bucket(at offset: UInt64) -> UInt64? {
        for segment in segments
        where offset >= segment.start && offset - segment.start < segment.count * 16 {
            let index = (offset - segment.start) / 16
            guard (offset - segment.start) & 15 == 0, segment.first + index > 0 else { return nil }
            return segment.first + index
        }
        return nil
    }

    /// Notes that a cell was met; false where it was before.
    mutating func pass(_ bucket: UInt64) -> Bool {
        let bit: UInt64 = 1 << (bucket & 63)
        if passed[Int(bucket >> 6)] & bit != 0 { return false }
        passed[Int(bucket >> 6)] |= bit
        return true
    }

    /// Calls `body` with each cell that was not met.
    func forEachNotPassed(_ body: (_ cell: UInt64) -> Void) {
        for segment in segments {
            for index in 0..<segment.count where segment.first + index > 0 {
                let bucket = segment.first + index
                if passed[Int(bucket >> 6)] & 1 << (bucket & 63) == 0 {
                    body(segment.start + index * 16)
                }
            }
        }
    }
}

extension StoreCheck {
    /// A directory's own structures and what its names lead to.
    mutating func checkDirectory(_ directory: InodeOffset) {
        let owner = "directory \(directory)"
        var cells = checkBuckets(directory, owner)
        let cookies = checkCookieMap(directory, owner)
        var names: Set<[UInt8]> = []
        var listed: UInt64 = 0
        var link = region.load(directory + Inode.firstCell)
        var before: UInt64 = 0
        while link != 0 {
            let at = link & ~1
            let key: UInt64
            if link & 1 == 1 {
                guard let bucket = cells.bucket(at: at), cells.pass(bucket) else {
                    arena.note("\(owner): its list leads to \(at), which is no cell of it")
                    break
                }
                key = region.load(at + Dentry.key)
                if key != Directory.reversed(bucket) {
                    arena.note("\(owner): the key of cell \(at)")
                }
            } else {
                let dentry = DentryOffset(at)
                guard let entry = checkDentry(directory, dentry, &names, owner) else { break }
                key = region.load(dentry + Dentry.key)
                listed += 1
                checkCookie(entry.cookie, of: dentry, cookies, owner)
                reach(entry.inode, from: directory)
                checkName(directory, dentry, entry.inode)
            }
            if key < before { arena.note("\(owner): its list is out of order at \(at)") }
            before = key
            link = region.load(at + Dentry.link)
        }
        let passed = cells
        passed.forEachNotPassed { cell in
            let key = region.load(cell + Dentry.key)
            if key != 0 { arena.note("\(owner): open cell \(cell) with key \(key) is on no list") }
        }
        checkCounts(directory, listed, cookies, owner)
    }

    private mutating func checkDentry(
        _ directory: InodeOffset, _ dentry: DentryOffset, _ names: inout Set<[UInt8]>,
        _ owner: String
    ) -> (cookie: UInt64, inode: InodeOffset)? {
        let nameCount = UInt64(region.loadIfInside32(dentry.rawValue, Dentry.nameWord) ?? 0) & 0xFF
        guard nameCount >= 1, nameCount <= 255,
            claimBlob(
                dentry.rawValue, bytes: Dentry.bytes(nameCount: nameCount), "entry of \(owner)")
        else {
            arena.note("\(owner): entry \(dentry) with a name of \(nameCount) bytes")
            return nil
        }
        report.dentries += 1
        let name = unsafe UnsafeRawBufferPointer(
            start: region.pointer(dentry + Dentry.name), count: Int(nameCount))
        let isDots = unsafe name[0] == 0x2E && (nameCount == 1 || nameCount == 2 && name[1] == 0x2E)
        if unsafe isDots || name.contains(where: { $0 == 0 || $0 == 0x2F }) {
            arena.note("\(owner): \(region.bytes(dentry + Dentry.name, nameCount)) is no name")
        }
        if !isForServing, !names.insert(region.bytes(dentry + Dentry.name, nameCount)).inserted {
            arena.note("\(owner): \(region.bytes(dentry + Dentry.name, nameCount)) twice")
        }
        let hash = unsafe Name(name).hash()
        if region.load(dentry + Dentry.key) != hash.key {
            arena.note("\(owner): entry \(dentry) has another name's key")
        }
        return (
            region.load(dentry + Dentry.cookie), InodeOffset(region.load(dentry + Dentry.inode))
        )
    }

    /// Cells that the table leads to.
    private mutating func checkBuckets(_ directory: InodeOffset, _ owner: String) -> BucketCells {
        var cells = BucketCells()
        let count = region.load(directory + Inode.bucketCount)
        let table = region.load(directory + Inode.bucketTable)
        guard count == 1 || (8...Directory.bucketLimit).contains(count),
            count & (count - 1) == 0
        else {
            arena.note("\(owner): \(count) buckets")
            return cells
        }
        if table == 0 {
            if count > 1 { arena.note("\(owner): \(count) buckets without a table") }
            return cells
        }
        guard arena.claim(.small, table, Directory.tableBytes >> 6, "table of \(owner)") else {
            return cells
        }
        for segment in 0..<Directory.tableBytes / 8 {
            let start = region.load(table + segment * 8)
            let first = Directory.segmentStart(segment)
            if start == 0 {
                if first < count && count > 1 { arena.note("\(owner): segment \(segment)") }
                continue
            }
            let length = Directory.segmentCells(segment)
            guard claimBlob(start, bytes: length * 16, "cells of \(owner)") else { continue }
            cells.add(start: start, first: first, count: length)
            for index in 0..<length where first + index > 0 && first + index >= count {
                if region.load(start + index * 16 + Dentry.key) != 0 {
                    arena.note("\(owner): bucket \(first + index) is open before its time")
                }
            }
        }
        return cells
    }

    /// What is known of a directory's map of cookies.
    private struct Cookies {
        let map: MapWord
        /// How many there are.
        let count: UInt64
        /// The first that was never given.
        let next: UInt64
        /// Whether the map may be read.
        let isSound: Bool
    }

    private mutating func checkCookieMap(_ directory: InodeOffset, _ owner: String) -> Cookies {
        let next = region.load(directory + Inode.nextCookie)
        // More than the map could ever lead to.
        if next < Directory.firstCookie || next >= Directory.cookieLimit {
            arena.note("\(owner): its next cookie is \(next)")
        }
        let map = MapWord(region.load(directory + Inode.cookies))
        let problems = arena.problemCount
        var mapped = values
        values = []
        mapped.removeAll(keepingCapacity: true)
        addEntries(map, "cookies of \(owner)", to: &mapped)
        let count = UInt64(mapped.count)
        values = mapped
        return Cookies(
            map: map, count: count, next: next, isSound: arena.problemCount == problems)
    }

    /// That a cookie leads to its dentry. With as many cookies as dentries, each to another, none can lead
    /// anywhere else.
    private mutating func checkCookie(
        _ cookie: UInt64, of dentry: DentryOffset, _ cookies: Cookies, _ owner: String
    ) {
        if cookie < Directory.firstCookie || cookie >= cookies.next {
            arena.note("\(owner): cookie \(cookie) was never given")
        }
        if cookies.isSound, worker.mapValue(cookies.map, cookie) != dentry.rawValue {
            arena.note("\(owner): cookie \(cookie) does not lead to entry \(dentry), which has it")
        }
    }

    private mutating func checkCounts(
        _ directory: InodeOffset, _ listed: UInt64, _ cookies: Cookies, _ owner: String
    ) {
        if cookies.count != listed {
            arena.note("\(owner): \(listed) entries, \(cookies.count) cookies")
        }
        let counted = region.load(directory + Inode.entries)
        if counted != listed { arena.note("\(owner): \(listed) entries, \(counted) counted") }
        if listed == 0 && cookies.map != .empty {
            arena.note("\(owner): empty, with a map of cookies")
        }
    }
}
