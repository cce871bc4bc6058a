// RadixMap: from an index to a word: pages of a file, dentries of a directory by cookie.
//
// A map word in the inode is the whole state, so that readers see one moment of it:
//
//     63..56  form: 0 empty, 1 blob (small content, Content.swift), 2 + height for a tree
//     55..48  blob: units of 64 bytes; tree of height 1: log2 of the leaf's entries (3...9)
//     47..0   offset
//
// A tree of height 1 is one leaf of 8 to 512 entries, which grows by doubling into a copy; higher
// trees have nodes of 512 entries. An entry of 0 is a hole. Nodes are published with release and
// read with acquire; what is replaced is retired.

internal import MayflyArena
internal import SystemPackage

/// A map word.
@frozen package struct MapWord: Sendable {
    package let rawValue: UInt64
    @inlinable @_noLocks package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @_noLocks init(form: UInt64, detail: UInt64, offset: UInt64) {
        rawValue = form << 56 | detail << 48 | offset
    }

    static var empty: MapWord { @_noLocks get { MapWord(0) } }
    static var offsetMask: UInt64 { @_noLocks get { (1 << 48) - 1 } }
    static var blobForm: UInt64 { @_noLocks get { 1 } }

    var form: UInt64 { @_noLocks get { rawValue >> 56 } }
    var detail: UInt64 { @_noLocks get { (rawValue >> 48) & 0xFF } }
    var offset: UInt64 { @_noLocks get { rawValue & Self.offsetMask } }
    var height: UInt64 { @_noLocks get { form < 3 ? 0 : form - 2 } }
    /// Entries that a tree of this word can index.
    var span: UInt64 {
        @_noLocks get {
            if height == 0 { return 0 }
            if height == 1 { return 1 << detail }
            return 1 << (9 * height)
        }
    }

    @_noLocks static func == (one: MapWord, other: MapWord) -> Bool {
        one.rawValue == other.rawValue
    }
    @_noLocks static func != (one: MapWord, other: MapWord) -> Bool {
        one.rawValue != other.rawValue
    }
}

extension StoreWorker {
    /// Where the entry of `index` stands, or 0 when no leaf covers it.
    @_noLocks func mapSlot(_ map: MapWord, _ index: UInt64) -> UInt64 {
        guard index < map.span else { return 0 }
        var level = map.height
        var node = map.offset
        while level > 1 {
            node = region.loadAcquire(node + ((index >> (9 * (level - 1))) & 511) * 8)
            if node == 0 { return 0 }
            level -= 1
        }
        return node + (level == 1 && map.height == 1 ? index : index & 511) * 8
    }

    /// Entries from `index` to the end of its leaf.
    @_noLocks func entriesInLeaf(_ map: MapWord, from index: UInt64) -> UInt64 {
        if map.height == 1 && index < map.span {
            return map.span - index
        }
        return 512 - (index & 511)
    }

    /// The value at `index`, 0 for a hole.
    @_noLocks func mapValue(_ map: MapWord, _ index: UInt64) -> UInt64 {
        let slot = mapSlot(map, index)
        return slot == 0 ? 0 : region.loadAcquire(slot)
    }

    /// The first index at or after `start` with a value, and the value.
    ///
    /// - Complexity: O(height) and the holes inside the nodes passed.
    @_noLocks
    func mapNext(_ map: MapWord, from start: UInt64) -> (index: UInt64, value: UInt64)? {
        let span = map.span
        var index = start
        while index < span {
            var level = map.height
            var node = map.offset
            while level > 1 {
                let shift = 9 * (level - 1)
                node = region.loadAcquire(node + ((index >> shift) & 511) * 8)
                if node == 0 {
                    index = ((index >> shift) + 1) << shift
                    break
                }
                level -= 1
            }
            if node == 0 { continue }
            var left = entriesInLeaf(map, from: index)
            var slot = node + (map.height == 1 ? index : index & 511) * 8
            while left > 0 {
                let value = region.loadAcquire(slot)
                if value != 0 { return (index, value) }
                slot += 8
                index += 1
                left -= 1
            }
        }
        return nil
    }

    /// Where the entry of `index` stands, with a leaf made for it if there is none.
    ///
    /// - Parameter field: offset of the map word; its form is empty or a tree.
    /// - Precondition: the inode's lock is held.
    /// - Throws: `ENOSPC` when the region is used up; the map stays whole.
    @_noLocks func ensureSlot(_ field: UInt64, _ index: UInt64) throws(Errno) -> UInt64 {
        var map = MapWord(region.load(field))
        if index >= map.span { map = try growMap(field, toHold: index) }
        var level = map.height
        if level == 1 { return map.offset + index * 8 }
        var node = map.offset
        while level > 1 {
            let entry = node + ((index >> (9 * (level - 1))) & 511) * 8
            var child = region.load(entry)
            if child == 0 {
                child = try allocateNode(entriesLog2: 9)
                region.storeRelease(entry, child)
            }
            node = child
            level -= 1
        }
        return node + (index & 511) * 8
    }

    @_noLocks private func allocateNode(entriesLog2: UInt64) throws(Errno) -> UInt64 {
        let bytes: UInt64 = 8 << entriesLog2
        let run = try allocateBlob(bytes: bytes)
        if !run.isClean { region.zero(run.offset, bytes) }
        return run.offset
    }

