// A file system in memory, mounted: store, session and the threads between them.

internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import MayflyArena
package import MayflyHost
internal import MayflyImages
internal import MayflyServing
internal import Synchronization
internal import SystemPackage

/// A file system in memory, mounted and answering while this object lives.
///
/// `init` mounts. ``unmount(_:)``, umount(8), or dropping the last reference ends the mount.
/// ``waitUntilUnmounted()`` returns when the kernel has let go and everything is freed.
public final class MountedFileSystem: Sendable {
    /// What the mount turned out to be.
    public let summary: MountSummary
    /// What it was mounted with; its mountpoint is absolute.
    public let configuration: MountConfiguration
    /// Moments that it can go back to. Taken after `final`, never before.
    let shelf: Mutex<SnapshotShelf>
    /// The image that it began with, if it did.
    let image: SnapshotBase?

    /// Who serves forks that are asked for over the control socket.
    private let forkHost = Mutex<ForkHost?>(nil)

    /// The connection, nil once it has ended: whoever still holds this object holds no descriptor.
    let session: Mutex<FuseSession?>
    /// Which mount was made; nil where it could not be found again.
    package let identity: MountIdentity?
    /// The number of the FUSE connection; nil where it is not known.
    package var connection: UInt32? { identity?.connection }
    /// Where the mount is now; where it was made when it is in no tree that this process sees.
    package var place: String {
        let entry = MountTable.current().entries.last { $0.identity == identity }
        return entry?.mountpoint.text ?? summary.mountpoint
    }
    /// Whether the mount is in the tree, wherever it is by now.
    package var isInTree: Bool { identity?.place != nil }
    let store: InodeStore
    let maintenance: Maintenance
    let counters: [RequestCounters]
    let gate: YieldGate
    /// Of a mount of an image that is not all here yet.
    let late: LateRequests?
    let hooks: RequestHooks
    /// Fault rules as they were added, by number.
    let faultRules = Mutex<[Int: FaultRule]>([:])
    /// What happens to the mount, for those who listen.
    let events = EventLog()
    /// Who holds the memory of a mount that survives.
    let guardian = GuardianWatch()
    /// Who works on whole trees, and the worker that they share.
    let treeWork = TreeWork()
    let treeTurn: TreeTurn
    let threads: Mutex<Threads>
    let final: Mutex<MountStatistics?>
    /// Whether everything is freed; held while that is done.
    private let ending = Mutex(false)
    private let startNanoseconds = cmem_monotonic_nanoseconds()

    package typealias ForkHost = @Sendable (MountedFileSystem) throws(MountError) -> Void

    /// Mounts; requests are answered when this returns.
    ///
    /// - Throws: `MountError`, with one line that says what was wrong and what to do.
    public convenience init(_ configuration: MountConfiguration) throws(MountError) {
        try self.init(configuration, beforeServing: {})
        askForNoFlush()
    }

    /// Mounts as the other does.
    ///
    /// - Parameter beforeServing: called when the mount is made and no thread serves it yet, so
    ///   that what it changes of its thread is so in all that follow. Must not touch the mount.
    package convenience init(
        _ configuration: MountConfiguration, beforeServing: () throws(MountError) -> Void
    ) throws(MountError) {
        var origin = TreeOrigin.empty
        if let arriving = configuration.arriving {
            MemoryHeadroom.watch()
            let file = try ImageFile(arriving, path: PathBytes(configuration.from ?? ""))
            origin = .image(try file.guarded(isOnlyRead: false))
        } else if let path = configuration.from {
            MemoryHeadroom.watch()
            let file = try ImageFile(from: PathBytes(path), within: configuration.unpackingLimits)
            origin = .image(try file.guarded(isOnlyRead: false))
        }
        try self.init(configuration, origin: origin, beforeServing: beforeServing)
    }

