// SideTable: what belongs to a running mount alone, 32 bytes per inode, outside the image.
//
// Ordering (per inode):
//   lock      0 free, 1 held. Taken by compare-and-swap (acquire), given by a release store. Held
//             for changes only; readers never touch it
//   sequence  odd while attributes change. Writer: relaxed odd, release fence, words, release even.
//             Reader: acquire, words, acquire fence, compare; again when it moved
//   lookups   the kernel's references (nlookup). Added to before a reply that names the inode is
//             committed, taken from by FORGET. The top bit marks the end: whoever sets it by
//             compare-and-swap from 0 reclaims the inode
//   tag       24 bits, part of the nodeid. Counted up by a rollback, when all workers are stopped,
//             where the kernel knows an inode in the slot that was never there now: requests about
//             it name the old tag. Read relaxed: the stop orders it
//
// What belongs to a chunk of inodes goes back to the system with the chunk: no inode is left there,
// the kernel has no reference, and zeros are what a new inode begins with. But for the tag, which must
// not become one that the kernel may still name. So the highest tag ever given is kept for the whole
// store (`highestTag`, written while all workers are stopped), and every inode that comes into a slot
// has it.

internal import CMayflyMemory
internal import MayflyArena
internal import Synchronization

enum Side {
    static var bytes: UInt64 { @_noLocks get { 32 } }
    static var lock: UInt64 { @_noLocks get { 0 } }
    static var sequence: UInt64 { @_noLocks get { 8 } }
    static var lookups: UInt64 { @_noLocks get { 16 } }
    static var tag: UInt64 { @_noLocks get { 24 } }
    static var dead: UInt64 { @_noLocks get { 1 << 63 } }
    /// The highest tag of the store. It has a cache line of its own, in slots that hold no inode.
    static var highestTag: UInt64 { @_noLocks get { 64 } }
    /// How often the store was rolled back, beside it: written while all workers are stopped.
    static var rollbacks: UInt64 { @_noLocks get { 72 } }
}

extension StoreWorker {
    @_noLocks func side(_ inode: InodeOffset) -> UInt64 {
        (inode.rawValue - region_firstChunk) / Inode.bytes * Side.bytes
    }

    // MARK: the lock word

    /// Takes an inode's lock. The holder runs on another processor and is brief (at most a copy of
    /// 1 MiB), so the wait is a short spin, then yields.
    @_noLocks func lock(_ inode: InodeOffset) {
        let word = side(inode) + Side.lock
        if sideTable.exchange(word, expected: 0, desired: 1) { return }
        worker.countLockWait()
        var spins = 0
        repeat {
            spins += 1
            if spins < 64 { cmem_pause() } else { cmem_yield() }
        } while sideTable.load(word) != 0
            || !sideTable.exchange(word, expected: 0, desired: 1)
    }

    @_noLocks func unlock(_ inode: InodeOffset) {
        sideTable.storeRelease(side(inode) + Side.lock, 0)
    }

    /// Takes up to four locks in the order of their offsets, which is the order of nodeids; equal
    /// ones and zeros count once and not at all.
    @_noLocks func lockAll(_ set: inout LockSet) {
        set.sort()
        var last = InodeOffset.null
        var index = 0
        while index < 4 {
            let inode = set[index]
            if inode != .null && inode != last { lock(inode) }
            last = inode
            index += 1
        }
    }

    @_noLocks func unlockAll(_ set: LockSet) {
        var last = InodeOffset.null
        var index = 0
        while index < 4 {
            let inode = set[index]
            if inode != .null && inode != last { unlock(inode) }
            last = inode
            index += 1
        }
    }

    // MARK: attributes of one moment

    @_noLocks func beginUpdate(_ inode: InodeOffset) {
        let word = side(inode) + Side.sequence
        sideTable.store(word, sideTable.load(word) + 1)
        atomicMemoryFence(ordering: .releasing)
    }

    @_noLocks func endUpdate(_ inode: InodeOffset) {
        let word = side(inode) + Side.sequence
        sideTable.storeRelease(word, sideTable.load(word) + 1)
    }

