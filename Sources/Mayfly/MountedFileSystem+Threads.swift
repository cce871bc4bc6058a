// The threads that serve a mount: one for each ring queue, the readers of /dev/fuse, maintenance, and one for what
// waits for an image's content.

internal import FuseTransport
internal import InodeStore
internal import MayflyHost
internal import MayflyServing
internal import Synchronization
internal import SystemPackage

extension MountedFileSystem {
    struct Threads {
        var serving: [HostThread] = []
        var maintaining: HostThread?
        var late: HostThread?
    }

    func start(_ session: FuseSession, deviceReaders: Int) throws(Errno) {
        var started = Threads()
        defer { threads.withLock { $0 = started } }
        let nap = configuration.without.contains(.naps) ? 0 : DeviceQueue.usualNapMilliseconds
        let readers = DeviceReaders(count: deviceReaders)
        for reader in 0..<deviceReaders {
            let loop = loop(
                session, worker: session.queueCount + reader, readers: readers, reader: reader)
            started.serving.append(
                try HostThread.start(
                    cpu: nil, name: "mayfly-dev-\(reader)",
                    with: session.deviceQueue(napMilliseconds: nap)
                ) { loop.serve($0) })
        }
        for index in 0..<session.queueCount {
            let loop = loop(session, worker: index, readers: readers)
            started.serving.append(
                try HostThread.start(
                    cpu: index, name: "mayfly-ring-\(index)", with: session.queue(at: index)
                ) { loop.serve($0) })
        }
        if let late {
            started.late = try HostThread.start(name: "mayfly-late") { late.run() }
        }
        let maintenance = maintenance
        started.maintaining = try HostThread.start(name: "mayfly-maintain") {
            maintenance.run()
        }
    }

    private func loop(
        _ session: FuseSession, worker: Int, readers: DeviceReaders, reader: Int = 0
    ) -> RequestLoop {
        RequestLoop(
            operations: Operations(
                worker: store.worker(worker),
                policy: OperationPolicy(configuration),
                counters: counters[worker]),
            session: session, readers: readers, reader: reader, gate: gate,
            bell: maintenance.bell, hooks: hooks, late: late)
    }
}
