// The part of the machine that `mayfly run` has to itself: its namespaces, and where it mounts.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
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
        let failed = unsafe csys_enter_space(mayMount ? 0 : 1, &code)
        let error = Errno(rawValue: code)
        switch failed {
        case CSYS_SPACE_ENTERED: return
        case CSYS_SPACE_USER, CSYS_SPACE_MAP: throw noUserNamespace(error)
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

    /// Empty directories that a machine has for mounting on.
    static let places: [PathBytes] = ["/mnt", "/media", "/srv"]

    /// Those that the kernel makes for file systems of its own, the first for FUSE's control files. Nobody
    /// misses one in a namespace, and a small tmpfs on it has a directory for each run within a run.
    private static let lastPlaces: [PathBytes] = [
        "/sys/fs/fuse/connections", "/sys/fs/pstore", "/sys/kernel/debug", "/sys/kernel/config",
    ]

    /// What the mount table calls that tmpfs.
    private static let roomSource = "mayfly-run"

    /// As many runs may lie within each other.
    private static let mostRooms = 1000

    /// A directory to mount on in the private namespace: nothing in it gets hidden, none has to be
    /// removed, and a build finds the same path each time.
    ///
    /// - Parameter showing: absolute paths that it must not lie above.
    static func place(showing: [PathBytes] = []) throws(MountError) -> PathBytes {
        let places = places.filter { place in !showing.contains(where: place.contains) }
        if let place = places.first(where: isFree) { return place }
        // Another user's run around this one may have made a room that is not to be written here.
        for place in lastPlaces {
            if let room = room(on: place) { return room }
        }
        throw MountError(
            .usage,
            "there is no empty /mnt, /media or /srv to mount on, and no folder in /sys either: name one "
                + "with --at, which for everybody else stays as it is")
    }

    private static func isFree(_ path: PathBytes) -> Bool {
        // Not a link, no mount, nothing in it; an empty outer Mayfly may be one of them.
        HostFile.canonical(path) == path && MountTable.current().entry(at: path) == nil
            && HostFile.isEmpty(path)
    }

    /// A directory of the tmpfs, which an outer run may have made; nil where none can be had.
    private static func room(on place: PathBytes) -> PathBytes? {
        guard HostFile.canonical(place) == place else { return nil }
        let table = MountTable.current()
        if table.entry(at: place)?.source != roomSource {
            let code = unsafe place.withCString {
                unsafe Glibc.mount(
                    roomSource, $0, "tmpfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC),
                    "mode=1777,size=1m,nr_inodes=2k")
            }
            guard code == 0 else { return nil }
        }
        // What is free in this namespace: others have mounts of their own on the same directories.
        for number in 1...mostRooms {
            let room = place + PathBytes("/\(number)")
            if table.entry(at: room) != nil { continue }
            let isThere = unsafe room.withCString {
                unsafe mkdir($0, 0o755) == 0 || errno == EEXIST
            }
            return isThere ? room : nil
        }
        return nil
    }
}
