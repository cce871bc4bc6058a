// Directory: names, found by hash and listed by cookie.
//
// The names of a directory are one list of dentries, sorted by bit-reversed hash ("split order"),
// with cells in it at which buckets begin (O. Shalev, N. Shavit, "Split-ordered lists: lock-free
// extensible hash tables", 2006). Growing adds cells and moves no dentry, so there is no rehash,
// no pause, and a reader needs neither lock nor retry. Changes hold the directory's lock.
//
//     link    offset of what follows; bit 0 set when that is a cell; 0 at the end
//     cell    link, key (even: bit-reversed bucket number)
//     dentry  link, key (odd: bit-reversed hash), cookie, inode, number of the name, name
//
// Cells stand in segments that double: 8 for buckets 0...7, 8, 16, 32 ... up to 2^18 buckets; bucket
// 0's cell is in the inode, so that a small directory has no table.
//
// A cookie is given once and never again. A radix map leads from cookie to dentry: it is the order
// of readdir, exact under telldir(3), seekdir(3) and deletion while reading.

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// A name in a directory: any bytes but NUL and "/", at most 255.
@frozen @safe package struct Name: @unchecked Sendable {
    // Sendable: a view that its owner keeps alive for the call.
    package let bytes: UnsafeRawPointer
    package let count: UInt64
    @_noLocks package init(_ buffer: UnsafeRawBufferPointer) {
        // An empty name is refused by its count before its bytes are looked at.
        unsafe bytes = unsafe buffer.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        count = UInt64(buffer.count)
    }
    @_noLocks package init(_ bytes: UnsafeRawPointer, _ count: UInt64) {
        unsafe self.bytes = bytes
        self.count = count
    }

    /// "." or "..".
    package var isDots: Bool {
        @_noLocks get {
            guard count == 1 || count == 2 else { return false }
            guard unsafe bytes.load(as: UInt8.self) == 0x2E else { return false }
            if count == 1 { return true }
            return unsafe bytes.load(fromByteOffset: 1, as: UInt8.self) == 0x2E
        }
    }

    /// - Throws: `ENAMETOOLONG`, `ENOENT` for an empty name.
    @_noLocks func check() throws(Errno) {
        if count > 255 { throw .fileNameTooLong }
        if count == 0 { throw .noSuchFileOrDirectory }
    }

    /// The same for a name that an entry is to have: no NUL and no "/".
    ///
    /// - Throws: `EINVAL` too.
    @_noLocks func checkNew() throws(Errno) {
        try check()
        var index = 0
        while index < Int(truncatingIfNeeded: count) {
            let byte = unsafe bytes.load(fromByteOffset: index, as: UInt8.self)
            if byte == 0 || byte == 0x2F { throw .invalidArgument }
            index += 1
        }
    }

    /// 64 bits of hash: multiply and fold over words of 8 bytes.
    @_noLocks package func hash() -> NameHash {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ count
        var at = 0
        let end = Int(truncatingIfNeeded: count)
        while at + 8 <= end {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            state = Self.mix(state ^ word)
            at += 8
        }
        var tail: UInt64 = 0
        var shift: UInt64 = 0
        while at < end {
            tail |= UInt64(unsafe bytes.load(fromByteOffset: at, as: UInt8.self)) << shift
            shift += 8
            at += 1
        }
        return NameHash(Self.mix(state ^ tail))
    }

    @_noLocks private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}

/// The hash of a name.
@frozen package struct NameHash: Sendable {
    package let rawValue: UInt64
    @inlinable @_noLocks package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The hash that a dentry of this key has, but for what the key's lowest bit takes.
    @_noLocks init(ofKey key: UInt64) { rawValue = Directory.reversed(key) }
    /// The key of a dentry whose name has it: odd, where those of cells are even.
    var key: UInt64 { @_noLocks get { Directory.reversed(rawValue) | 1 } }
    /// Its bucket in a directory of so many.
    @_noLocks func bucket(of count: UInt64) -> UInt64 { rawValue & (count - 1) }
}

enum Directory {
    /// Cookies 0 and 1 are "." and "..".
    static var firstCookie: UInt64 { @_noLocks get { 2 } }
    /// Above what 100,000 new names a second reach in a thousand years; a map has room for it.
    static var cookieLimit: UInt64 { @_noLocks get { 1 << 52 } }
    /// st_size of an entry, as tmpfs counts it. Source: mm/shmem.c, BOGO_DIRENT_SIZE.
    static var entryBytes: UInt64 { @_noLocks get { 20 } }
    static var bucketLimit: UInt64 { @_noLocks get { 1 << 18 } }
    /// Bytes of the table of segments: 16 offsets.
    static var tableBytes: UInt64 { @_noLocks get { 128 } }

