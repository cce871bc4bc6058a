// Taking a mount out of the tree, for the process that serves it and for any other.

import CMemory
internal import FuseTransport
import Glibc
import SystemPackage

/// Taking mounts out of the tree.
public enum Unmounting {
    /// Ends the Mayfly mount at `path` and waits until its server has let go of it.
    ///
    /// What `mayfly umount` does. Works on a mount whose server has died as well.
    ///
    /// - Parameters:
    ///   - path: the mount's directory.
    ///   - lazy: takes it out of the tree now and lets those who use it finish.
    ///   - force: aborts the connection, so that requests that hang fail.
    /// - Throws: `path` is no Mayfly mount; it is busy; the caller may not unmount.
    public static func unmountOwn(_ path: String, lazy: Bool, force: Bool) throws(MountError) {
        let table = MountTable.current()
        let place = table.place(of: path)
        guard let entry = place.flatMap(table.entry(at:)) else {
            if let elsewhere = try MountControl.elsewhere(path, ControlFolder.all()) {
                return try end(elsewhere.client, path, force: force)
            }
            let around = place.flatMap(table.entry(around:))
            if around?.isOwn != true, HostFile.canonical(path) == nil {
                throw MountError(.usage, "\(path) does not exist: name a mayfly mount's directory")
            }
            throw MountError(
                .usage,
                "\(path) is not a mountpoint: `findmnt -t fuse.mayfly` lists those there are"
            )
        }
        guard entry.isOwn else {
            throw MountError(
                .usage,
                "\(path) is not a mayfly mount but \(entry.type) from \(entry.source): "
                    + "use umount(8)")
        }
        let connection = entry.connection
        let server = connection.flatMap(MountHolders.server(ofConnection:))
        try unmount(entry.mountpoint, lazy: lazy, force: force)
        // A server that was killed has left its socket.
        defer { if let folder = try? ControlFolder.own() { folder.removeStale() } }
        guard !lazy, let connection, let server, server != getpid() else { return }
        let begin = cmem_monotonic_nanoseconds()
        let deadline = begin + releaseNanoseconds
        var isAsked = false
        while MountHolders.serves(server, connection: connection) {
            // Nobody here uses it any more, but a mount namespace that was made meanwhile has a
            // copy of the mount, and would keep it for as long as it lives.
            if !isAsked, cmem_monotonic_nanoseconds() > begin + patienceNanoseconds {
                isAsked = true
                kill(server, SIGTERM)
                kill(server, SIGCONT)  // one that is stopped would hear of it never
            }
            guard cmem_monotonic_nanoseconds() < deadline else {
                throw MountError(
                    .mount,
                    "\(path) is unmounted, but its server \(server) still holds its memory: "
                        + "end it with `kill \(server)`")
            }
            usleep(2000)
        }
    }

    /// Ends a mount that is in no tree here.
    private static func end(
        _ client: ControlClient, _ name: String, force: Bool
    ) throws(MountError) {
        guard force else {
            throw MountError(
                .usage,
                "\(name) is detached or in another mount namespace: "
                    + "`mayfly umount --force \(name)` ends it")
        }
        guard FuseSession.abort(connection: client.connection) else {
            throw MountError(
                .usage, "ending \(name), which is not mounted here, is not permitted: run as root")
        }
        let deadline = cmem_monotonic_nanoseconds() + releaseNanoseconds
        while client.folder.isServed(client.connection), cmem_monotonic_nanoseconds() < deadline {
            usleep(2000)
        }
        client.folder.removeStale()
    }

    /// umount2(2) with errors that say what to do.
    ///
    /// - Throws: `.busy` naming who keeps it so; `.usage` when not permitted or not mounted.
    static func unmount(_ mountpoint: String, lazy: Bool, force: Bool) throws(MountError) {
        guard var failure = attempt(mountpoint, lazy: lazy, force: force) else { return }
        // Those whose requests the first attempt made fail need a moment to let go.
        for _ in 0..<50 where force && failure == .resourceBusy {
            usleep(10_000)
            guard let next = attempt(mountpoint, lazy: lazy, force: force) else { return }
            failure = next
        }
        switch failure {
        case .resourceBusy:
            throw busy(mountpoint)
        case .notPermitted, .permissionDenied:
            throw MountError(
                .usage,
                "unmounting \(mountpoint) is not permitted: run as root, or in the namespace "
                    + "that mounted it")
        case .invalidArgument, .noSuchFileOrDirectory:
            throw MountError(.usage, "\(mountpoint) is not mounted: there is nothing to do")
        case let error:
            throw MountError(
                .mount, "unmounting \(mountpoint) failed (\(error)): try --force or --lazy")
        }
    }

    /// umount2(2) alone: nil when it is done.
    static func attempt(_ mountpoint: String, lazy: Bool, force: Bool) -> Errno? {
        var flags = Int32(UMOUNT_NOFOLLOW)
        if lazy { flags |= Int32(MNT_DETACH) }
        if force { flags |= Int32(MNT_FORCE) }
        return unsafe umount2(mountpoint, flags) == 0 ? nil : Errno(rawValue: errno)
    }

    /// How long a server may take to end by itself before it is asked to.
    private static let patienceNanoseconds: UInt64 = 1_000_000_000

    /// How long `unmountOwn` waits for the server: freeing memory takes 0.1 s per GiB at worst.
    private static let releaseNanoseconds: UInt64 = 60 * 1_000_000_000

    static func busy(_ mountpoint: String) -> MountError {
        let device = MountTable.current().entry(at: mountpoint)?.device
        let holders = MountHolders.of(mountpoint: mountpoint, device: device)
        if let who = MountHolders.described(holders) {
            return MountError(
                .busy, "\(mountpoint) is busy, kept so by \(who): end them, or use --lazy")
        }
        return MountError(
            .busy,
            "\(mountpoint) is busy, and nothing that can be seen from here keeps it so: look for "
                + "mounts below it or other users' processes as root, or use --lazy")
    }
}
