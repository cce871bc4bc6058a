// How much memory could still be had without somebody being killed for it.
//
// Linux promises memory that it does not have and kills a process when the promise falls due. So
// before memory is touched it is looked at whether there is any, and ENOSPC is said where not.

/// What there is beside what is taken, of the machine and of each memory cgroup with a limit.
struct MemoryHeadroom: Sendable {
    /// Cgroups with a limit when this was made.
    private let groups: [MemoryCgroup]
    /// What is left to others: the kernel, and what the server takes beside the file system.
    let reserveBytes: UInt64

    init(
        memory: SystemMemory = .current(), contents: (String) -> String? = HostFile.text(at:)
    ) {
        groups = MemoryCgroup.all(contents: contents).filter {
            SystemMemory.limitBytes(contents($0.limitFile)) != nil
        }
        reserveBytes = max(16 << 20, memory.usableBytes / 64)
    }

    /// Bytes that may still be taken; nil when nobody tells.
    ///
    /// What the page cache holds counts as free: the kernel takes it back first.
    ///
    /// - Source: proc_meminfo(5), MemAvailable; cgroups(7).
    func bytes(contents: (String) -> String? = HostFile.text(at:)) -> UInt64? {
        var least = Self.value("MemAvailable:", in: contents("/proc/meminfo")).map { available in
            available * 1024
                + (Self.value("SwapFree:", in: contents("/proc/meminfo")) ?? 0) * 1024
        }
        for group in groups {
            guard let limit = SystemMemory.limitBytes(contents(group.limitFile)),
                let usage = SystemMemory.limitBytes(contents(group.usageFile))
            else { continue }
            let statistics = contents(group.statisticsFile)
            let prefix = group.isUnified ? "" : "total_"
            let cached = ["inactive_file", "active_file"].reduce(UInt64(0)) { sum, name in
                sum + (Self.value(prefix + name, in: statistics) ?? 0)
            }
            let taken = usage - min(usage, cached)
            least = min(least ?? .max, limit - min(limit, taken))
        }
        return least.map { $0 - min($0, reserveBytes) }
    }

    /// The number after `name` in a file of such lines.
    private static func value(_ name: String, in text: String?) -> UInt64? {
        guard let text else { return nil }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            if words.count > 1, words[0] == name { return UInt64(words[1]) }
        }
        return nil
    }
}
