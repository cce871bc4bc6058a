// A file system in memory, mounted: store, session and the threads between them.

internal import CFuseKernel
internal import CMayflyMemory
internal import CMayflySystem
internal import FuseTransport
internal import Glibc
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
    private let session: Mutex<FuseSession?>
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
    private let store: InodeStore
    private let maintenance: Maintenance
    let counters: [RequestCounters]
    private let gate: YieldGate
    /// Of a mount of an image that is not all here yet.
    private let late: LateRequests?
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
    private let threads: Mutex<Threads>
    private let final: Mutex<MountStatistics?>
    /// Whether everything is freed; held while that is done.
    private let ending = Mutex(false)
    private let startNanoseconds = cmem_monotonic_nanoseconds()

    package typealias ForkHost = @Sendable (MountedFileSystem) throws(MountError) -> Void

    private struct Threads {
        var serving: [HostThread] = []
        var maintaining: HostThread?
        var late: HostThread?
    }

    /// Mounts; requests are answered when this returns.
    ///
    /// - Throws: `MountError`, with one line that says what was wrong and what to do.
    public convenience init(_ configuration: MountConfiguration) throws(MountError) {
        try self.init(configuration, beforeServing: {})
        askForNoFlush()
    }

    /// Has the kernel send its first FLUSH, after which it sends none. Where no file can be made, a file
    /// that is there is opened; where there is none either, nothing is ever closed.
    ///
    /// A process that serves its own mount and dies closes its files one by one on a thread that may
    /// be a queue's, and would wait for itself for ever where that sends a request (fs/fuse/file.c,
    /// `fuse_flush()` under `do_exit()`).
    func askForNoFlush() {
        let made = unsafe PathBytes(summary.mountpoint).withCString {
            unsafe open($0, O_RDWR | O_CLOEXEC | CSYS_O_TMPFILE, mode_t(0o600))
        }
        if made >= 0 {
            close(made)
            return
        }
        // The caller may not be allowed to open the first that there is.
        for path in whileMounted({ $0.observer.someFiles(limit: 16) }) ?? [] {
            let place = PathBytes("\(summary.mountpoint)/").bytes + path
            let file = unsafe PathBytes(bytes: place).withCString {
                unsafe open($0, O_RDONLY | O_CLOEXEC)
            }
            if file >= 0 {
                close(file)
                return
            }
        }
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
        let limits = configuration.limits(in: memory)
        try Self.checkMemory()
        // Before the mount is made, so that what cannot be had leaves no mount behind.
        var sessionConfiguration = configuration.session(in: memory)
        // Beside the queues: a reader of /dev/fuse, who looks from outside, and who builds trees.
        let arrival = origin.base?.mapping.pages?.arrival
        // And who answers late what came over /dev/fuse.
        let extra = arrival == nil ? 0 : 1
        sessionConfiguration.mostQueues = origin.shardCount - 3 - extra
        if arrival != nil {
            // Many shorter entries of the same memory: each request that waits for content keeps one.
            sessionConfiguration.queueDepth = configuration.queueDepth ?? 64
            sessionConfiguration.maxPayloadBytes = configuration.maxPayloadBytes ?? 128 << 10
        }
        if configuration.isRecovery, let file = configuration.survivingMemory {
            sessionConfiguration.replaced = try? SurvivingHeader(reading: file).mount
        }
        let readers = min(max(2, Self.onlineProcessors), max(1, origin.shardCount - 2 - extra))
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
        summary = Self.summary(
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

    /// - Throws: `.system` when there is not even memory for an empty mount: a chunk of each kind.
    private static func checkMemory() throws(MountError) {
        let least: UInt64 = 8 << 20
        do throws(Errno) { try MemoryClaim(bytes: least).end() } catch {
            throw MountError.shortage(
                "a mount", least, "unmount others, free some, or raise the memory limit")
        }
    }

    /// The store that the mount begins with.
    private static func store(
        _ configuration: MountConfiguration, _ origin: TreeOrigin,
        limits: (sizeBytes: UInt64, inodes: UInt64), memory: SystemMemory, workerCount: Int
    ) throws(MountError) -> InodeStore {
        let pages = max(1, limits.sizeBytes / SizeText.pageBytes)
        let inodes = max(1, limits.inodes)
        guard InodeStore.accepts(pageLimit: pages, inodeLimit: 1) else {
            throw MountError(
                .usage, code: .badSize,
                "a size of \(SizeText.described(bytes: limits.sizeBytes)) is more than a mount can "
                    + "have: give a \(setting: .size) below 64t")
        }
        guard InodeStore.accepts(pageLimit: 1, inodeLimit: inodes) else {
            throw MountError(
                .usage, code: .badSize,
                "\(inodes) inodes are more than a mount can have: give \(setting: .inodes) below 4g"
            )
        }
        let growth = (memory.usableBytes / SizeText.pageBytes, memory.defaultInodes)
        let options = configuration.storeOptions
        if case .image(let file) = origin { try configuration.checkRoom(for: file) }
        do throws(ImageError) {
            switch origin {
            case .image(let file):
                return try InodeStore(
                    image: file.base, header: file.header, pageLimit: pages, inodeLimit: inodes,
                    workerCount: workerCount, growth: growth, options: options)
            case .snapshot(let snapshot):
                return try ImageError.wrapping { () throws(Errno) in
                    try InodeStore(
                        snapshot: snapshot, pageLimit: pages, inodeLimit: inodes,
                        workerCount: workerCount, growth: growth, options: options)
                }
            case .empty where configuration.isRecovery:
                return try recovered(configuration, workerCount: workerCount, options: options)
            case .empty:
                return try ImageError.wrapping { () throws(Errno) in
                    try InodeStore(
                        pageLimit: pages, inodeLimit: inodes, workerCount: workerCount,
                        growth: growth, shardCount: Geometry.shardCount(workers: workerCount),
                        mode: configuration.mode,
                        owner: Caller(
                            userID: configuration.userID, groupID: configuration.groupID),
                        options: options,
                        backing: configuration.backing)
                }
            }
        } catch {
            if case .image(let file) = origin, error != .system(.noMemory) {
                throw MountError(.usage, code: .damagedImage, error.described(file.path))
            }
            if case .snapshot(let snapshot) = origin, error == .system(.noMemory) {
                throw shortage("a fork", snapshot.privateBytes)
            }
            let reason = if case .system(let errno) = error { "\(errno)" } else { "\(error)" }
            throw MountError(
                .system, code: .noMemory,
                "no memory for a file system of \(SizeText.described(bytes: limits.sizeBytes)) "
                    + "(\(reason)): give a smaller \(setting: .size) or \(setting: .inodes)")
        }
    }

    /// What a server has left that died.
    private static func recovered(
        _ configuration: MountConfiguration, workerCount: Int, options: StoreOptions
    ) throws(ImageError) -> InodeStore {
        let (store, report) = try ImageError.wrapping { () throws(Errno) in
            guard let memory = configuration.survivingMemory else { throw .badFileDescriptor }
            return try InodeStore.recover(
                from: memory, workerCount: workerCount, options: options)
        }
        guard report.problems.isEmpty else {
            for problem in report.problems.prefix(10) { unsafe csys_log(problem) }
            store.unmap()
            throw .damagedHeader
        }
        return store
    }

    private func start(_ session: FuseSession, deviceReaders: Int) throws(Errno) {
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

    /// What the mount holds and has done; the last state once it is unmounted.
    public func statistics() -> MountStatistics {
        final.withLock { final in
            if let final { return final }
            let now = store.worker(0).statistics
            let peak = maintenance.peak
            return MountStatistics(
                usedBytes: (now.pages - now.pagesFree) * SizeText.pageBytes,
                peakBytes: peak.pages * SizeText.pageBytes,
                usedInodes: now.inodes - now.inodesFree, peakInodes: peak.inodes,
                requests: counters.reduce(0) { $0 + $1.total })
        }
    }

    /// Requests answered so far, by opcode (the kernel's numbers).
    package func requestCounts() -> [UInt64] {
        final.withLock { final in
            if final != nil { return [] }
            return (0..<RequestCounters.count).map { opcode in
                counters.reduce(0) { $0 + $1[opcode] }
            }
        }
    }

    /// Requests for extended attributes, which `MountConfiguration.Profile.build` has none of. What it spares of
    /// checks of permissions cannot be counted.
    package var attributeRequests: UInt64 {
        let counts = requestCounts()
        return [Opcode.getxattr, .listxattr].reduce(0) { sum, opcode in
            let index = Int(opcode.rawValue)
            return sum + (counts.indices.contains(index) ? counts[index] : 0)
        }
    }

    /// Content that requests have carried, and what was moved for it: each byte of `read` and
    /// `written` is copied once, or for a hole zeroed, and what is more was copied inside.
    package func traffic() -> ContentTraffic {
        final.withLock { final in
            if final != nil { return ContentTraffic() }
            let (copied, zeroed) = store.traffic
            let bytes = counters.map(\.transferred)
            return ContentTraffic(
                read: bytes.reduce(0) { $0 + $1.read },
                written: bytes.reduce(0) { $0 + $1.written }, copied: copied, zeroed: zeroed)
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

    private static var onlineProcessors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    private static func summary(
        _ configuration: MountConfiguration, _ session: FuseSession,
        limits: (sizeBytes: UInt64, inodes: UInt64), storeBytes: UInt64
    ) -> MountSummary {
        let isRing = session.transportInUse == .ring
        var absence: MountSummary.RingAbsence?
        if !isRing {
            if configuration.transport == .device {
                absence = .notAsked
            } else {
                absence =
                    MountSummary.RingAbsence.fromSwitch()
                    ?? .failed(session.ringRefusal ?? "the kernel refused it")
            }
        }
        let readers = UInt64(max(2, onlineProcessors))
        let buffers =
            isRing ? session.ringMemoryBytes : readers * 2 * UInt64(session.payloadBytes + 8192)
        return MountSummary(
            mountpoint: configuration.mountpoint, transport: isRing ? .ring : .device,
            ringAbsence: absence, queueCount: session.queueCount,
            queueDepth: session.queueDepth, payloadBytes: session.payloadBytes,
            ringMemoryBytes: buffers, sizeBytes: limits.sizeBytes, inodes: limits.inodes,
            maximumMemoryBytes: storeBytes + buffers)
    }
}

extension MountConfiguration {
    /// Where the memory of an empty tree comes from.
    fileprivate var backing: Backing {
        if let survivingMemory { return .surviving(descriptor: survivingMemory) }
        return without.contains(.hugepages) ? .scattered : .anonymous
    }

    /// The store's part of the configuration.
    ///
    /// The kernel leaves access times to a FUSE server, whatever the mount's own flags say
    /// (fs/fuse/inode.c, `fuse_init_inode()`: S_NOATIME).
    fileprivate var storeOptions: StoreOptions {
        var options = StoreOptions()
        switch accessTime {
        case .relative: options.accessTimes = .relative
        case .never: options.accessTimes = .never
        case .strict: options.accessTimes = .strict
        }
        if readOnly { options.accessTimes = .never }
        options.directoryAccessTimes = noDirectoryAccessTime ? .never : options.accessTimes
        options.checksOpen = checksOpen
        return options
    }

    /// The transport's part of the configuration.
    fileprivate func session(in memory: SystemMemory) -> SessionConfiguration {
        var session = SessionConfiguration(mountpointBytes: mountPath.bytes)
        session.source = PathBytes(source).bytes
        session.fsType = PathBytes(fsType).bytes
        session.readOnly = readOnly
        session.noSuid = !allowSetuid
        session.noDev = !allowDevices
        session.noExec = !allowExecution
        session.noSymlinks = !followSymlinks
        session.noDirectoryAccessTime = noDirectoryAccessTime
        session.accessTime =
            switch accessTime {
            case .relative: .relative
            case .never: .never
            case .strict: .strict
            }
        session.allowOther = allowOther
        session.rootMode = 0o040000 | mode & 0o7777
        session.userID = geteuid()
        session.groupID = getegid()
        session.queueDepth = queueDepth
        session.maxPayloadBytes = maxPayloadBytes
        session.memoryBudgetBytes = RingPlan.budgetBytes(usable: memory.usableBytes)
        session.transport =
            switch transport {
            case .automatic: .automatic
            case .ring: .ring
            case .device: .device
            }
        session.trace = debugFuse
        session.wantedInitFlags = OperationPolicy.initFlags
        if answersAll { session.wantedInitFlags |= OperationPolicy.faultInitFlags }
        if directInOrder { session.wantedInitFlags &= ~CFK_INIT_ASYNC_DIO }
        if writesBack { session.wantedInitFlags |= CFK_INIT_WRITEBACK_CACHE }
        // Without it a file that passes by the pages could not be mapped.
        if directInParallel { session.wantedInitFlags |= CFK_INIT_DIRECT_IO_ALLOW_MMAP }
        session.defaultPermissions = checksPermissions
        if withoutXattrs { session.wantedInitFlags &= ~CFK_INIT_POSIX_ACL }
        if !session.defaultPermissions {
            // With ACLs the kernel checks permissions in any case, and it refuses idmapped mounts
            // where it does not: fs/fuse/inode.c, `process_init_reply()`.
            session.wantedInitFlags &= ~(CFK_INIT_POSIX_ACL | CFK_INIT_ALLOW_IDMAP)
        }
        for (shortcut, flag) in OperationPolicy.shortcutFlags where without.contains(shortcut) {
            session.wantedInitFlags &= ~flag
        }
        return session
    }
}
