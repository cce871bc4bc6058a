// TimesSet: times that utimensat(2) has set, which a page that is written back later must not move.
//
// A store into a shared mapping is no request. The kernel sends the page when it writes it back,
// which may be after a program has set the times of the file: the store came before, and the times
// stay. A page that was stored into after the times were set must move them. The request looks the
// same. So a file whose times were set is marked, and a page that is written back moves its times
// only
// - when a request has read the page since: the kernel did not have it when the times were set, so
//   the store came later;
// - when the times were set so long ago that the kernel has written back all that was stored before.
// Any other change of the content ends the mark. Docs/Deviations.md has what this cannot tell.
//
// The mark is a word of 32 bits of the inode: the top bit is the mark itself, and each other bit
// stands for the pages whose index has this remainder by 31. Bits are set by readers without the
// inode's lock. A bit without the mark means nothing.

internal import CMayflyMemory
internal import MayflyArena

enum TimesSet {
    static var mark: UInt32 { @_noLocks get { 1 << 31 } }
    private static var bitCount: UInt64 { @_noLocks get { 31 } }

    /// Linux writes a page back 30 s after the first store, and looks every 5 s.
    ///
    /// - Source: vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs.
    static var seconds: Int64 { @_noLocks get { 40 } }

    /// The bits of the pages that a range of bytes touches.
    ///
    /// - Precondition: `count` > 0, and the end is no more than `UInt64.max`.
    @_noLocks static func bits(offset: UInt64, count: UInt64) -> UInt32 {
        let first = offset >> 12
        let last = (offset + count - 1) >> 12
        if last - first + 1 >= bitCount { return mark - 1 }
        var bits: UInt32 = 0
        var index = first
        while index <= last {
            bits |= 1 << UInt32(truncatingIfNeeded: index % bitCount)
            index += 1
        }
        return bits
    }
}

extension StoreWorker {
    /// Marks a file whose times were set; the lock is held.
    @_noLocks func markTimesSet(_ inode: InodeOffset) {
        clearTimesSet(inode)
        region.setBits(inode + Inode.device, UInt64(TimesSet.mark) << 32)
    }

    /// The lock is held.
    @_noLocks func clearTimesSet(_ inode: InodeOffset) {
        if region.load32(inode + Inode.timesSet) == 0 { return }
        _ = region.clearBits(inode + Inode.device, UInt64(UInt32.max) << 32)
    }

    /// Whether times were set so lately that pages from before may be written back still.
    @_noLocks private func isMarked(_ inode: InodeOffset, at now: cmem_time) -> Bool {
        guard region.load32(inode + Inode.timesSet) & TimesSet.mark != 0 else { return false }
        // Setting times sets the change time, too.
        let set = time(inode, TimeField.change).seconds
        return set <= now.seconds && set > now.seconds - TimesSet.seconds
    }

    /// Takes note of pages that the kernel reads, and so did not have.
    @_noLocks func noteRead(_ inode: InodeOffset, offset: UInt64, count: UInt64) {
        guard isMarked(inode, at: cmem_now()), mayNote(inode) else { return }
        let bits = TimesSet.bits(offset: offset, count: count)
        if bits & ~region.load32(inode + Inode.timesSet) == 0 { return }
        region.setBits(inode + Inode.device, UInt64(bits) << 32)
    }

    /// Whether pages that are written back were stored into before the times were set, as far as can
    /// be told; the lock is held.
    @_noLocks func keepsTimes(
        _ inode: InodeOffset, offset: UInt64, count: UInt64, now: cmem_time
    ) -> Bool {
        guard isMarked(inode, at: now) else { return false }
        let bits = TimesSet.bits(offset: offset, count: count)
        return region.load32(inode + Inode.timesSet) & bits == 0
    }

    /// Moves the times of a file whose content changes; the lock is held.
    @_noLocks func moveTimes(_ inode: InodeOffset, _ now: cmem_time) {
        setTime(inode, TimeField.modification, now)
        setTime(inode, TimeField.change, now)
        clearTimesSet(inode)
    }
}
