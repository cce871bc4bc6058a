// What a server gives up between its mount(2) and its first request.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import SystemPackage

enum Privileges {
    private static let searchAll: UInt64 = 1 << 2  // CAP_DAC_READ_SEARCH
    static let administrate: UInt64 = 1 << 21  // CAP_SYS_ADMIN
    private static let schedule: UInt64 = 1 << 23  // CAP_SYS_NICE

    /// Gives up every capability that the unmount at the end does not need, for good, and closes
    /// the process against core dumps and tracers.
    ///
    /// umount2(2) asks for CAP_SYS_ADMIN, and for CAP_DAC_READ_SEARCH where the mountpoint lies in
    /// a folder that the user may not search otherwise: root's mount in somebody's private home.
    /// CAP_SYS_NICE brings a thread back from SCHED_IDLE where the resource limit does not.
    ///
    /// - Precondition: no thread that is to be bound by it has been started.
    static func giveUp(mountpoints: [PathBytes]) throws(MountError) {
        let reaches = mountpoints.allSatisfy { mountpoint in
            unsafe mountpoint.withCString { unsafe csys_reaches_with(administrate, $0) != 0 }
        }
        var kept = reaches ? administrate : administrate | searchAll
        if csys_allow_ordinary_scheduling() != 0 { kept |= schedule }
        var failure = csys_keep_capabilities(kept)
        if failure == 0 { failure = csys_close_up() }
        guard failure == 0 else {
            throw MountError(
                .system,
                "privileges cannot be given up (\(Errno(rawValue: failure))): see the limits that "
                    + "prctl(2) and capset(2) have here")
        }
    }
}
