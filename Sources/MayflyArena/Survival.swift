// Survival: a region in a memory file that outlives the process, and notes of the changes under way.
//
// The file holds the region, and behind it one page of notes for each shard. Most changes of a tree
// write several words that others can reach. Before each such word is written its old value is noted;
// when the change is complete the notes are dropped by one store. So whoever finds notes of a process
// that is dead puts the old values back, the last one first, and the change was never made.
//
//     0      state: notes in force, or `cutting` and an inode (Survival in InodeStore)
//     16     notes: the offset of a word, and what it held
//
// What was unlinked by a change is freed after the notes are dropped (Epochs.swift), so that old
// values never lead to memory that is somebody else's.
//
// Ordering: a note, the state that puts it in force, and the word that it is about are written in
// this order by one thread. Who reads them reads what a dead process has left: no more than the order
// of the program is needed (`cmem_keep_order`).

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
internal import Synchronization
package import SystemPackage

/// Where the notes lie in the file.
enum Notes {
    /// Of one shard.
    static var blockBytes: UInt64 { 4096 }
    /// A page that says what the file is, and a block for each shard that there can be.
    static var bytes: UInt64 { 32 << 20 }

    /// Maps the notes of a file, which is made as long as it must be.
    ///
    /// - Returns: the address of the first block.
    static func map(_ descriptor: Int32, regionBytes: UInt64) throws(Errno) -> UInt64 {
        assert(blockBytes * UInt64(Geometry.mostShards + 1) <= bytes)
        guard ftruncate(descriptor, off_t(regionBytes + bytes)) == 0 else {
            throw Errno(rawValue: errno)
        }
        let mapped = unsafe mmap(
            nil, Int(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor,
            off_t(regionBytes))
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        unsafe madvise(mapped, Int(bytes), MADV_DONTDUMP)
        return UInt64(UInt(bitPattern: mapped)) + blockBytes
    }

    static func unmap(_ address: UInt64) {
        guard address != 0,
            let first = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address - blockBytes))
        else { return }
        unsafe munmap(first, Int(bytes))
    }
}

/// What the page behind the region says.
package struct SurvivingHeader {
    static var magicValue: UInt64 { 0x5652_5553_594C_464D }  // "MFLYSURV"
    static var version: UInt64 { 1 }

    /// How many workers the region was in order for when its server ended between two requests; 0 where it
    /// is to be repaired.
    static var cleanWord: Int { 6 }
    static var deathsWord: Int { 7 }
    static var pathWord: Int { 8 }
    static var mostPathBytes: Int { 4000 }
    /// Not 0: the server ended by itself, and nobody is to follow it.
    static var endedWord: Int { 511 }
    /// Where that word is, in bytes before the end of the file.
    package static var endedBeforeEnd: Int { Int(Notes.bytes) - endedWord * 8 }

    let regionBytes: UInt64
    let shardCount: Int
    /// Where that was mounted.
    package let path: [UInt8]
    /// The mount that was served last: its connection, and its number in the mount table.
    package let mount: (connection: UInt32, mountID: UInt64)
    /// How many workers the region is in order for; 0 where it is to be repaired.
    let cleanWorkers: Int
    /// Servers of this memory that have died so far.
    package let deaths: UInt64

    /// - Throws: `EINVAL` for a file that holds no region, or one that was never finished.
    package init(reading descriptor: Int32) throws(Errno) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Errno(rawValue: errno) }
        let bytes = UInt64(status.st_size)
        guard bytes > Notes.bytes else { throw .invalidArgument }
        var words = [UInt64](repeating: 0, count: 512)
        let code = unsafe csys_read_all(descriptor, &words, 4096, bytes - Notes.bytes)
        if code != 0 { throw Errno(rawValue: code) }
        guard words[0] == Self.magicValue, words[1] == Self.version,
            words[2] == bytes - Notes.bytes, words[3] <= UInt64(Geometry.mostShards),
            Geometry.fits(bytes: words[2], shardCount: Int(words[3]))
        else { throw .invalidArgument }
        regionBytes = words[2]
        shardCount = Int(words[3])
        path = unsafe words.withUnsafeBytes {
            unsafe [UInt8]($0.dropFirst(Self.pathWord * 8).prefix { $0 != 0 })
        }
        mount = (UInt32(truncatingIfNeeded: words[4]), words[5])
        cleanWorkers = Int(truncatingIfNeeded: words[Self.cleanWord])
        deaths = words[Self.deathsWord]
        var format: [UInt64] = [0, 0]
        let formatCode = unsafe csys_read_all(descriptor, &format, 16, Superblock.magic)
        if formatCode != 0 { throw Errno(rawValue: formatCode) }
        guard Superblock.version == Superblock.magic + 8, format[0] == Superblock.magicValue,
            Superblock.knownVersions.contains(format[1])
        else { throw .invalidArgument }
    }
}

