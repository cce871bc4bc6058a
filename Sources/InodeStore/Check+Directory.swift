// Check of directories: the split-ordered list, its cells, and the map of cookies.

internal import MayflyArena

extension StoreCheck {
    /// A directory's own structures and what its names lead to.
    mutating func checkDirectory(_ directory: UInt64) {
        let owner = "directory \(directory)"
        let cells = checkBuckets(directory, owner)
        var listed: [UInt64: UInt64] = [:]
        var passed: Set<UInt64> = []
        var names: Set<[UInt8]> = []
        var link = region.load(directory + Inode.firstCell)
        var before: UInt64 = 0
        while link != 0 {
            let at = link & ~1
            let key: UInt64
            if link & 1 == 1 {
                guard let expected = cells[at], passed.insert(at).inserted else {
                    arena.note("\(owner): its list leads to \(at), which is no cell of it")
                    break
                }
                key = region.load(at + Dentry.key)
                if key != expected { arena.note("\(owner): the key of cell \(at)") }
            } else {
                guard let dentry = checkDentry(directory, at, &names, owner) else { break }
                key = region.load(at + Dentry.key)
                if listed.updateValue(at, forKey: dentry.cookie) != nil {
                    arena.note("\(owner): two entries with cookie \(dentry.cookie)")
                }
                reach(dentry.inode, from: directory)
                checkName(directory, at, dentry.inode)
            }
            if key < before { arena.note("\(owner): its list is out of order at \(at)") }
            before = key
            link = region.load(at + Dentry.link)
        }
        for (cell, key) in cells where region.load(cell + Dentry.key) != 0 {
            if !passed.contains(cell) {
                arena.note("\(owner): open cell \(cell) with key \(key) is on no list")
            }
        }
        checkCookies(directory, listed, owner)
    }

    private mutating func checkDentry(
        _ directory: UInt64, _ dentry: UInt64, _ names: inout Set<[UInt8]>, _ owner: String
    ) -> (cookie: UInt64, inode: UInt64)? {
        let nameCount = UInt64(region.loadIfInside32(dentry, Dentry.nameWord) ?? 0) & 0xFF
        guard nameCount >= 1, nameCount <= 255,
            claimBlob(dentry, bytes: Dentry.bytes(nameCount: nameCount), "entry of \(owner)")
        else {
            arena.note("\(owner): entry \(dentry) with a name of \(nameCount) bytes")
            return nil
        }
        report.dentries += 1
        let name = bytes(dentry + Dentry.name, nameCount)
        if name.contains(0) || name.contains(0x2F) || name == [0x2E] || name == [0x2E, 0x2E] {
            arena.note("\(owner): \(name) is no name")
        }
        if !isForServing, !names.insert(name).inserted { arena.note("\(owner): \(name) twice") }
        let hash = unsafe name.withUnsafeBytes { unsafe Name($0).hash() }
        if region.load(dentry + Dentry.key) != Directory.reversed(hash) | 1 {
            arena.note("\(owner): \(name) has another name's key")
        }
        return (region.load(dentry + Dentry.cookie), region.load(dentry + Dentry.inode))
    }

    /// Cells that the table leads to, with the keys they must have once they are open.
    private mutating func checkBuckets(_ directory: UInt64, _ owner: String) -> [UInt64: UInt64] {
        let count = region.load(directory + Inode.bucketCount)
        let table = region.load(directory + Inode.bucketTable)
        guard count == 1 || (8...Directory.bucketLimit).contains(count),
            count & (count - 1) == 0
        else {
            arena.note("\(owner): \(count) buckets")
            return [:]
        }
        if table == 0 {
            if count > 1 { arena.note("\(owner): \(count) buckets without a table") }
            return [:]
        }
        guard arena.claim(.small, table, Directory.tableBytes >> 6, "table of \(owner)") else {
            return [:]
        }
        var cells: [UInt64: UInt64] = [:]
        for segment in 0..<Directory.tableBytes / 8 {
            let start = region.load(table + segment * 8)
            let first = Directory.segmentStart(segment)
            if start == 0 {
                if first < count && count > 1 { arena.note("\(owner): segment \(segment)") }
                continue
            }
            let length = Directory.segmentCells(segment)
            guard claimBlob(start, bytes: length * 16, "cells of \(owner)") else { continue }
            for index in 0..<length where first + index > 0 {
                let cell = start + index * 16
                if region.load(cell + Dentry.key) != 0 && first + index >= count {
                    arena.note("\(owner): bucket \(first + index) is open before its time")
                }
                cells[cell] = Directory.reversed(first + index)
            }
        }
        return cells
    }

    private mutating func checkCookies(
        _ directory: UInt64, _ listed: [UInt64: UInt64], _ owner: String
    ) {
        let next = region.load(directory + Inode.nextCookie)
        // More than the map could ever lead to.
        if next < Directory.firstCookie || next >= Directory.cookieLimit {
            arena.note("\(owner): its next cookie is \(next)")
        }
        let map = region.load(directory + Inode.cookies)
        let mapped = entries(map, "cookies of \(owner)")
        for (cookie, dentry) in mapped where listed[cookie] != dentry {
            arena.note("\(owner): cookie \(cookie) leads to \(dentry), which does not have it")
        }
        if mapped.count != listed.count {
            arena.note("\(owner): \(listed.count) entries, \(mapped.count) cookies")
        }
        for cookie in listed.keys where cookie < Directory.firstCookie || cookie >= next {
            arena.note("\(owner): cookie \(cookie) was never given")
        }
        if region.load(directory + Inode.entries) != UInt64(listed.count) {
            let counted = region.load(directory + Inode.entries)
            arena.note("\(owner): \(listed.count) entries, \(counted) counted")
        }
        if listed.isEmpty && map != 0 { arena.note("\(owner): empty, with a map of cookies") }
    }
}
