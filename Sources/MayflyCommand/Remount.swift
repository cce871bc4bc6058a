// `mount -o remount`: what the kernel acts upon is mount(8)'s business, the limits are the server's, and
// what nobody can change while it is mounted is refused.

import Glibc
import Mayfly
import MayflyHost
import MayflyRunning

/// The options of a remount, by who carries them out.
struct Remount: Equatable {
    private(set) var size: String?
    private(set) var inodes: String?
    /// For mount(8).
    private(set) var ofKernel: [String] = []
    /// What the mount has or has not, and keeps.
    private(set) var fixed: [String] = []

    /// - Source: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
    private static let kernelFlags: Set<String> = [
        "remount", "bind", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec",
        "symfollow",
        "nosymfollow", "noatime", "atime", "relatime", "norelatime", "strictatime", "nostrictatime",
        "nodiratime", "diratime", "lazytime", "nolazytime", "silent", "loud", "defaults", "auto",
        "noauto",
        "user", "nouser", "users", "owner", "noowner", "group", "nogroup", "_netdev", "nofail",
        "async",
        "iversion", "noiversion", "mand", "nomand",
    ]

    /// What the kernel says of a mount, which mount(8) repeats.
    private static let kernelWords: Set<String> = [
        "fd", "rootmode", "user_id", "group_id", "max_read", "blksize",
    ]

    init(_ options: [String]) {
        for option in options {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let (name, value) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : nil)
            switch (name, value) {
            case ("size", let value?): size = value
            case ("nr_blocks", let value?): size = Self.bytes(ofBlocks: value)
            case ("nr_inodes", let value?): inodes = value
            default:
                if name.hasPrefix("x-") || name.hasPrefix("X-") || name == "comment" {
                    ofKernel.append(option)
                } else if Self.kernelWords.contains(name) {
                    continue
                } else if value == nil, Self.kernelFlags.contains(name) {
                    ofKernel.append(option)
                } else {
                    fixed.append(option)
                }
            }
        }
    }

    /// Blocks are of 4 KiB; what is no number is left to be refused.
    private static func bytes(ofBlocks text: String) -> String {
        guard let blocks = try? SizeText.count(text, option: "nr_blocks="), blocks < 1 << 50 else {
            return "\(text) blocks"
        }
        return "\(blocks * 4096)"
    }

    /// Changes what can be changed of a mount. Returns only where mount(8) has nothing to do.
    ///
    /// mount(8) reads what /etc/fstab has for a mountpoint along with what it is told, so an option that
    /// says what is so already is no error.
    func carryOut(on directory: PathBytes) throws(MountError) {
        let control = try MountControl(directory)
        let report = try control.report()
        for option in fixed {
            // A server of another version does not tell.
            if let words = report.options, try MountConfiguration.isSo(option, words) { continue }
            throw MountError(
                .usage,
                "option \(option) cannot be changed by a remount: unmount \(directory), and mount it anew"
            )
        }
        var change = LimitChange()
        if let size {
            change.sizeBytes = try SizeText.bytes(size, option: "option size=", memory: .current())
        }
        if let inodes { change.inodes = try SizeText.count(inodes, option: "option nr_inodes=") }
        if change != LimitChange() { _ = try control.resize(change) }
        if ofKernel.contains(where: { $0 != "remount" && $0 != "defaults" }) {
            throw askKernel(directory)
        }
    }

    /// Gives the rest to mount(8), told not to call its helper again. Returns only on failure.
    private func askKernel(_ directory: PathBytes) -> MountError {
        let programs: [String] = ["/usr/bin/mount", "/bin/mount"]
        let program = programs.first { path in unsafe access(path, X_OK) == 0 }
        guard let program else {
            return MountError(.mount, "there is no mount(8) to remount with: install util-linux")
        }
        let list = (ofKernel.contains("remount") ? ofKernel : ["remount"] + ofKernel)
            .joined(separator: ",")
        let words: [PathBytes] = [PathBytes(program), "-i", "-o", PathBytes(list), directory]
        var vector = unsafe words.map { word in unsafe word.withCString { unsafe strdup($0) } }
        unsafe vector.append(nil)
        unsafe execv(program, vector)
        return MountError(.system, "\(program) cannot be executed: look at its permissions")
    }
}
