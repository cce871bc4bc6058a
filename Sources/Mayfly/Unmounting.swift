// Taking a mount out of the tree, with errors that say what keeps it there.

import Glibc
package import MayflyHost
package import SystemPackage

/// Taking mounts out of the tree.
package enum Unmounting {
    /// umount2(2) of one mount, wherever it is by now, with errors that say what to do.
    ///
    /// - Throws: `.busy` naming who keeps it so; `.usage` when not permitted or not mounted.
    package static func unmount(
        _ identity: MountIdentity?, _ name: String, lazy: Bool, force: Bool
    ) throws(MountError) {
        guard var failure = attempt(identity, lazy: lazy, force: force) else { return }
        // Those whose requests the first attempt made fail need a moment to let go.
        for _ in 0..<50 where force && failure == .resourceBusy {
            usleep(10_000)
            guard let next = attempt(identity, lazy: lazy, force: force) else { return }
            failure = next
        }
        throw error(failure, identity, name)
    }

    /// Why a mount could not be unmounted.
    package static func error(_ failure: Errno, _ identity: MountIdentity?, _ name: String)
        -> MountError
    {
        switch failure {
        case .resourceBusy: busy(identity, name)
        case .notPermitted, .permissionDenied:
            MountError(
                .usage, code: .notPermitted,
                "unmounting \(name) is not permitted: run as root, or in the namespace "
                    + "that mounted it")
        case .invalidArgument, .noSuchFileOrDirectory:
            MountError(.usage, code: .notMounted, "\(name) is not mounted: there is nothing to do")
        case .staleNFSFileHandle:
            MountError(
                .busy,
                "\(name) cannot be reached, because something else is mounted over it or over a "
                    + "folder above it: unmount that first")
        default:
            MountError(
                .mount,
                "unmounting \(name) failed (\(failure)): try \(setting: .force) or \(setting: .lazy)"
            )
        }
    }

    /// umount2(2) alone: nil when it is done.
    package static func attempt(_ identity: MountIdentity?, lazy: Bool, force: Bool) -> Errno? {
        guard let identity else { return .invalidArgument }
        return identity.unmount(
            flags: (lazy ? Int32(MNT_DETACH) : 0) | (force ? Int32(MNT_FORCE) : 0))
    }

    private static func busy(_ identity: MountIdentity?, _ name: String) -> MountError {
        let table = MountTable.current()
        let entry = table.entries.last { $0.identity == identity }
        if entry?.mountpoint == "/" {
            return MountError(
                .busy, "\(name) is the root directory here: unmount it where it was mounted")
        }
        let below = table.entries.filter { $0.parentID == identity?.mountID }
        if let mount = below.first {
            let more = below.count > 1 ? " and \(below.count - 1) more" : ""
            return MountError(
                .busy,
                "\(name) is busy, because \(mount.mountpoint)\(more) is mounted in it: unmount that "
                    + "first, or use \(setting: .lazy)")
        }
        let holders = identity.map {
            MountHolders.of(mountID: $0.mountID, device: "0:\($0.connection)")
        }
        let others = holders?.filter { $0.processID != getpid() } ?? []
        if let who = MountHolders.described(others) {
            return MountError(
                .busy, "\(name) is busy, kept so by \(who): end them, or use \(setting: .lazy)")
        }
        if holders?.isEmpty == false {
            return MountError(
                .busy,
                "\(name) is busy, because a file of it is this command's own input or output: give it "
                    + "another")
        }
        return MountError(
            .busy,
            "\(name) is busy, and nothing that can be seen from here keeps it so: look for other "
                + "users' processes as root, or use \(setting: .lazy)")
    }
}