    @_noLocks static func segment(_ bucket: UInt64) -> UInt64 {
        bucket < 8 ? 0 : UInt64(61 - bucket.leadingZeroBitCount)
    }
    @_noLocks static func segmentStart(_ segment: UInt64) -> UInt64 {
        segment == 0 ? 0 : 4 << segment
    }
    @_noLocks static func segmentCells(_ segment: UInt64) -> UInt64 {
        segment == 0 ? 8 : 4 << segment
    }
    @_noLocks static func reversed(_ value: UInt64) -> UInt64 {
        var v = value.byteSwapped
        v = (v >> 4) & 0x0F0F_0F0F_0F0F_0F0F | (v & 0x0F0F_0F0F_0F0F_0F0F) << 4
        v = (v >> 2) & 0x3333_3333_3333_3333 | (v & 0x3333_3333_3333_3333) << 2
        return (v >> 1) & 0x5555_5555_5555_5555 | (v & 0x5555_5555_5555_5555) << 1
    }
}

/// Byte offsets inside a dentry. Part of the image's format.
enum Dentry {
    static var link: UInt64 { @_noLocks get { 0 } }
    static var key: UInt64 { @_noLocks get { 8 } }
    static var cookie: UInt64 { @_noLocks get { 16 } }
    static var inode: UInt64 { @_noLocks get { 24 } }
    /// 32 bits: the length of the name, and above bit 8 its number among those of the inode
    /// (Names.swift).
    static var nameWord: UInt64 { @_noLocks get { 32 } }
    static var name: UInt64 { @_noLocks get { 36 } }
    @_noLocks static func bytes(nameCount: UInt64) -> UInt64 { 36 + nameCount }
}

/// One entry as `readDirectory` finds it.
@safe package struct DirectoryEntry: @unchecked Sendable {
    /// Where to go on after this entry.
    package let nextCookie: UInt64
    package let nodeID: UInt64
    /// st_mode of the inode, for d_type.
    package let mode: UInt32
    /// The name, valid until the worker leaves.
    package let name: UnsafeRawPointer
    package let nameCount: UInt32

    /// A copy of the name.
    package var nameBytes: [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: name, count: Int(nameCount)))
    }
}

extension StoreWorker {
    // MARK: finding

    /// The dentry of a name. Takes no lock.
    ///
    /// - Complexity: O(1) expected up to half a million entries.
    @_noLocks func findDentry(_ directory: InodeOffset, _ name: Name, hash: NameHash)
        -> DentryOffset
    {
        let target = hash.key
        var bucket = hash.bucket(of: region.loadAcquire(directory + Inode.bucketCount))
        var cell = self.cell(directory, bucket)
        // A bucket that no insertion has opened yet: its parent's cell comes before it.
        while cell == 0 {
            bucket ^= Self.topBit(bucket)
            cell = self.cell(directory, bucket)
        }
        var link = region.loadAcquire(cell)
        while link != 0 {
            // A cell begins as a dentry does.
            let at = DentryOffset(link & ~1)
            let key = region.load(at + Dentry.key)
            if key > target { return .null }
            if key == target && matches(at, name) { return at }
            link = region.loadAcquire(at + Dentry.link)
        }
        return .null
    }

    @_noLocks private func matches(_ dentry: DentryOffset, _ name: Name) -> Bool {
        guard nameCount(dentry) == name.count else { return false }
        return unsafe cmem_compare(
            region.pointer(dentry + Dentry.name), name.bytes, Int(truncatingIfNeeded: name.count))
            == 0
    }

    @_noLocks private static func topBit(_ bucket: UInt64) -> UInt64 {
        bucket == 0 ? 0 : 1 << UInt64(63 - bucket.leadingZeroBitCount)
    }

    /// The cell of a bucket, or 0 when it is not open.
    @_noLocks private func cell(_ directory: InodeOffset, _ bucket: UInt64) -> UInt64 {
        if bucket == 0 { return directory + Inode.firstCell }
        let table = region.loadAcquire(directory + Inode.bucketTable)
        if table == 0 { return 0 }
        let segment = Directory.segment(bucket)
        let cells = region.loadAcquire(table + segment * 8)
        if cells == 0 { return 0 }
        let cell = cells + (bucket - Directory.segmentStart(segment)) * 16
        return region.loadAcquire(cell + Dentry.key) == 0 ? 0 : cell
    }

    // MARK: changing; the directory's lock is held

