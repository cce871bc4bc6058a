// The part of the machine that `mayfly run` has to itself: its namespaces, and where it mounts.

import CMemory
import Glibc
import SystemPackage

enum PrivateSpace {
    /// Moves this process where its mounts are nobody else's: into a mount namespace of its own,
    /// and first, when it may not mount as it is, into a user namespace in which it may and is the
    /// same user as before.
    ///
    /// The kernel drops what is mounted there with the last process that lives there, so nothing is
    /// left even when all of them are killed.
    ///
    /// - Precondition: the process has one thread; a user namespace takes that (unshare(2)).
    static func enter() throws(MountError) {
        let mayMount = MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))
        var code: Int32 = 0
        let failed = unsafe cmem_enter_space(mayMount ? 0 : 1, &code)
        let error = Errno(rawValue: code)
        switch failed {
        case CMEM_SPACE_ENTERED: return
        case CMEM_SPACE_USER, CMEM_SPACE_MAP: throw noUserNamespace(error)
        default:
            throw MountError(
                .usage,
                "a mount namespace is not permitted here (\(error)): run as root, or let users "
                    + "have namespaces (sysctl user.max_mnt_namespaces; AppArmor's "
                    + "kernel.apparmor_restrict_unprivileged_userns=0)")
        }
    }

    static func noUserNamespace(_ error: Errno) -> MountError {
        switch error {
        case .invalidArgument:
            MountError(
                .system, "a program with several threads cannot enter a user namespace: run as root"
            )
        default:
            MountError(
                .usage,
                "a user namespace is not permitted here (\(error)): run as root, or let users "
                    + "have them (sysctl user.max_user_namespaces, "
                    + "kernel.unprivileged_userns_clone=1)")
        }
    }

    /// Empty directories that a machine has for mounting on, then the one that the kernel makes for
    /// FUSE's own control files, which nobody misses in a namespace.
    static let places = ["/mnt", "/media", "/srv", "/sys/fs/fuse/connections"]

    /// A directory to mount on in the private namespace: nothing in it gets hidden, none has to be
    /// made or removed, and a build finds the same path each time.
    ///
    /// - Parameter showing: absolute paths that it must not lie above.
    static func place(showing: [String] = []) throws(MountError) -> String {
        let places = places.filter { place in
            !showing.contains { $0 == place || $0.hasPrefix("\(place)/") }
        }
        guard let place = places.first(where: isFree) ?? places.last.flatMap(onlyIfThere) else {
            throw MountError(
                .usage, "there is no empty /mnt, /media or /srv to mount on: name one with --at")
        }
        return place
    }

    private static func isFree(_ path: String) -> Bool {
        // Not a link, no mount, nothing in it; an empty outer Mayfly may be one of them.
        guard HostFile.canonical(path) == path, MountTable.current().entry(at: path) == nil,
            let names = HostFile.namesIfReadable(in: path)
        else { return false }
        return names.isEmpty
    }

    private static func onlyIfThere(_ path: String) -> String? { HostFile.canonical(path) }
}
