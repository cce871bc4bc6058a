// How a serving process ends its own mount.

import Glibc
import SystemPackage

extension MountedFileSystem {
    /// Unmounts, and if something sits in the mount takes it out of the tree all the same.
    ///
    /// What has just ended may hold the mount a moment longer, so it is tried for 0.2 s first. That
    /// somebody else has unmounted it meanwhile is as good.
    ///
    /// - Parameter warn: told who still uses the mount, when somebody does.
    /// - Returns: false when the mount ends only with those who use it.
    @discardableResult
    func endInOrder(warn: (String) -> Void) throws(MountError) -> Bool {
        for _ in 0...10 {
            // Who keeps it busy is asked once, at the end: it takes a look at every process.
            let failure = Unmounting.attempt(summary.mountpoint, lazy: false, force: false)
            if failure == nil { return true }
            if failure != .resourceBusy {
                // Out of the tree already, but still served: a copy in another mount namespace, or a
                // file that is open since a lazy unmount. Who ends the server ends them too.
                if MountTable.current().entry(at: summary.mountpoint) == nil {
                    if abort() { return true }
                    throw MountError(
                        .mount,
                        "\(summary.mountpoint) lives on in another mount namespace, and its "
                            + "connection cannot be aborted: end \(getpid()) with SIGKILL")
                }
                try unmount(lazy: false, force: false)
                return true
            }
            usleep(20000)
        }
        let mountpoint = summary.mountpoint
        let device = MountTable.current().entry(at: mountpoint)?.device
        let holders = MountHolders.of(mountpoint: mountpoint, device: device)
        let who = MountHolders.described(holders) ?? "something that cannot be seen from here"
        warn("\(mountpoint) is still used by \(who): detached, it ends when they do")
        try unmount(lazy: true, force: false)
        return false
    }
}
