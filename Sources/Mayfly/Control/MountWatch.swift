// MountWatch: the events of many mounts as one stream.

internal import Glibc
public import MayflyHost
internal import Synchronization

/// Events of mounts, of some or of all that there are.
public final class MountWatch: Sendable {
    private let named: [PathBytes]
    private let tell: @Sendable (MountEvent) -> Void
    private let complain: @Sendable (String) -> Void
    /// Connections that are listened to, or that cannot be.
    private let known = Mutex<Set<UInt32>>([])

    /// - Parameters:
    ///   - directories: in mounts; none for all mounts, and those that come.
    ///   - tell: gets the events, on a thread for each mount.
    ///   - complain: gets a line about a mount that cannot be listened to, where all are.
    public init(
        _ directories: [PathBytes], tell: @escaping @Sendable (MountEvent) -> Void,
        complain: @escaping @Sendable (String) -> Void
    ) {
        named = directories
        self.tell = tell
        self.complain = complain
    }

    /// Returns when the mounts that were named have ended.
    ///
    /// - Throws: for a directory in no mount, and for a server that cannot be asked, or that breaks off.
    public func run() throws(MountError) {
        if named.isEmpty { followAll() }
        var threads: [HostThread] = []
        let failure = SharedFailure()
        for directory in named {
            let control = try MountControl(directory)
            guard known.withLock({ $0.insert(control.connection).inserted }) else { continue }
            threads.append(
                try start { [tell] in
                    do throws(MountError) { try control.events(tell) } catch { failure.note(error) }
                })
        }
        for thread in threads { thread.join() }
        try failure.check()
    }

    /// Looks for new mounts every second, for ever.
    private func followAll() -> Never {
        while true {
            for mount in MountList.current() where mount.state == .serving && mount.report != nil {
                guard known.withLock({ $0.insert(mount.connection).inserted }) else { continue }
                follow(mount)
            }
            sleep(1)
        }
    }

    private func follow(_ mount: ListedMount) {
        let thread = try? start { [self] in
            do throws(MountError) {
                try MountControl(PathBytes(mount.mountpoint)).events(tell)
                // Its number may be another mount's by now.
                _ = known.withLock { $0.remove(mount.connection) }
            } catch { complain(error.message) }
        }
        thread?.detach()
    }

    private func start(_ body: @escaping @Sendable () -> Void) throws(MountError) -> HostThread {
        guard let thread = try? HostThread.start(name: "mayfly-watch", body) else {
            throw MountError(
                .system, code: .noThreads, "no thread can be started: raise `ulimit -u`")
        }
        return thread
    }
}

/// The first error of several threads.
private final class SharedFailure: Sendable {
    private let error = Mutex<MountError?>(nil)

    func note(_ failure: MountError) { error.withLock { $0 = $0 ?? failure } }

    func check() throws(MountError) { if let failure = error.withLock({ $0 }) { throw failure } }
}
