// How much memory this process may use: the machine's, cut by the memory cgroup it is in.

internal import MayflyHost

/// What the defaults of a mount are computed from.
public struct SystemMemory: Sendable, Equatable {
    /// The machine's memory as the kernel counts it, without what it keeps for itself.
    public var physicalBytes: UInt64
    /// The tightest limit of the memory cgroup and those above it; nil when there is none.
    public var limitBytes: UInt64?

    /// Memory of another machine, for what is computed from it.
    public init(physicalBytes: UInt64, limitBytes: UInt64? = nil) {
        self.physicalBytes = physicalBytes
        self.limitBytes = limitBytes
    }

    /// The smaller of the two.
    public var usableBytes: UInt64 { min(physicalBytes, limitBytes ?? physicalBytes) }

    /// The size of a mount for which none is given: half of the usable memory, in whole pages.
    ///
    /// Deviation: tmpfs takes half of the machine's memory even where a cgroup allows less, so that
    /// a full file system ends in the OOM killer; ENOSPC is the better end.
    ///
    /// - Source: mm/shmem.c, `shmem_default_max_blocks()`.
    public var defaultSizeBytes: UInt64 {
        usableBytes / 2 / SizeText.pageBytes * SizeText.pageBytes
    }

    /// The inodes of a mount for which no number is given: half as many as what may be used has
    /// pages, so that what the mount can take at most fits a memory cgroup as well.
    ///
    /// - Source: mm/shmem.c, `shmem_default_max_inodes()`.
    public var defaultInodes: UInt64 { usableBytes / SizeText.pageBytes / 2 }

    /// This machine and this process.
    public static func current() -> SystemMemory {
        let machine = MachineMemory.current()
        return SystemMemory(
            physicalBytes: machine.physicalBytes, limitBytes: machine.limitBytes)
    }
}