    init(
        _ configuration: MountConfiguration, origin: TreeOrigin,
        beforeServing: () throws(MountError) -> Void
    ) throws(MountError) {
        var configuration = configuration
        try configuration.check()
        guard !configuration.survives || configuration.survivingMemory != nil else {
            throw MountError(
                .usage, code: .unsupported,
                "a mount that survives is made by `mayfly mount --survive` alone")
        }
        MemoryHeadroom.watch()
        let memory = SystemMemory.current()
        let limits = configuration.limits(in: memory, isEmpty: origin.base == nil)
        try Self.checkMemory()
        // Before the mount is made, so that what cannot be had leaves no mount behind.
        var sessionConfiguration = configuration.session(in: memory)
        // Beside the queues: a reader of /dev/fuse, who looks from outside, and who builds trees.
        let arrival = origin.base?.mapping.pages?.arrival
        // And who answers late what came over /dev/fuse.
        let extra = arrival == nil ? 0 : 1
        sessionConfiguration.mostQueues = origin.shardCount - 3 - extra
        let ample = UInt64(FuseSession.mostQueues(sessionConfiguration)) * 10 << 20
        if arrival != nil, ample <= sessionConfiguration.memoryBudgetBytes {
            // Many shorter entries of the same memory: each request that waits for content keeps one.
            sessionConfiguration.queueDepth = configuration.queueDepth ?? 64
            sessionConfiguration.maxPayloadBytes = configuration.maxPayloadBytes ?? 128 << 10
        }
        if configuration.isRecovery, let file = configuration.survivingMemory {
            sessionConfiguration.replaced = try? SurvivingHeader(reading: file).mount
        }
        let readers = min(max(2, Processors.online), max(1, origin.shardCount - 2 - extra))
        let queues = FuseSession.mostQueues(sessionConfiguration)
        // Two more than serve: for who looks at the tree from outside of it, and who builds trees.
        let workerCount = max(queues + 1, queues == 0 ? readers : 0) + 2 + extra
        let pageBytes = SizeText.pageBytes
        let store = try Self.store(
            configuration, origin, limits: limits, memory: memory, workerCount: workerCount)
        if case .image(let file) = origin {
            do throws(MountError) {
                try file.checkForServing(store)
            } catch {
                store.unmap()
                throw error
            }
        }
        let session: FuseSession
        do throws(SessionError) {
            session = try FuseSession.mount(sessionConfiguration)
        } catch {
            store.unmap()
            throw MountError.session(error, configuration.mountpoint)
        }
        // Where the kernel refuses the ring after all, these are no more than the queues and one.
        let deviceReaders = session.queueCount > 0 ? 1 : readers
        let servingCount = session.queueCount + deviceReaders + extra
        let counters: [RequestCounters]
        do throws(Errno) {
            counters = try RequestCounters.make(count: servingCount)
        } catch {
            session.end()
            store.unmap()
            throw MountError(
                .system, code: .noMemory,
                "no memory for the counters of requests (\(error)): free some")
        }
        // What an image holds may be more than the default.
        let most = store.limits
        let sizeBytes = most.pages * pageBytes
        var shelf = SnapshotShelf()
        shelf.base = origin.base
        image = origin.base.flatMap { $0.name.isEmpty ? nil : $0 }
        if let start = origin.start(of: store) { _ = shelf.add(SnapshotShelf.start, start) }
        self.shelf = Mutex(shelf)
        self.configuration = configuration
        self.session = Mutex(session)
        identity = session.identity
        if let identity {
            store.arena.noteMount(
                connection: identity.connection, mountID: identity.mountID,
                path: configuration.mountPath.bytes)
        }
        self.store = store
        self.counters = counters
        treeTurn = TreeTurn(store.worker(counters.count + 1))
        gate = YieldGate()
        hooks = RequestHooks(
            answersAll: configuration.answersAll, isDurable: configuration.durability == .fsync)
        // A fork has the same image, and the log need not be told twice.
        let isFirst = if case .image = origin { true } else { false }
        late = arrival.map { arrival in
            LateRequests(
                operations: Operations(
                    worker: store.worker(servingCount - 1),
                    policy: OperationPolicy(configuration), counters: counters[servingCount - 1]),
                arrival: arrival, imageName: origin.base?.name ?? "",
                tells: isFirst)
        }
        maintenance = Maintenance(
            store: store, imageName: image?.name ?? "", counters: counters, gate: gate,
            sight: ServingSight(
                counters: Array(counters.prefix(session.queueCount)),
                connection: session.connection))
        final = Mutex(nil)
        threads = Mutex(Threads())
        summary = MountSummary(
            configuration, session, limits: (sizeBytes, most.inodes),
            storeBytes: store.maximumBytes)
        do {
            try beforeServing()
        } catch {
            session.end()
            waitUntilUnmounted()
            throw error
        }
        // Not before: what is allowed depends on what the process has given up.
        if !configuration.without.contains(.yielding) { gate.openWhereAllowed() }
        do throws(Errno) {
            try start(session, deviceReaders: deviceReaders)
        } catch {
            session.end()
            waitUntilUnmounted()
            throw MountError(
                .system, code: .noThreads, "no thread can be started (\(error)): raise `ulimit -u`")
        }
    }