    /// Links a new dentry to `inode` under a name that is not there.
    ///
    /// - Parameter index: of the name among those of the inode; `reserveName` has made room for it.
    /// - Throws: `ENOSPC` when the region is used up; nothing is changed then.
    @_noLocks
    func insertDentry(
        _ directory: InodeOffset, _ name: Name, hash: NameHash, inode: InodeOffset, index: UInt64
    ) throws(Errno) {
        let bytes = Dentry.bytes(nameCount: name.count)
        let run = try allocateBlob(bytes: bytes)
        let dentry = DentryOffset(run.offset)
        let cookie = region.load(directory + Inode.nextCookie)
        let slot: UInt64
        do throws(Errno) {
            slot = try ensureSlot(directory + Inode.cookies, cookie)
        } catch {
            freeBlob(dentry.rawValue, bytes: bytes)
            throw error
        }
        growBuckets(directory)
        link(directory, dentry, name, hash: hash, cookie: cookie, inode: inode, index: index)
        changes.storeRelease(slot, dentry.rawValue)
        setName(inode, index, directory, cookie: cookie)
        changes.store(directory + Inode.nextCookie, cookie + 1)
        changes.store(
            directory + Inode.entries, region.load(directory + Inode.entries) + 1)
    }

    /// Unlinks a dentry that is there.
    @_noLocks func removeDentry(_ directory: InodeOffset, _ dentry: DentryOffset) {
        unlink(directory, dentry)
        clearEntry(directory + Inode.cookies, region.load(dentry + Dentry.cookie))
        let left = region.load(directory + Inode.entries) - 1
        changes.store(directory + Inode.entries, left)
        if left == 0 { dropCookies(directory) }
        retireDentry(dentry)
    }

    /// Gives what `dentry` leads to a name that is not there, in the same place of the listing: a
    /// reader who renames what it reads meets each file once, and comes to an end.
    ///
    /// - Throws: `ENOSPC` when the region is used up; nothing is changed then.
    @_noLocks func renameDentry(
        _ directory: InodeOffset, _ dentry: DentryOffset, to name: Name, hash: NameHash
    ) throws(Errno) {
        let renamed = DentryOffset(
            try allocateBlob(bytes: Dentry.bytes(nameCount: name.count)).offset)
        let cookie = region.load(dentry + Dentry.cookie)
        link(
            directory, renamed, name, hash: hash, cookie: cookie,
            inode: InodeOffset(region.load(dentry + Dentry.inode)), index: nameIndex(dentry))
        changes.storeRelease(
            mapSlot(MapWord(region.load(directory + Inode.cookies)), cookie), renamed.rawValue)
        unlink(directory, dentry)
        retireDentry(dentry)
    }

    /// Fills a new dentry and puts it on the list that names are found by.
    @_noLocks private func link(
        _ directory: InodeOffset, _ dentry: DentryOffset, _ name: Name, hash: NameHash,
        cookie: UInt64,
        inode: InodeOffset, index: UInt64
    ) {
        let key = hash.key
        region.store(dentry + Dentry.key, key)
        region.store(dentry + Dentry.cookie, cookie)
        region.store(dentry + Dentry.inode, inode.rawValue)
        region.store32(
            dentry + Dentry.nameWord, UInt32(truncatingIfNeeded: index << 8 | name.count))
        unsafe cmem_copy(
            region.pointer(writing: dentry + Dentry.name, name.count), name.bytes,
            Int(truncatingIfNeeded: name.count))
        let bucket = hash.bucket(of: region.load(directory + Inode.bucketCount))
        let before = predecessor(from: openCell(directory, bucket), key: key)
        region.store(dentry + Dentry.link, region.load(before))
        changes.storeRelease(before, dentry.rawValue)
    }

    /// Takes a dentry off the list that names are found by.
    @_noLocks private func unlink(_ directory: InodeOffset, _ dentry: DentryOffset) {
        let hash = NameHash(ofKey: region.load(dentry + Dentry.key))
        let bucket = hash.bucket(of: region.load(directory + Inode.bucketCount))
        var before = openCell(directory, bucket)
        while region.load(before) != dentry.rawValue { before = region.load(before) & ~1 }
        changes.storeRelease(before, region.load(dentry + Dentry.link))
    }

    @_noLocks private func retireDentry(_ dentry: DentryOffset) {
        retireBlob(dentry.rawValue, bytes: Dentry.bytes(nameCount: nameCount(dentry)))
    }

    /// An empty directory needs no map of cookies; the next cookie goes on from where it was.
    @_noLocks private func dropCookies(_ directory: InodeOffset) {
        let map = MapWord(region.load(directory + Inode.cookies))
        if map == .empty { return }
        changes.storeRelease(directory + Inode.cookies, 0)
        worker.retire(Retired(what: Reclaim.cookies, count: 1, offset: map.rawValue))
    }

