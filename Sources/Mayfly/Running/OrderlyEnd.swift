// How a serving process ends its own mount.

import Glibc

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
        for attempt in 0... {
            do {
                try unmount(lazy: false, force: false)
                return true
            } catch {
                guard error.kind == .busy else {
                    if MountTable.current().entry(at: summary.mountpoint) == nil { return true }
                    throw error
                }
                guard attempt < 10 else { break }
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
