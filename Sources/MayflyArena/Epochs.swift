// Epochs: when memory that readers may still hold is free again.
//
// Readers take no lock: a worker enters before it looks at the region and leaves when it keeps no
// reference. What is unlinked is retired with the epoch of that moment, and freed three epochs
// later, when every worker that could have seen it has left (epoch-based reclamation: K. Fraser,
// "Practical lock-freedom", 2004, section 5.2.3). Fraser's two are enough where the epoch is read
// after the unlinking can be seen by all. Here it may be read while that store still waits in the
// processor's store buffer; then a reader of the next epoch can find what was unlinked, and it
// holds the epoch back by one more. A third epoch is cheaper than a fence at every `retire`.
//
// Ordering:
//   worker epoch   0 = outside. Entered by compare-and-swap, sequentially consistent, so that it is
//                  visible before the first read of the region; left by a release store
//   global epoch   advanced by compare-and-swap when every worker inside has the current one
//   retired list   of whoever has entered the worker
//
// A worker is a right, not a thread: whoever enters it owns its shard. That is how maintenance
// looks after a shard whose queue is asleep.

internal import CMayflyMemory
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Layout of the volatile state, one block of 256 bytes per worker behind one page.
enum WorkerState {
    static var bytes: UInt64 { @_noLocks get { 256 } }
    static var globalEpoch: UInt64 { @_noLocks get { 0 } }
    /// Address of the guard of the file behind the region; 0 where nobody can change it.
    static var imageGuard: UInt64 { @_noLocks get { 64 } }
    /// 1 where that file is mapped.
    static var imageMapped: UInt64 { @_noLocks get { 72 } }
    @_noLocks static func offset(_ index: UInt64) -> UInt64 { 4096 + index * bytes }

    /// Words of a worker's block.
    static var epoch: UInt64 { @_noLocks get { 0 } }
    static var listAddress: UInt64 { @_noLocks get { 64 } }
    static var listCapacity: UInt64 { @_noLocks get { 72 } }
    static var listHead: UInt64 { @_noLocks get { 80 } }
    static var listTail: UInt64 { @_noLocks get { 88 } }
    static var lockWaits: UInt64 { @_noLocks get { 128 } }
    static var entryWaits: UInt64 { @_noLocks get { 136 } }
    static var bytesCopied: UInt64 { @_noLocks get { 144 } }
    static var bytesZeroed: UInt64 { @_noLocks get { 152 } }

    static var itemBytes: UInt64 { @_noLocks get { 24 } }
    static var firstCapacity: UInt64 { @_noLocks get { 4096 } }

    static func reserve(_ workers: Int) throws(Errno) -> Region {
        let bytes = (4096 + UInt64(workers) * bytes + Geometry.chunkBytes - 1)
        let state = try Region(reserving: bytes & ~(Geometry.chunkBytes - 1), backing: .scattered)
        state.store(globalEpoch, 2)
        for index in 0..<UInt64(workers) {
            let block = offset(index)
            state.store(block + listAddress, try mapList(firstCapacity))
            state.store(block + listCapacity, firstCapacity)
        }
        return state
    }

    static func unmap(_ state: Region, _ workers: Int) {
        for index in 0..<UInt64(workers) {
            let block = offset(index)
            unmapList(
                state.load(block + listAddress), capacity: state.load(block + listCapacity))
        }
        state.unmap()
    }

    static func mapList(_ capacity: UInt64) throws(Errno) -> UInt64 {
        let address = unsafe mmap(
            nil, Int(capacity * itemBytes), PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let address = unsafe address, unsafe address != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        return UInt64(UInt(bitPattern: address))
    }

    static func unmapList(_ address: UInt64, capacity: UInt64) {
        guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else {
            return
        }
        unsafe munmap(pointer, Int(capacity * itemBytes))
    }
}

/// Something that was unlinked and waits for its readers.
@usableFromInline @frozen package struct Retired: Sendable {
    /// What it is, in the caller's terms; a run of units is `ChunkKind.rawValue`.
    @usableFromInline package let what: UInt32
    @usableFromInline package let count: UInt32
    @usableFromInline package let offset: UInt64

    @inlinable @_noLocks package init(what: UInt32, count: UInt32, offset: UInt64) {
        self.what = what
        self.count = count
        self.offset = offset
    }
}

extension ArenaWorker {
    private var volatileState: Region { arena.volatileState }

