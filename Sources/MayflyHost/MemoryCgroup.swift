// MemoryCgroup: the memory cgroups that this process is in, and their files.

/// A memory cgroup that this process is in, directly or not.
package struct MemoryCgroup: Equatable, Sendable {
    /// In the file system.
    package var folder: String
    /// Of the unified hierarchy.
    package var isUnified: Bool

    package var limitFile: String {
        "\(folder)/\(isUnified ? "memory.max" : "memory.limit_in_bytes")"
    }
    package var usageFile: String {
        "\(folder)/\(isUnified ? "memory.current" : "memory.usage_in_bytes")"
    }
    package var statisticsFile: String { "\(folder)/memory.stat" }

    /// Every one up to the root, of both hierarchies.
    package static func all(contents: (String) -> String?) -> [MemoryCgroup] {
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