    /// The last link at or after `cell` that stands before `key`.
    @_noLocks private func predecessor(from cell: UInt64, key: UInt64) -> UInt64 {
        var before = cell
        while true {
            let link = region.load(before)
            if link == 0 { return before }
            if region.load((link & ~1) + Dentry.key) >= key { return before }
            before = link & ~1
        }
    }

    /// Doubles the number of buckets when there are more than two entries for each. Costs a
    /// segment of cells, which stay closed until an insertion needs them. Without memory for it
    /// the lists get longer, and that is all.
    @_noLocks private func growBuckets(_ directory: InodeOffset) {
        let count = region.load(directory + Inode.bucketCount)
        guard region.load(directory + Inode.entries) >= max(count * 2, 8),
            count < Directory.bucketLimit
        else { return }
        let grown = max(count * 2, 8)
        var table = region.load(directory + Inode.bucketTable)
        if table == 0 {
            guard let run = worker.allocate(.small, count: Directory.tableBytes >> 6) else {
                return
            }
            table = run.offset
            region.zero(table, Directory.tableBytes)
            region.storeRelease(directory + Inode.bucketTable, table)
        }
        let segment = Directory.segment(grown - 1)
        if region.load(table + segment * 8) == 0 {
            let bytes = Directory.segmentCells(segment) * 16
            guard let run = try? allocateBlob(bytes: bytes) else { return }
            region.zero(run.offset, bytes)
            region.storeRelease(table + segment * 8, run.offset)
        }
        region.storeRelease(directory + Inode.bucketCount, grown)
    }

    /// The cell of a bucket, opened if it was not, its parents first.
    @_noLocks private func openCell(_ directory: InodeOffset, _ bucket: UInt64) -> UInt64 {
        let open = cell(directory, bucket)
        if open != 0 { return open }
        let parent = openCell(directory, bucket ^ Self.topBit(bucket))
        let segment = Directory.segment(bucket)
        let cells = region.load(region.load(directory + Inode.bucketTable) + segment * 8)
        let cell = cells + (bucket - Directory.segmentStart(segment)) * 16
        let key = Directory.reversed(bucket)
        let before = predecessor(from: parent, key: key)
        region.store(cell, region.load(before))
        changes.storeRelease(before, cell | 1)
        // From here on readers begin at it.
        changes.storeRelease(cell + Dentry.key, key)
        return cell
    }

    /// Frees what a dead directory keeps.
    @_noLocks func freeDirectory(_ directory: InodeOffset) {
        freeMap(MapWord(region.load(directory + Inode.cookies)), valuesArePages: false)
        let table = region.load(directory + Inode.bucketTable)
        if table == 0 { return }
        var segment: UInt64 = 0
        while segment < Directory.tableBytes / 8 {
            let cells = region.load(table + segment * 8)
            if cells != 0 { freeBlob(cells, bytes: Directory.segmentCells(segment) * 16) }
            segment += 1
        }
        worker.free(.small, table, count: Directory.tableBytes >> 6)
    }

    // MARK: listing

    /// The first entry whose cookie is at least `cookie`; nil at the end.
    ///
    /// "." and ".." are the caller's: cookies 0 and 1 are skipped here. Entries that are there the
    /// whole time are found exactly once, whatever is created or removed meanwhile.
    ///
    /// - Complexity: O(1) for an entry that follows another; no lock.
    @_noLocks package func nextEntry(
        _ directory: DirectoryHandle, from cookie: UInt64
    ) -> DirectoryEntry? {
        let map = MapWord(region.loadAcquire(directory.inode + Inode.cookies))
        guard let found = mapNext(map, from: max(cookie, Directory.firstCookie)) else {
            return nil
        }
        let dentry = DentryOffset(found.value)
        let child = InodeOffset(region.loadAcquire(dentry + Dentry.inode))
        return unsafe DirectoryEntry(
            nextCookie: found.index + 1, nodeID: nodeID(child),
            mode: region.load32(child + Inode.mode),
            name: region.pointer(dentry + Dentry.name),
            nameCount: UInt32(truncatingIfNeeded: nameCount(dentry)))
    }

    /// Opens a directory for listing and touches its access time.
    ///
    /// - Throws: `ESTALE`, `ENOTDIR`.
    @_noLocks package func openDirectory(_ node: NodeID) throws(Errno) -> DirectoryHandle {
        let inode = try directory(node)
        touchAccess(inode)
        return DirectoryHandle(
            inode: inode, nodeID: nodeID(inode),
            parentNodeID: nodeID(liveParent(inode)))
    }
}

/// A directory that is being listed, valid until the worker leaves.
package struct DirectoryHandle: Sendable {
    let inode: InodeOffset
    package let nodeID: UInt64
    package let parentNodeID: UInt64
}
