// How a serving process ends its own mount.

internal import FuseTransport
import Glibc
import Mayfly
internal import MayflyHost
import SystemPackage

extension MountedFileSystem {
    /// Unmounts, and if something sits in the mount takes it out of the tree all the same.
    ///
    /// What has just ended may hold the mount a moment longer, so it is tried for 0.2 s first. Bind
    /// mounts and copies in other mount namespaces go on. A mount that somebody has unmounted before is
    /// ended for all who still use it.
    ///
    /// - Parameter warn: told who still uses the mount, when somebody does.
    /// - Returns: false when the mount ends only with those who use it.
    @discardableResult
    func endInOrder(warn: (String) -> Void) throws(MountError) -> Bool {
        let place = place
        var failure: Errno?
        for _ in 0...10 {
            failure = Unmounting.attempt(identity, lazy: false, force: false)
            if failure != .resourceBusy { break }
            usleep(20000)
        }
        switch failure {
        case nil: return !goesOn(place, warn)
        case .invalidArgument?:
            // Out of the tree already, but still served: a copy elsewhere, or a file that is open
            // since a lazy unmount. Who ends the server now ends them too.
            try endForAll()
            return true
        case .resourceBusy?:
            // Who keeps it busy is asked once, at the end: it takes a look at every process.
            let holders = identity.map {
                MountHolders.of(mountID: $0.mountID, device: "0:\($0.connection)")
            }
            let who = holders.flatMap { MountHolders.described($0) }
            warn(
                "\(place) is still used by \(who ?? "something that cannot be seen from here"): "
                    + "detached, it ends when they do")
            try Unmounting.unmount(identity, place, lazy: true, force: false)
            return false
        case let failure?: throw Unmounting.error(failure, identity, place)
        }
    }

    /// Takes the mount out of the tree if it is there, and ends the connection: open requests and files
    /// fail, in bind mounts of it as well.
    ///
    /// - Throws: `.mount` when only the end of this process will do it.
    func endForAll() throws(MountError) {
        let place = place
        _ = Unmounting.attempt(identity, lazy: true, force: true)
        if abort() { return }
        if let identity, MountUsers.isAlive(connection: identity.connection) == false { return }
        throw MountError(
            .mount,
            "\(place) is still used, and its connection cannot be aborted: end \(getpid()) with "
                + "SIGKILL")
    }

    /// Whether the file system is used though its mount is gone, and says by whom.
    private func goesOn(_ place: String, _ warn: (String) -> Void) -> Bool {
        guard let identity, MountUsers.isAlive(connection: identity.connection) != false,
            let reason = MountUsers.of(connection: identity.connection).reason
        else { return false }
        warn(
            "\(place) is unmounted; the server goes on, because \(reason): one more signal ends it "
                + "for all")
        return true
    }
}
