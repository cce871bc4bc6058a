// What the machine says about itself in /sys and /proc. Read at mount, never on the request path.

internal import Glibc
internal import MayflyHost

/// The CPUs and limits that a session is built for.
package enum Machine {
    /// CPUs that can ever be: the kernel makes a queue for each, online or not.
    ///
    /// - Returns: Their numbers; where /sys does not tell, as many as are configured.
    package static func possibleCPUs() -> [Int] {
        if let text = HostFile.text(at: "/sys/devices/system/cpu/possible") {
            let list = parseCPUList(text)
            if !list.isEmpty { return list }
        }
        return Array(0..<max(1, sysconf(Int32(_SC_NPROCESSORS_CONF))))
    }

    /// CPU numbers of a list such as "0-3,8,10-11"; what cannot be read is left out.
    package static func parseCPUList(_ text: String) -> [Int] {
        var result: [Int] = []
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let ends = part.split(separator: "-", maxSplits: 1).compactMap { Int($0) }
            // A bound on what a broken file can make this build.
            guard let first = ends.first, let last = ends.last, first >= 0, first <= last,
                last < 65536
            else { continue }
            result.append(contentsOf: first...last)
        }
        return result
    }

    /// NUMA node of each CPU; empty where the kernel has no nodes or only one.
    static func nodes() -> [Int: Int] {
        guard let text = HostFile.text(at: "/sys/devices/system/node/online") else { return [:] }
        let nodes = parseCPUList(text)
        if nodes.count < 2 { return [:] }
        var result: [Int: Int] = [:]
        for node in nodes {
            guard let cpus = HostFile.text(at: "/sys/devices/system/node/node\(node)/cpulist")
            else {
                continue
            }
            for cpu in parseCPUList(cpus) { result[cpu] = node }
        }
        return result
    }

    /// Whether FUSE over io_uring is switched on; nil where the kernel does not have it.
    package static func ringEnabled() -> Bool? {
        guard let text = HostFile.text(at: "/sys/module/fuse/parameters/enable_uring") else {
            return nil
        }
        return text.hasPrefix("Y") || text.hasPrefix("1")
    }

    /// Pages that one request may have: fs.fuse.max_pages_limit, 256 where it is not told.
    static func pageLimit() -> Int {
        guard let text = HostFile.text(at: "/proc/sys/fs/fuse/max_pages_limit") else { return 256 }
        return Int(text.trimmingEnd()) ?? 256
    }

    static var pageBytes: Int { sysconf(Int32(_SC_PAGESIZE)) }
}

extension String {
    fileprivate func trimmingEnd() -> Substring {
        self[...].prefix { !$0.isWhitespace }
    }
}