    package func setForkHost(_ host: @escaping ForkHost) { forkHost.withLock { $0 = host } }

    /// Forks the mount, and has the process that serves it serve the fork as well.
    ///
    /// - Throws: as `fork(at:)`; `.usage` where nobody serves forks.
    func forkServed(at mountpoint: PathBytes) throws(MountError) -> MountedFileSystem {
        guard let host = forkHost.withLock({ $0 }) else {
            throw MountError(.usage, "the program that serves this mount serves no forks of it")
        }
        let fork = try makeFork(at: mountpoint)
        try host(fork)
        return fork
    }

    /// Takes the mount out of the tree.
    ///
    /// - Throws: `.busy` with `.normal` where the mount is in use; its text names who uses it.
    public func unmount(_ mode: UnmountMode = .normal) throws(MountError) {
        try Unmounting.unmount(identity, place, lazy: mode != .normal, force: mode == .force)
    }

    /// Ends the mount, if that has not been done: files that are open fail from now on.
    deinit {
        if ending.withLock({ $0 }) { return }
        try? unmount(.force)
        _ = abort()
        waitUntilUnmounted()
    }

    /// Ends the connection whatever it is doing: open requests and files fail from now on.
    ///
    /// - Returns: false when only the end of this process will do it.
    package func abort() -> Bool { session.withLock { $0 }?.end() ?? true }

    /// Waits until the mount is gone and everything is freed, whoever ended the mount.
    ///
    /// - Concurrency: any number of threads, but none that serves the mount.
    public func waitUntilUnmounted() {
        // Who comes second waits for the lock, and so for the first.
        ending.withLock { isOver in
            if isOver { return }
            isOver = true
            endServing()
        }
    }

    private func endServing() {
        let taken = threads.withLock { threads in
            defer { threads = Threads() }
            return threads
        }
        for thread in taken.serving { thread.join() }
        late?.end()
        taken.late?.join()
        store.arena.noteEnd()
        treeWork.finish()
        maintenance.end()
        taken.maintaining?.join()
        let last = statistics()
        if let counts = look() { events.note(stateEvent(.ended), last: counts) }
        final.withLock { final in
            guard final == nil else { return }
            final = last
            session.withLock { $0 = nil }
            store.unmap()
            for counter in counters { counter.deallocate() }
            gate.deallocate()
            maintenance.bell.deallocate()
            hooks.isOn.deallocate()
        }
    }

    /// What the control plane looks at.
    struct Parts {
        let store: InodeStore
        let session: FuseSession
        let maintenance: Maintenance
        /// Of the ring queues in their order, then of the readers of /dev/fuse.
        let counters: [RequestCounters]
        /// A worker that serves nobody; for one thread at a time.
        var observer: StoreWorker { store.worker(counters.count) }
    }

    var uptimeNanoseconds: UInt64 { cmem_monotonic_nanoseconds() - startNanoseconds }

    /// Calls `body` with the parts, which stay until it returns; nil when they are gone.
    ///
    /// - Concurrency: one caller at a time, and none of them a request.
    func whileMounted<Result: Sendable>(_ body: (Parts) -> Result) -> Result? {
        final.withLock { final in
            guard final == nil, let session = session.withLock({ $0 }) else { return nil }
            return body(
                Parts(
                    store: store, session: session, maintenance: maintenance, counters: counters))
        }
    }
}