    @_noLocks
    private func growMap(_ field: UInt64, toHold index: UInt64) throws(Errno) -> MapWord {
        var map = MapWord(region.load(field))
        while index >= map.span {
            let height = map.height
            let offset = map.offset
            if height == 0 && index >= 512 {
                // An empty map at once as high as it must be, without a leaf at its beginning.
                var high: UInt64 = 2
                while index >> (9 * high) != 0 { high += 1 }
                let root = try allocateNode(entriesLog2: 9)
                map = MapWord(form: 2 + high, detail: 0, offset: root)
            } else if height <= 1 && map.detail < 9 {
                // A larger leaf, at least double, at most 512 entries.
                var log2 = height == 0 ? 3 : map.detail + 1
                while log2 < 9 && index >> log2 != 0 { log2 += 1 }
                let leaf = try allocateNode(entriesLog2: log2)
                if height == 1 {
                    let bytes: UInt64 = 8 << map.detail
                    var at: UInt64 = 0
                    while at < bytes {
                        region.store(leaf + at, region.load(offset + at))
                        at += 8
                    }
                    retireBlob(offset, bytes: bytes)
                }
                map = MapWord(form: 3, detail: log2, offset: leaf)
            } else {
                let root = try allocateNode(entriesLog2: 9)
                region.store(root, offset)
                map = MapWord(form: map.form + 1, detail: 0, offset: root)
            }
            changes.storeRelease(field, map.rawValue)
        }
        return map
    }

    /// Sets the entry of `index` to 0 and gives back the leaf that becomes empty.
    ///
    /// - Precondition: the inode's lock is held.
    @_noLocks func clearEntry(_ field: UInt64, _ index: UInt64) {
        let map = MapWord(region.load(field))
        let slot = mapSlot(map, index)
        guard slot != 0 else { return }
        changes.storeRelease(slot, 0)
        guard map.height > 1 else { return }
        // Most leaves that are not empty show it beside the entry.
        let within = index & 511
        if within > 0 && region.load(slot - 8) != 0 { return }
        if within < 511 && region.load(slot + 8) != 0 { return }
        dropLeafIfEmpty(map, index, isNoted: true)
    }

    /// Unlinks the leaf that covers `index` if it holds no value, and every node above it that
    /// becomes empty, but not the root: nodes are charged to nobody, so none may outlive its pages.
    ///
    /// - Parameter isNoted: where an unfinished change must find again what was in the leaf.
    @_noLocks func dropLeafIfEmpty(_ map: MapWord, _ index: UInt64, isNoted: Bool = false) {
        var level: UInt64 = 1
        while level < map.height {
            let entry = entryAbove(map, index, level: level)
            let node = entry == 0 ? 0 : region.load(entry)
            if node != 0 {
                guard isEmptyNode(node) else { return }
                if isNoted {
                    changes.storeRelease(entry, 0)
                } else {
                    region.storeRelease(entry, 0)
                }
                retireBlob(node, bytes: 4096)
            }
            level += 1
        }
    }

    /// Where the node of `level` that covers `index` is entered, 0 when nothing leads there.
    @_noLocks private func entryAbove(_ map: MapWord, _ index: UInt64, level: UInt64) -> UInt64 {
        var at = map.height
        var node = map.offset
        while true {
            let entry = node + ((index >> (9 * (at - 1))) & 511) * 8
            at -= 1
            if at == level { return entry }
            node = region.load(entry)
            if node == 0 { return 0 }
        }
    }

    @_noLocks private func isEmptyNode(_ node: UInt64) -> Bool {
        var at: UInt64 = 0
        while at < 4096 {
            if region.load(node + at) != 0 { return false }
            at += 8
        }
        return true
    }

    /// Frees a map and, for content, its pages. Nobody can reach it any more.
    @_noLocks func freeMap(_ map: MapWord, valuesArePages: Bool) {
        if map == .empty { return }
        if map.form == MapWord.blobForm {
            worker.free(.small, map.offset, count: map.detail)
            return
        }
        let height = map.height
        if height == 1 {
            freeLeaf(
                map.offset, entries: 1 << map.detail,
                valuesArePages: valuesArePages)
        } else {
            freeNode(map.offset, level: height, valuesArePages: valuesArePages)
        }
    }

    @_noLocks private func freeNode(_ node: UInt64, level: UInt64, valuesArePages: Bool) {
        var at: UInt64 = 0
        while at < 4096 {
            let child = region.load(node + at)
            if child != 0 {
                if level == 2 {
                    freeLeaf(child, entries: 512, valuesArePages: valuesArePages)
                } else {
                    freeNode(child, level: level - 1, valuesArePages: valuesArePages)
                }
            }
            at += 8
        }
        worker.free(.pages, node, count: 1)
    }

    /// Frees a leaf's pages in as few runs as they lie in, and the leaf.
    @_noLocks
    private func freeLeaf(_ leaf: UInt64, entries: UInt64, valuesArePages: Bool) {
        if valuesArePages {
            var start: UInt64 = 0
            var count: UInt64 = 0
            var index: UInt64 = 0
            while index < entries {
                let page = region.load(leaf + index * 8) & ~Content.unwritten
                if page != 0 {
                    if count > 0 && page == start + count * Geometry.pageBytes {
                        count += 1
                    } else {
                        if count > 0 { worker.free(.pages, start, count: count) }
                        start = page
                        count = 1
                    }
                }
                index += 1
            }
            if count > 0 { worker.free(.pages, start, count: count) }
        }
        freeBlob(leaf, bytes: entries * 8)
    }
}
