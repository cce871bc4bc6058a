// Taking out of the tree a mount that any process serves: `mayfly umount`.

import CMayflyMemory
internal import FuseTransport
import Glibc
package import Mayfly
package import MayflyHost
import SystemPackage

extension Unmounting {
    /// Unmounts the Mayfly mount at `path`, and waits until its server has freed everything if
    /// nothing else uses the file system.
    ///
    /// What `mayfly umount` does. Works on a mount whose server has died as well. Bind mounts of it,
    /// copies in other mount namespaces and open files go on, as after umount(8), and the server with
    /// them.
    ///
    /// - Parameters:
    ///   - path: the mount's directory.
    ///   - lazy: takes it out of the tree now and lets those who use it finish.
    ///   - force: aborts the connection, so that requests that hang fail.
    /// - Returns: one line that says why the server goes on; nil when it has ended, or with `lazy`.
    /// - Throws: `path` is no Mayfly mount; it is busy; the caller may not unmount.
    @discardableResult
    package static func unmountOwn(
        _ path: String, lazy: Bool, force: Bool
    ) throws(MountError) -> String? {
        try unmountOwn(PathBytes(path), lazy: lazy, force: force)
    }

    /// The same for a path that need not be UTF-8.
    package static func unmountOwn(
        _ path: PathBytes, lazy: Bool, force: Bool
    ) throws(MountError) -> String? {
        let table = MountTable.current()
        let given = table.place(of: path)
        let place = given.flatMap { linkTarget($0, table) } ?? given
        guard let entry = place.flatMap(table.entry(at:)) else {
            try endElsewhere(path, place, table, force: force)
            return nil
        }
        guard entry.isOwn, let identity = entry.identity else {
            throw MountError(
                .usage,
                "\(path) is not a mayfly mount but \(entry.type) from \(entry.source): "
                    + "use umount(8)")
        }
        let server = MountHolders.server(ofConnection: identity.connection)
        try unmount(identity, entry.mountpoint.text, lazy: lazy, force: force)
        // A server that was killed has left its socket.
        defer { if let folder = try? ControlFolder.own() { folder.removeStale() } }
        if lazy || server == getpid() { return nil }
        return try awaitEnd(of: identity.connection, path.text, server)
    }

    /// Where a symbolic link in a Mayfly mount leads, which `MountTable.place` does not look at; nil for
    /// a mountpoint, and where the mount's server does not answer.
    private static func linkTarget(_ place: PathBytes, _ table: MountTable) -> PathBytes? {
        guard table.entry(at: place) == nil, let around = table.entry(around: place), around.isOwn,
            let control = try? MountControl(around.mountpoint), (try? control.report()) != nil
        else { return nil }
        return HostFile.canonical(place)
    }

    /// Leaves the working directory, which may lie in the mount that is to go: this process is not to
    /// keep it busy.
    ///
    /// - Returns: the paths from the root on.
    package static func leaveWorkingDirectory(for paths: [PathBytes]) -> [PathBytes] {
        let here = HostFile.linkBytes(at: "/proc/self/cwd")
        let isLeft = unsafe chdir("/") == 0
        return paths.map { path in
            guard !path.isAbsolute, let here, isLeft else { return path }
            return Self.absolute(path, from: here)
        }
    }

    /// Where this process sees Mayfly mounts, the last that was made first.
    package static var ownMountpoints: [PathBytes] {
        _ = unsafe chdir("/")
        return MountTable.current().entries.filter(\.isOwn).map(\.mountpoint).reversed()
    }

    private static func absolute(_ path: PathBytes, from here: PathBytes) -> PathBytes {
        let absolute = here + "/" + path
        // A number is that of a server, where nothing is mounted on such a name here. The name is not
        // looked up, as that would wait for a server that hangs.
        let isServer = Int32(path.text) != nil && MountTable.current().entry(at: absolute) == nil
        return isServer ? path : absolute
    }

    /// Waits until the server of an unmounted mount has let go of it, or somebody is seen for whom it
    /// goes on.
    private static func awaitEnd(
        of connection: UInt32, _ path: String, _ server: Int32?
    ) throws(MountError) -> String? {
        let begin = cmem_monotonic_nanoseconds()
        let who = server.map { "its server \($0)" } ?? "its server"
        // A look at every process, so it is not taken often.
        var looks: [UInt64] = [50_000_000, 300_000_000, patienceNanoseconds]
        while true {
            let isAlive = MountUsers.isAlive(connection: connection)
            if let server {
                if !MountHolders.serves(server, connection: connection) { return nil }
            } else if isAlive != true {
                return nil
            }
            let waited = cmem_monotonic_nanoseconds() - begin
            if isAlive != false, let next = looks.first, waited > next {
                looks.removeFirst()
                if let reason = MountUsers.of(connection: connection).reason {
                    return "\(path) is unmounted; \(who) goes on, because \(reason)"
                }
                if looks.isEmpty, isAlive == true {
                    return "\(path) is unmounted; \(who) goes on, because something that cannot be "
                        + "seen from here uses the file system"
                }
            }
            // One that is stopped would hear of the end never.
            if let server, waited > patienceNanoseconds,
                let state = MountHolders.state(of: server), "Tt".contains(state)
            {
                kill(server, SIGCONT)
            }
            guard waited < releaseNanoseconds else {
                throw MountError(
                    .mount,
                    "\(path) is unmounted, but \(who) still holds its memory: "
                        + "end it with `kill \(server ?? 0)`")
            }
            usleep(2000)
        }
    }

    /// Ends a mount that is in no tree here, or says why it cannot be done.
    private static func endElsewhere(
        _ path: PathBytes, _ place: PathBytes?, _ table: MountTable, force: Bool
    ) throws(MountError) {
        guard let found = try MountControl.elsewhere(path, ControlFolder.all()) else {
            let around = place.flatMap(table.entry(around:))
            if around?.isOwn != true, HostFile.canonical(path) == nil {
                throw MountError(.usage, "\(path) does not exist: name a mayfly mount's directory")
            }
            throw MountError(
                .usage,
                "\(path) is not a mountpoint: `findmnt -t fuse.mayfly` lists those there are")
        }
        let client = found.client
        if let moved = table.entries.last(where: { $0.connection == client.connection && $0.isOwn })
        {
            throw MountError(
                .usage,
                "\(path) is mounted on \(moved.mountpoint) now: run `mayfly umount "
                    + "\(moved.mountpoint)`")
        }
        guard force else {
            throw MountError(
                .usage,
                "\(path) is detached or in another mount namespace: "
                    + "`mayfly umount --force \(path)` ends it")
        }
        guard FuseSession.abort(connection: client.connection) else {
            throw MountError(
                .usage, "ending \(path), which is not mounted here, is not permitted: run as root")
        }
        let deadline = cmem_monotonic_nanoseconds() + releaseNanoseconds
        while client.folder.isServed(client.connection), cmem_monotonic_nanoseconds() < deadline {
            usleep(2000)
        }
        if client.folder.isOwn { client.folder.removeStale() }
    }

    /// How long a server may take to end by itself before it is woken.
    private static let patienceNanoseconds: UInt64 = 1_000_000_000

    /// How long `unmountOwn` waits for the server: freeing memory takes 0.1 s per GiB at worst.
    private static let releaseNanoseconds: UInt64 = 60 * 1_000_000_000
}
