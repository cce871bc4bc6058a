import Glibc
internal import MayflyArena
internal import MayflyImages
package import SystemPackage

/// The messages that more than one place has to give, or that the core gives for the kernel.
extension MountError {
    /// What to type to turn the ring on.
    public static let ringSwitchCommand = "echo 1 > /sys/module/fuse/parameters/enable_uring"

    static func missing(_ mountpoint: String) -> MountError {
        MountError(
            .usage, code: .noMountpoint,
            "mountpoint \(mountpoint) does not exist: make it with `mkdir -p \(mountpoint)`"
        )
    }

    static func notDirectory(_ mountpoint: String) -> MountError {
        MountError(
            .usage, code: .notDirectory,
            "mountpoint \(mountpoint) is not a directory: name one that is")
    }

    /// What is given back, and what is mapped of a file, are pages of 4 KiB everywhere.
    ///
    /// - Throws: where the kernel's are larger, as those of arm64 can be.
    static func checkPages(of bytes: Int32 = getpagesize()) throws(MountError) {
        if UInt64(bytes) == SizeText.pageBytes { return }
        throw MountError(
            .system,
            "this kernel has pages of \(SizeText.described(bytes: UInt64(bytes))), and mayfly works with "
                + "4 KiB: boot a kernel built with pages of 4 KiB")
    }

    /// A second mount would hide the first and everything in it.
    static func mountedAlready(_ mountpoint: String) -> MountError {
        MountError(
            .mount, code: .mountedAlready,
            "\(mountpoint) is a mayfly mount already: run `mayfly umount \(mountpoint)` first, or "
                + "name another directory")
    }

    static func unreachable(_ mountpoint: String, _ error: Errno) -> MountError {
        if error == .socketNotConnected {
            return MountError(
                .mount, code: .noServer,
                "\(mountpoint) holds a mount whose server has died: run `mayfly umount "
                    + "\(mountpoint)` first")
        }
        return MountError(
            .usage, "mountpoint \(mountpoint) cannot be reached (\(error)): name another")
    }

    static let notPermitted = MountError(
        .usage, code: .notPermitted,
        "mounting is not permitted: run as root, or inside "
            + "`unshare --user --map-root-user --mount`")

    static func noDevice(_ error: Errno) -> MountError {
        switch error {
        case .noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice:
            MountError(
                .mount, code: .noFUSE,
                "there is no /dev/fuse: load the kernel's module with `modprobe fuse`")
        case .permissionDenied, .notPermitted:
            MountError(
                .usage, code: .notPermitted,
                "/dev/fuse may not be opened: run as root, or let everyone with "
                    + "`chmod 666 /dev/fuse`")
        default:
            MountError(.system, "/dev/fuse cannot be opened (\(error)): see open(2) for the reason")
        }
    }

    static let ringSwitchedOff = MountError(
        .mount, code: .noRing,
        "the ring is switched off: turn it on with `\(ringSwitchCommand)`, "
            + "or leave out \(setting: .transport) ring")

    static let ringUnknown = MountError(
        .mount, code: .noRing,
        "this kernel has no FUSE over io_uring: it takes Linux 6.14 or later; "
            + "leave out \(setting: .transport) ring")

    /// The error for a mount(2) that failed with `error`.
    package static func mounting(_ mountpoint: String, _ error: Errno) -> MountError {
        switch error {
        case .notPermitted, .permissionDenied: notPermitted
        case .noSuchFileOrDirectory: missing(mountpoint)
        case .notDirectory: notDirectory(mountpoint)
        case .socketNotConnected: unreachable(mountpoint, error)
        case Errno(rawValue: ENODEV):
            MountError(
                .mount, code: .noFUSE,
                "the kernel knows no FUSE: load its module with `modprobe fuse`")
        case .noMemory:
            MountError(
                .system, code: .noMemory,
                "no memory to mount \(mountpoint): lower \(setting: .queueDepth)")
        default:
            MountError(
                .mount, "mounting \(mountpoint) failed (\(error)): `dmesg | tail` may say why")
        }
    }

    /// The error for what was refused because there is not so much memory.
    ///
    /// - Parameters:
    ///   - what: as the beginning of a sentence.
    ///   - bytes: what it takes.
    ///   - advice: what to do next.
    static func shortage(_ what: String, _ bytes: UInt64, _ advice: String) -> MountError {
        let left = MemoryClaim.available
        if left >= bytes {
            return MountError(
                .system, code: .noMemory, "the system has no memory for \(what): \(advice)")
        }
        let needed = SizeText.described(bytes: bytes)
        return MountError(
            .system, code: .noMemory,
            "\(what) takes \(needed) of memory and \(SizeText.described(bytes: left)) is left: \(advice)"
        )
    }

    /// The error for a tree that could not be read or put in.
    static func tree(_ error: TreeError) -> MountError {
        guard error.wantsRoom else { return MountError(.usage, error.line) }
        return MountError(
            .usage, code: .badSize,
            "\(error.line): give a larger \(setting: .size), or more \(setting: .inodes)")
    }

    /// The error for memory that could not be reserved or filled.
    package static func noMemory(_ what: String, bytes: UInt64) -> MountError {
        MountError(
            .system, code: .noMemory,
            "no memory for \(what) (\(SizeText.described(bytes: bytes))): "
                + "lower \(setting: .size), \(setting: .queueDepth) or \(setting: .maxPayload)")
    }
}
