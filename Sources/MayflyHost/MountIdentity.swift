// MountIdentity: which mount it is, whatever has become of the path that it was made on.
//
// A mount can be moved, a folder above it renamed, and another put in its place. So it is looked for
// in the mount table each time, and what stands there is looked at before it is unmounted.

internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// One mount of one FUSE connection.
package struct MountIdentity: Hashable, Sendable {
    /// Number of the connection, which is the minor number of the mount's device.
    package let connection: UInt32
    /// The first field of its line in mountinfo. The kernel gives it to another mount later, which
    /// then has another device as a rule, so it takes both to know a mount.
    package let mountID: UInt64

    package init(connection: UInt32, mountID: UInt64) {
        self.connection = connection
        self.mountID = mountID
    }

    /// Where it is mounted now, absolute; nil when it is in no tree that this process sees.
    package var place: PathBytes? {
        MountTable.current().entries.last { $0.identity == self }?.mountpoint
    }

    /// Takes the mount out of the tree: umount2(2).
    ///
    /// - Parameter flags: `MNT_FORCE`, `MNT_DETACH`.
    /// - Returns: nil when it is done; `EINVAL` when it is not mounted; `ESTALE` when another mount
    ///   covers it or a folder above it; `EBUSY` also where it is the root directory here.
    package func unmount(flags: Int32) -> Errno? {
        // Who renames a folder above it meanwhile makes one attempt fail, and not all.
        for attempt in 0..<5 {
            guard let place else { return .invalidArgument }
            let code = unsafe place.withCString { path in
                unsafe csys_unmount(path, connection, mountID, flags)
            }
            if code == 0 { return nil }
            let error = Errno(rawValue: -code)
            let mayHaveMoved = [.staleNFSFileHandle, .noSuchFileOrDirectory, .notDirectory]
                .contains(error)
            if !mayHaveMoved || attempt == 4 { return mayHaveMoved ? .staleNFSFileHandle : error }
            usleep(2000)
        }
        return .staleNFSFileHandle
    }
}
