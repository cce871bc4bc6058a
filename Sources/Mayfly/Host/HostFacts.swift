// What a report says of the machine it was made on.

internal import CMayflySystem
import Glibc
internal import MayflyHost

package enum HostFacts {
    /// Makes sure that the descriptors 0, 1 and 2 are open, before anything else is opened.
    package static func fillStandardDescriptors() { csys_fill_standard_descriptors() }

    /// - Throws: `.system` where /proc does not tell what this process sees mounted.
    package static func checkProc() throws(MountError) {
        guard HostFile.bytes(at: "/proc/self/mountinfo") == nil else { return }
        throw MountError(
            .system,
            "/proc is missing, which tells what is mounted: mount it with `mount -t proc proc /proc`"
        )
    }

    /// The kernel's release.
    package static var kernel: String {
        let text = HostFile.text(at: "/proc/sys/kernel/osrelease") ?? "unknown"
        return String(text.prefix { $0 != "\n" })
    }

    /// The type of the file system that `path`, absolute and without links, lies in.
    package static func fileSystemType(at path: String) -> String? {
        MountTable.current().entry(around: PathBytes(path))?.type
    }
}