    /// The sequence when no change is under way.
    @_noLocks func readSequence(_ inode: InodeOffset) -> UInt64 {
        let word = side(inode) + Side.sequence
        var value = sideTable.loadAcquire(word)
        var spins = 0
        while value & 1 != 0 {
            // Cutting a huge file takes a while, and the writer may have lost its processor.
            spins += 1
            if spins < 64 { cmem_pause() } else { cmem_yield() }
            value = sideTable.loadAcquire(word)
        }
        return value
    }

    @_noLocks func isUnchanged(_ inode: InodeOffset, since sequence: UInt64) -> Bool {
        atomicMemoryFence(ordering: .acquiring)
        return sideTable.load(side(inode) + Side.sequence) == sequence
    }

    // MARK: coming and going

    /// Prepares the words of an inode that comes into its slot.
    @_noLocks func beginSide(_ inode: InodeOffset) {
        let side = side(inode)
        sideTable.store(side + Side.lock, 0)
        sideTable.store(side + Side.lookups, 0)
        let tag = sideTable.load(Side.highestTag)
        if tag != 0 { sideTable.store(side + Side.tag, tag) }
    }

    /// Has requests about the inode that was in a slot answered by ESTALE from now on.
    ///
    /// - Precondition: all workers are stopped.
    func retireTag(_ inode: InodeOffset) {
        let word = side(inode) + Side.tag
        let tag = (sideTable.load(word) + 1) & 0xFF_FFFF
        sideTable.store(word, tag)
        sideTable.store(Side.highestTag, max(tag, sideTable.load(Side.highestTag)))
    }

    /// Gives back the memory that belongs to a chunk of inodes.
    ///
    /// - Precondition: the chunk is empty, and nobody can take it.
    func releaseSide(ofChunk chunk: UInt64) {
        let bytes = Geometry.chunkBytes / Inode.bytes * Side.bytes
        // What the system does not take back stays as it is, which is as good.
        _ = sideTable.release(chunk * bytes, bytes)
    }

    // MARK: the kernel's references

    /// Counts one reference of the kernel; false when the inode is at its end.
    @_noLocks func retain(_ inode: InodeOffset) -> Bool {
        let word = side(inode) + Side.lookups
        var current = sideTable.load(word)
        // A dead word is left as it is: its slot may be a new inode's the next moment.
        while current & Side.dead == 0 {
            if sideTable.exchange(word, expected: current, desired: current + 1) { return true }
            current = sideTable.load(word)
        }
        return false
    }

    /// Marks the end of an inode that has neither names nor references; true for one caller.
    @_noLocks func markDead(_ inode: InodeOffset) -> Bool {
        let word = side(inode) + Side.lookups
        // An addition, not a load: a FORGET that comes after it in the word's order sees that the
        // names are gone, and one that came before it has left 0. One of the two ends the inode.
        guard sideTable.add(word, 0) == 0 else { return false }
        return sideTable.exchange(word, expected: 0, desired: Side.dead)
    }
}

/// Up to four inodes to be locked together.
struct LockSet {
    private var a: InodeOffset
    private var b: InodeOffset
    private var c: InodeOffset
    private var d: InodeOffset

    @_noLocks init(
        _ a: InodeOffset, _ b: InodeOffset = .null, _ c: InodeOffset = .null,
        _ d: InodeOffset = .null
    ) {
        self.a = a
        self.b = b
        self.c = c
        self.d = d
    }

    @_noLocks subscript(_ index: Int) -> InodeOffset {
        switch index {
        case 0: a
        case 1: b
        case 2: c
        default: d
        }
    }

    /// A sorting network of five exchanges.
    @_noLocks mutating func sort() {
        if b < a { (a, b) = (b, a) }
        if d < c { (c, d) = (d, c) }
        if c < a { (a, c) = (c, a) }
        if d < b { (b, d) = (d, b) }
        if c < b { (b, c) = (c, b) }
    }
}