    /// Begins to use the region. Waits only while somebody else is in this worker's place:
    /// maintenance, for a moment, or whoever has stopped all of them.
    ///
    /// - Complexity: one atomic operation.
    @_noLocks package func enter() {
        let states = arena.volatileState
        var epoch = states.loadAcquire(WorkerState.globalEpoch)
        var tries = 0
        while !states.enterEpoch(state + WorkerState.epoch, epoch) {
            states.add(state + WorkerState.entryWaits, 1)
            if tries < 64 { cmem_yield() } else { cmem_nap(50) }
            tries += 1
            epoch = states.loadAcquire(WorkerState.globalEpoch)
        }
    }

    /// The same, for maintenance and for who needs this shard's room: false when the worker is busy.
    @_noLocks package func tryEnter() -> Bool {
        let states = arena.volatileState
        return states.enterEpoch(
            state + WorkerState.epoch, states.loadAcquire(WorkerState.globalEpoch))
    }

    /// Ends the use of the region: no offset taken from it is kept.
    @_noLocks package func leave() {
        arena.volatileState.storeRelease(state + WorkerState.epoch, 0)
    }

    /// Whether anything waits to be freed.
    @_noLocks package func hasRetired() -> Bool {
        let states = arena.volatileState
        return states.load(state + WorkerState.listHead)
            != states.load(state + WorkerState.listTail)
    }

    /// Whether so many items can be retired: the list grows where it must. To be asked before anything
    /// is changed, as `retire` cannot fail.
    @_noLocks package func canRetire(_ items: UInt64) -> Bool {
        while freeListItems() < items {
            if !growList() { return false }
        }
        return true
    }

    /// Whether so many items can be retired as the list is.
    @_noLocks package func hasRoomToRetire(_ items: UInt64) -> Bool { freeListItems() >= items }

    @_noLocks private func freeListItems() -> UInt64 {
        let states = arena.volatileState
        return states.load(state + WorkerState.listCapacity)
            + states.load(state + WorkerState.listHead) - states.load(state + WorkerState.listTail)
    }

    /// Hands over what was unlinked; it is given to `nextReclaimable` when no reader has it.
    ///
    /// Where the list is full and cannot grow, because nobody has asked `canRetire` for enough, the
    /// item is lost: its memory is in use until the arena ends.
    ///
    /// - Complexity: O(1); the list doubles when it is full, off the common path.
    @_noLocks package func retire(_ item: Retired) {
        let states = arena.volatileState
        if freeListItems() == 0 && !growList() { return }
        // After growing: that moves the items, and the tail with them.
        let tail = states.load(state + WorkerState.listTail)
        let capacity = states.load(state + WorkerState.listCapacity)
        let epoch = states.loadAcquire(WorkerState.globalEpoch)
        let slot = unsafe listPointer() + Int(truncatingIfNeeded: (tail % capacity) * 3)
        unsafe slot[0] = epoch
        unsafe slot[1] = UInt64(item.what) << 32 | UInt64(item.count)
        unsafe slot[2] = item.offset
        states.store(state + WorkerState.listTail, tail + 1)
    }

    /// Tries to advance the epoch as far as the oldest retired item needs.
    ///
    /// - Precondition: entered, and no offset taken from the region before is used any more.
    @_noLocks package func refreshEpoch() {
        let states = arena.volatileState
        var rounds = 0
        while rounds < 3 {
            let epoch = states.loadAcquire(WorkerState.globalEpoch)
            states.publishEpoch(state + WorkerState.epoch, epoch)
            var other: UInt64 = 0
            while other < UInt64(arena.workerCount) {
                let seen = states.loadSequential(
                    WorkerState.offset(other) + WorkerState.epoch)
                if seen != 0 && seen != epoch { return }
                other += 1
            }
            _ = states.exchange(WorkerState.globalEpoch, expected: epoch, desired: epoch + 1)
            rounds += 1
        }
    }

    /// The oldest retired item if no reader can have it any more.
    @_noLocks package func nextReclaimable() -> Retired? {
        let states = arena.volatileState
        let head = states.load(state + WorkerState.listHead)
        guard head != states.load(state + WorkerState.listTail) else { return nil }
        let capacity = states.load(state + WorkerState.listCapacity)
        let slot = unsafe listPointer() + Int(truncatingIfNeeded: (head % capacity) * 3)
        guard unsafe slot[0] + 3 <= states.loadAcquire(WorkerState.globalEpoch) else { return nil }
        states.store(state + WorkerState.listHead, head + 1)
        return unsafe Retired(
            what: UInt32(truncatingIfNeeded: slot[1] >> 32),
            count: UInt32(truncatingIfNeeded: slot[1]), offset: slot[2])
    }

    /// Counts a wait for a lock, for statistics.
    @_noLocks package func countLockWait() {
        arena.volatileState.add(state + WorkerState.lockWaits, 1)
    }