extension Arena {
    /// Says that the file holds a whole region from now on.
    package func finishSurviving() {
        guard notes != 0 else { return }
        let header = unsafe UnsafeMutablePointer<UInt64>(
            bitPattern: UInt(notes - Notes.blockBytes))!
        unsafe header[1] = SurvivingHeader.version
        unsafe header[2] = geometry.bytes
        unsafe header[3] = geometry.shardCount
        cmem_keep_order()
        unsafe header[0] = SurvivingHeader.magicValue
    }

    /// Says by which mount the region is served, for whoever comes after.
    ///
    /// - Parameter path: of the mountpoint.
    package func noteMount(connection: UInt32, mountID: UInt64, path: [UInt8]) {
        guard notes != 0 else { return }
        let header = unsafe UnsafeMutablePointer<UInt64>(
            bitPattern: UInt(notes - Notes.blockBytes))!
        let text = unsafe UnsafeMutableRawPointer(header + SurvivingHeader.pathWord)
        let kept = path.prefix(SurvivingHeader.mostPathBytes) + [0]
        for (index, byte) in kept.enumerated() {
            unsafe text.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        unsafe header[4] = UInt64(connection)
        unsafe header[5] = mountID
    }

    @safe private func headerWord(_ word: Int) -> UnsafeMutablePointer<UInt64>? {
        guard notes != 0 else { return nil }
        return unsafe UnsafeMutablePointer<UInt64>(bitPattern: UInt(notes - Notes.blockBytes))
            .map { unsafe $0 + word }
    }

    /// Says that nothing is under way and everything is in order, so that whoever comes after need not
    /// repair it. No worker may go on after that.
    package func noteClean() {
        cmem_keep_order()
        if let word = headerWord(SurvivingHeader.cleanWord) {
            unsafe word.pointee = UInt64(workerCount)
        }
    }

    /// Says that the server ends by itself, and nobody is to follow it.
    package func noteEnd() {
        if let word = headerWord(SurvivingHeader.endedWord) { unsafe word.pointee = 1 }
    }

    /// Servers of this memory that have died so far; nil where nothing survives.
    package var deaths: UInt64? {
        unsafe headerWord(SurvivingHeader.deathsWord).map { unsafe $0.pointee }
    }

    /// Takes note of the end of the server before this one.
    ///
    /// - Returns: whether it has left everything in order, for as many workers.
    func takeOver() -> Bool {
        guard let clean = headerWord(SurvivingHeader.cleanWord),
            let deaths = headerWord(SurvivingHeader.deathsWord)
        else { return false }
        let workers = unsafe clean.pointee
        // From now on there are changes again.
        unsafe clean.pointee = 0
        if let ended = headerWord(SurvivingHeader.endedWord) { unsafe ended.pointee = 0 }
        cmem_keep_order()
        if workers == 0 { unsafe deaths.pointee += 1 }
        return workers == UInt64(workerCount)
    }

    /// Notes that pages of the file were written, by whoever had the region before.
    func markData(of descriptor: Int32) {
        var at: off_t = 0
        while true {
            let start = lseek(descriptor, at, 3)  // SEEK_DATA
            if start < 0 || start >= off_t(geometry.bytes) { return }
            let end = min(lseek(descriptor, start, 4), off_t(geometry.bytes))  // SEEK_HOLE
            if end <= start { return }
            region.markWritten(UInt64(start), UInt64(end - start))
            at = end
        }
    }

    /// Whether an offset, of which nothing is known, is that of a slot in a chunk of inodes.
    package func mayHoldInode(_ offset: UInt64) -> Bool {
        guard offset & (1 << ChunkKind.inodes.unitShift - 1) == 0,
            offset >= geometry.firstChunkOffset, offset < geometry.bytes
        else { return false }
        return ArenaWorker(arena: self, index: 0).isInode(offset)
    }

    /// The addresses of all that survives: the region, and the notes.
    package var survivingMemory: [(start: UInt, bytes: Int)] {
        guard notes != 0 else { return [] }
        return [
            (unsafe UInt(bitPattern: region.base), Int(geometry.bytes)),
            (UInt(notes - Notes.blockBytes), Int(Notes.bytes)),
        ]
    }

    /// The notes of a shard's worker.
    package func changes(shard: UInt64) -> Changes {
        Changes(region: region, notes: notes == 0 ? 0 : notes + shard * Notes.blockBytes)
    }
}

/// Writing words of the region that others can reach, so that an unfinished change can be undone.
///
/// Where nothing survives its functions are the region's, and a branch.
@frozen @safe package struct Changes: Sendable {
    @usableFromInline let region: Region
    /// Address of the notes; 0 where nothing survives.
    @usableFromInline let notes: UInt64

    /// What fits a block.
    static var most: UInt64 { @_noLocks get { (4096 - 16) / 16 } }
    /// State: pages behind the end of an inode are going; its offset is in the other bits.
    @inlinable package static var cutting: UInt64 { @_noLocks get { 1 << 63 } }

    @usableFromInline init(region: Region, notes: UInt64) {
        self.region = region
        self.notes = notes
    }

    /// Whether a process that dies now leaves what it has done.
    @inlinable package var areNoted: Bool { @_noLocks get { notes != 0 } }

    @inlinable @_noLocks package func store(_ offset: UInt64, _ value: UInt64) {
        if notes != 0 { note(offset) }
        region.store(offset, value)
    }
    @inlinable @_noLocks package func storeRelease(_ offset: UInt64, _ value: UInt64) {
        if notes != 0 { note(offset) }
        region.storeRelease(offset, value)
    }
    @inlinable @_noLocks package func store32(_ offset: UInt64, _ value: UInt32) {
        if notes != 0 { note(offset & ~7) }
        region.store32(offset, value)
    }

    /// The change is complete: what was noted is of no use any more.
    @inlinable @_noLocks package func commit() { if notes != 0 { setState(0) } }

    /// The same, but for pages behind the end of a file, which are to go. Until the next `commit` no word
    /// is noted.
    @inlinable @_noLocks package func commit(cutting inode: UInt64) {
        if notes != 0 { setState(Self.cutting | inode) }
    }

    @usableFromInline @inline(never) @_noLocks func note(_ offset: UInt64) {
        let state = load(0)
        assert(state & Self.cutting == 0, "Changes.note: behind a commit")
        assert(state < Self.most, "Changes.note: a change of too many words")
        if state >= Self.most { return }
        put(16 + state * 16, offset)
        put(24 + state * 16, region.load(offset))
        setState(state + 1)
    }

    @usableFromInline @inline(never) @_noLocks func setState(_ state: UInt64) {
        cmem_keep_order()
        put(0, state)
        cmem_keep_order()
    }

    @_noLocks private func word(_ at: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
        guard
            let word = unsafe UnsafeMutablePointer<Atomic<UInt64>>(
                bitPattern: UInt(truncatingIfNeeded: notes + at))
        else { preconditionFailure("Changes: there are no notes") }
        return unsafe word
    }
    @_noLocks private func load(_ at: UInt64) -> UInt64 {
        unsafe word(at).pointee.load(ordering: .relaxed)
    }
    @_noLocks private func put(_ at: UInt64, _ value: UInt64) {
        unsafe word(at).pointee.store(value, ordering: .relaxed)
    }

    /// Drops what a dead process has noted, after all of it was put back.
    package func forget() { if load(0) != 0 { setState(0) } }

    /// Puts back what an unfinished change has overwritten.
    ///
    /// - Returns: how many words, and an inode whose pages behind its end were going.
    /// - Precondition: who made the notes is dead.
    package func undo() -> (words: UInt64, cut: UInt64?) {
        let state = load(0)
        if state & Self.cutting != 0 { return (0, state & ~Self.cutting) }
        var left = min(state, Self.most)
        let words = left
        while left > 0 {
            left -= 1
            let offset = load(16 + left * 16)
            // What a process that went wrong has noted must not write anywhere else.
            if offset & 7 == 0, offset < region.bytes {
                region.store(offset, load(24 + left * 16))
            }
        }
        return (words, nil)
    }
}
