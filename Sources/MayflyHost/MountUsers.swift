// MountUsers: who still has a file system of FUSE after one of its mounts was taken away: bind mounts of
// it, copies in other mount namespaces, and processes with something open in it.

internal import CMayflySystem
internal import Glibc

/// What keeps a FUSE connection alive.
package struct MountUsers: Sendable, Equatable {
    /// Mountpoints in this process's tree.
    package var mountpoints: [PathBytes] = []
    /// Mountpoints in other trees, each with a process that sees it.
    package var elsewhere: [(mountpoint: PathBytes, seenBy: MountHolder)] = []
    /// Processes with something open below a mount that is in no tree.
    package var holders: [MountHolder] = []

    package static func == (one: MountUsers, other: MountUsers) -> Bool {
        one.mountpoints == other.mountpoints && one.holders == other.holders
            && one.elsewhere.elementsEqual(other.elsewhere, by: { $0 == $1 })
    }

    /// The users of a connection, as far as the caller may look. No mount is asked anything.
    ///
    /// - Parameter seconds: how long each of two looks at other processes takes at most.
    package static func of(connection: UInt32, seconds: UInt64 = 3) -> MountUsers {
        let device = "0:\(connection)"
        var users = MountUsers()
        var known: Set<UInt64> = []
        for entry in MountTable.current().entries where entry.device == device {
            users.mountpoints.append(entry.mountpoint)
            known.insert(entry.mountID)
        }
        let processIDs = MountHolders.processIDs().filter { $0 != getpid() }
        // A tree is a namespace as far as the process's root directory lets it see.
        var trees: Set<String> = []
        let seen = ProcessScan.of(processIDs, seconds: seconds) { processID -> String? in
            let folder = "/proc/\(processID)"
            guard let namespace = HostFile.link(at: "\(folder)/ns/mnt") else { return nil }
            return "\(namespace) \(HostFile.link(at: "\(folder)/root") ?? "")"
        }
        for (processID, tree) in seen.found where trees.insert(tree).inserted {
            for entry in MountTable(ofProcess: "\(processID)").entries
            where entry.device == device && known.insert(entry.mountID).inserted {
                users.elsewhere.append((entry.mountpoint, MountHolder(processID: processID)))
            }
        }
        let slow = MountHolders.slowMountpoints
        let mounts = known
        users.holders = ProcessScan.of(processIDs, seconds: seconds) { processID in
            let uses = MountHolders.uses(of: processID, skipping: slow).filter {
                $0.major == 0 && $0.minor == connection
            }
            // Of a mapping the kernel tells no mount.
            let isMapped =
                uses.isEmpty && mounts.isEmpty
                && MountHolders.maps(of: "/proc/\(processID)", name: device)
            return isMapped || uses.contains(where: { !mounts.contains($0.id) })
                ? MountHolder(processID: processID) : nil
        }.found.map(\.value)
        return users
    }

    /// Why the file system goes on, to follow "because"; nil where nobody is seen.
    package var reason: String? {
        func listed(_ texts: [String]) -> String {
            let more = texts.count - 3
            return texts.prefix(3).joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
        }
        var parts: [String] = []
        let places =
            mountpoints.map(\.text)
            + elsewhere.map { "\($0.mountpoint) in the mount namespace of process \($0.seenBy)" }
        if !places.isEmpty { parts.append("it is still mounted on \(listed(places))") }
        if !holders.isEmpty {
            parts.append("files in it are open in process \(listed(holders.map(\.description)))")
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", and ")
    }

    /// Whether the kernel still has the file system of a connection; nil where /sys does not tell.
    ///
    /// - Source: fs/fuse/inode.c, `fuse_bdi_init()`; fs/super.c, `generic_shutdown_super()`.
    package static func isAlive(connection: UInt32) -> Bool? {
        guard unsafe access("/sys/class/bdi", F_OK) == 0 else { return nil }
        return unsafe access("/sys/class/bdi/0:\(connection)", F_OK) == 0
    }
}