    /// Waits for locks, and for maintenance, since the arena was made.
    package var waits: (locks: UInt64, entries: UInt64) {
        (
            arena.volatileState.load(state + WorkerState.lockWaits),
            arena.volatileState.load(state + WorkerState.entryWaits)
        )
    }

    /// Counts content that was copied, for statistics. Only whoever has entered writes the word, so
    /// a load and a store do.
    @_noLocks package func countCopied(_ bytes: UInt64) {
        let word = state + WorkerState.bytesCopied
        arena.volatileState.store(word, arena.volatileState.load(word) + bytes)
    }

    /// The same for holes that were given out as zeros.
    @_noLocks package func countZeroed(_ bytes: UInt64) {
        let word = state + WorkerState.bytesZeroed
        arena.volatileState.store(word, arena.volatileState.load(word) + bytes)
    }

    /// Bytes of content copied, and of holes given out as zeros, since the arena was made.
    package var traffic: (copied: UInt64, zeroed: UInt64) {
        (
            arena.volatileState.load(state + WorkerState.bytesCopied),
            arena.volatileState.load(state + WorkerState.bytesZeroed)
        )
    }

    @_noLocks private func listPointer() -> UnsafeMutablePointer<UInt64> {
        let address = arena.volatileState.load(state + WorkerState.listAddress)
        guard
            let list = unsafe UnsafeMutablePointer<UInt64>(
                bitPattern: UInt(truncatingIfNeeded: address))
        else { preconditionFailure("ArenaWorker: the list of retired items is gone") }
        return unsafe list
    }

    /// Doubles the list; false when there is no memory. A system call, and the only one that a request
    /// can lead to here; a list of 4,096 items fills only when a worker is held up inside for
    /// thousands of changes.
    @inline(never) @_noLocks
    private func growList() -> Bool {
        let states = arena.volatileState
        let capacity = states.load(state + WorkerState.listCapacity)
        let head = states.load(state + WorkerState.listHead)
        // Where it is not full, items behind those that wait were freed long ago.
        let waiting = states.load(state + WorkerState.listTail) - head
        let bytes = Int(truncatingIfNeeded: capacity * WorkerState.itemBytes)
        guard let grown = unsafe cmem_map(bytes * 2) else { return false }
        let old = unsafe UnsafeMutableRawPointer(listPointer())
        let split = Int(truncatingIfNeeded: (head % capacity) * WorkerState.itemBytes)
        unsafe cmem_copy(grown, old + split, bytes - split)
        unsafe cmem_copy(grown + bytes - split, old, split)
        unsafe cmem_unmap(old, bytes)
        states.store(state + WorkerState.listHead, 0)
        states.store(state + WorkerState.listTail, waiting)
        states.store(state + WorkerState.listCapacity, capacity * 2)
        states.store(state + WorkerState.listAddress, UInt64(UInt(bitPattern: grown)))
        return true
    }
}

extension ArenaWorker {
    /// Gives back what the list of retired items has grown by, where it is empty.
    ///
    /// - Precondition: entered. Not for the request path.
    package func trimRetired() {
        let states = arena.volatileState
        let capacity = states.load(state + WorkerState.listCapacity)
        guard capacity > WorkerState.firstCapacity, !hasRetired(),
            let fresh = try? WorkerState.mapList(WorkerState.firstCapacity)
        else { return }
        WorkerState.unmapList(states.load(state + WorkerState.listAddress), capacity: capacity)
        states.store(state + WorkerState.listHead, 0)
        states.store(state + WorkerState.listTail, 0)
        states.store(state + WorkerState.listCapacity, WorkerState.firstCapacity)
        states.store(state + WorkerState.listAddress, fresh)
    }
}

extension Region {
    @_noLocks fileprivate func enterEpoch(_ offset: UInt64, _ epoch: UInt64) -> Bool {
        let isEntered = unsafe word(offset).pointee.compareExchange(
            expected: 0, desired: epoch, ordering: .sequentiallyConsistent
        ).exchanged
        // The entry must be visible before the first read of the region. On x86-64 the exchange is
        // a full barrier; elsewhere relaxed loads may run ahead of its store.
        #if !arch(x86_64)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        #endif
        return isEntered
    }
    @_noLocks fileprivate func publishEpoch(_ offset: UInt64, _ epoch: UInt64) {
        unsafe word(offset).pointee.store(epoch, ordering: .sequentiallyConsistent)
    }
    @_noLocks fileprivate func loadSequential(_ offset: UInt64) -> UInt64 {
        unsafe word(offset).pointee.load(ordering: .sequentiallyConsistent)
    }
}
