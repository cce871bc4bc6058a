// What a report says of the machine it was made on.

import Glibc

package enum HostFacts {
    /// The kernel's release.
    package static var kernel: String {
        let text = HostFile.text(at: "/proc/sys/kernel/osrelease") ?? "unknown"
        return String(text.prefix { $0 != "\n" })
    }

    /// The type of the file system that `path`, absolute and without links, lies in.
    package static func fileSystemType(at path: String) -> String? {
        let holding = MountTable.current().entries.filter { entry in
            entry.mountpoint == "/" || entry.mountpoint == path
                || path.hasPrefix("\(entry.mountpoint)/")
        }
        // Of two at the same place the later one is seen.
        let longest = holding.map(\.mountpoint.utf8.count).max()
        return holding.last { $0.mountpoint.utf8.count == longest }?.type
    }
}
