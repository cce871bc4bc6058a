// MachineMemory: how much memory there is for this process, by the machine and its cgroups.

internal import Glibc

package struct MachineMemory: Sendable, Equatable {
    /// The machine's memory as the kernel counts it, without what it keeps for itself.
    package var physicalBytes: UInt64
    /// The tightest limit of the memory cgroup and those above it; nil when there is none.
    package var limitBytes: UInt64?

    package init(physicalBytes: UInt64, limitBytes: UInt64? = nil) {
        self.physicalBytes = physicalBytes
        self.limitBytes = limitBytes
    }

    /// The smaller of the two.
    package var usableBytes: UInt64 { min(physicalBytes, limitBytes ?? physicalBytes) }

    /// This machine and this process.
    ///
    /// - Source: sysconf(3), which asks sysinfo(2); cgroups(7).
    package static func current() -> MachineMemory {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let pageBytes = sysconf(Int32(_SC_PAGESIZE))
        precondition(pages > 0 && pageBytes > 0, "sysconf(3) knows no memory")
        return MachineMemory(
            physicalBytes: UInt64(pages) * UInt64(pageBytes),
            limitBytes: cgroupLimitBytes(contents: HostFile.text(at:)))
    }

    /// The tightest memory limit that `/proc/self/cgroup` and the cgroup files tell of.
    ///
    /// Both hierarchies are looked at, for a machine may have either. A limit set on a cgroup binds
    /// every one below it, so all are read up to the root. Inside a cgroup namespace the root of
    /// what can be seen may be the own cgroup, and then its files stand in the hierarchy's root.
    ///
    /// - Parameter contents: what a file holds, nil when it cannot be read.
    static func cgroupLimitBytes(contents: (String) -> String?) -> UInt64? {
        MemoryCgroup.all(contents: contents).compactMap { limitBytes(contents($0.limitFile)) }.min()
    }

    /// A limit file's number; nil for "max" and for version 1's near 2^63, which both mean none.
    static func limitBytes(_ text: String?) -> UInt64? {
        guard let text, let value = UInt64(text.prefix { $0 != "\n" }) else { return nil }
        return value >= UInt64(Int64.max) - 65536 ? nil : value
    }
}
