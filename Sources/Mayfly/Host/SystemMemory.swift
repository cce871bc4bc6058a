// How much memory this process may use: the machine's, cut by the memory cgroup it is in.

internal import CMemory
internal import Glibc

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
    ///
    /// - Source: sysconf(3), which asks sysinfo(2); cgroups(7).
    public static func current() -> SystemMemory {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let pageBytes = sysconf(Int32(_SC_PAGESIZE))
        precondition(pages > 0 && pageBytes > 0, "sysconf(3) knows no memory")
        return SystemMemory(
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

/// A memory cgroup that this process is in, directly or not.
struct MemoryCgroup: Equatable, Sendable {
    /// In the file system.
    var folder: String
    /// Of the unified hierarchy.
    var isUnified: Bool

    var limitFile: String { "\(folder)/\(isUnified ? "memory.max" : "memory.limit_in_bytes")" }
    var usageFile: String { "\(folder)/\(isUnified ? "memory.current" : "memory.usage_in_bytes")" }
    var statisticsFile: String { "\(folder)/memory.stat" }

    /// Every one up to the root, of both hierarchies.
    static func all(contents: (String) -> String?) -> [MemoryCgroup] {
        guard let lines = contents("/proc/self/cgroup") else { return [] }
        var found: [MemoryCgroup] = []
        for line in lines.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let root: String
            let isUnified = fields[0] == "0" && fields[1].isEmpty
            if isUnified {
                root = "/sys/fs/cgroup"
            } else if fields[1].split(separator: ",").contains("memory") {
                root = "/sys/fs/cgroup/memory"
            } else {
                continue
            }
            var parts = fields[2].split(separator: "/")
            while true {
                let folder = parts.isEmpty ? root : "\(root)/\(parts.joined(separator: "/"))"
                found.append(MemoryCgroup(folder: folder, isUnified: isUnified))
                if parts.isEmpty { break }
                parts.removeLast()
            }
        }
        return found
    }
}
