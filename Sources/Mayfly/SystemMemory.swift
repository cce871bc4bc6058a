// How much memory this process may use: the machine's, cut by the memory cgroup it is in.

internal import MayflyHost

/// What the defaults of a mount are computed from.
public struct SystemMemory: Sendable, Equatable {
    private var machine: MachineMemory

    /// The machine's memory as the kernel counts it, without what it keeps for itself.
    public var physicalBytes: UInt64 {
        get { machine.physicalBytes }
        set { machine.physicalBytes = newValue }
    }
    /// The tightest limit of the memory cgroup and those above it; nil when there is none.
    public var limitBytes: UInt64? {
        get { machine.limitBytes }
        set { machine.limitBytes = newValue }
    }

    /// Memory of another machine, for what is computed from it.
    public init(physicalBytes: UInt64, limitBytes: UInt64? = nil) {
        machine = MachineMemory(physicalBytes: physicalBytes, limitBytes: limitBytes)
    }

    private init(_ machine: MachineMemory) { self.machine = machine }

    /// The smaller of the two.
    public var usableBytes: UInt64 { machine.usableBytes }

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

    /// The same for a mount of a size: one for each KiB, so that what a small mount can take at most is no
    /// multiple of its size, and no fewer than a quarter of a million.
    ///
    /// Deviation: of tmpfs they do not follow the size.
    public func defaultInodes(sizeBytes: UInt64) -> UInt64 {
        min(defaultInodes, max(1 << 18, sizeBytes / 1024))
    }

    /// This machine and this process.
    public static func current() -> SystemMemory { SystemMemory(.current()) }
}
