// Known bugs of kernels that Mayfly runs on, told once when one is met.

import Glibc
import MayflyHost

/// A Linux release, "6.18.44-vendor" as 6, 18, 44.
public struct KernelRelease: Sendable, Equatable, Comparable {
    /// The 6 of 6.18.44.
    public var major: Int
    /// The 18 of 6.18.44.
    public var minor: Int
    /// The 44 of 6.18.44.
    public var patch: Int

    /// A release by its numbers.
    public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        (self.major, self.minor, self.patch) = (major, minor, patch)
    }

    /// - Returns: nil when `text` is no release.
    public init?(parsing text: String) {
        let numbers = text.prefix { $0 == "." || $0.isNumber }
            .split(separator: ".").map { Int($0) ?? 0 }
        guard numbers.count >= 2 else { return nil }
        self.init(numbers[0], numbers[1], numbers.count > 2 ? numbers[2] : 0)
    }

    /// - Source: uname(2).
    public static func current() -> KernelRelease? {
        HostFile.text(at: "/proc/sys/kernel/osrelease").flatMap(KernelRelease.init(parsing:))
    }

    public static func < (one: KernelRelease, other: KernelRelease) -> Bool {
        (one.major, one.minor, one.patch) < (other.major, other.minor, other.patch)
    }
}

extension MountSummary {
    /// One line of warning where the kernel's part of the ring has a bug that matters; nil else.
    ///
    /// By number: a distribution may have mended an older kernel, and only its maintainers know.
    ///
    /// - Source: CVE-2025-68805, mended in 6.18.3: a client that dies while its request waits
    ///   leaves the list of requests corrupt. Before 6.18.39 the background depth falls to one.
    public func kernelWarning(_ release: KernelRelease? = .current()) -> String? {
        guard let release, transport == .ring, release < KernelRelease(6, 18, 3) else { return nil }
        let name = "\(release.major).\(release.minor).\(release.patch)"
        return "Linux \(name) may corrupt its lists when a client of the ring is killed "
            + "(CVE-2025-68805): update to 6.18.3 or later, or mount over /dev/fuse"
    }
}
