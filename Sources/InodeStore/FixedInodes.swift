// FixedInodes: how many inodes chattr(1) has made immutable or append-only. Where there is none, nobody need
// look at each file of a tree before its name is removed.
//
// The count is a word of the superblock, so that snapshots, forks and images have it as it was. It is
// moved under the inode's lock, and by whoever ends the inode. After the death of a server `repair`
// counts anew, and `check` compares.

internal import MayflyArena

extension StoreWorker {
    /// Takes note of an inode's new flags.
    ///
    /// - Precondition: nobody else changes the flags of this inode.
    @_noLocks func countFixed(from old: UInt32, to new: UInt32) {
        let was = old & InodeFlags.fixed != 0
        let isFixed = new & InodeFlags.fixed != 0
        if was == isFixed || region.load(StoreSuperblock.fixedInodes) == 0 { return }
        if isFixed {
            region.add(StoreSuperblock.fixedInodes, 1)
        } else {
            region.subtract(StoreSuperblock.fixedInodes, 1)
        }
    }

    /// Whether an inode of the store may be immutable or append-only: false only where none is.
    ///
    /// - Complexity: O(1).
    package var mayHoldFixed: Bool {
        @_noLocks get { region.load(StoreSuperblock.fixedInodes) != 1 }
    }
}
