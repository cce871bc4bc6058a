// Mounting: device, rings, mount(2), INIT. Everything that can fail is tried before the mount is
// visible, and what has been done is undone in reverse order.

internal import CFuseDevice
internal import CFuseKernel
internal import CMayflySystem
internal import Glibc
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

extension FuseSession {
    /// Mounts and answers INIT. Afterwards the caller serves the queues.
    ///
    /// With FUSE_DEV_IOC_SYNC_INIT (Linux 6.18) mount(2) itself waits for INIT, so it runs on a
    /// thread of its own while this one answers, and an INIT that fails leaves no mount behind.
    ///
    /// - Throws: `SessionError` with what to do.
    /// - Concurrency: blocks until INIT is answered; no queue need be served for that.
    package static func mount(
        _ configuration: SessionConfiguration
    ) throws(SessionError) -> FuseSession {
        let mountpoint =
            configuration.replaced == nil
            ? try resolve(configuration.mountpointBytes) : configuration.mountpointBytes
        let target: MountTarget
        do throws(Errno) {
            target = try MountTarget(mountpoint)
        } catch {
            throw SessionError("mount point \(text(mountpoint))", code: error)
        }
        defer { target.close() }
        let plan = try RingPlan.make(
            queueCount: Machine.possibleCPUs().count, depth: configuration.queueDepth,
            payloadBytes: configuration.maxPayloadBytes,
            budgetBytes: configuration.memoryBudgetBytes, pageLimit: Machine.pageLimit(),
            pageBytes: Machine.pageBytes)
        var refusal = ringRefusal(configuration, queueCount: plan.queueCount)
        if let refusal, configuration.transport == .ring {
            throw SessionError("no ring: \(refusal)")
        }
        let core = try openCore(configuration, mountpoint: mountpoint, plan: plan)
        if refusal == nil {
            refusal = prepareRings(core, plan)
            if let refusal, configuration.transport == .ring {
                throw SessionError("no ring: \(refusal)")
            }
        }
        let handshake = try attach(
            core, configuration, target, plan: plan, ring: refusal == nil)
        if refusal == nil, !handshake.usesRing {
            core.dropRings()
            refusal = "the kernel did not offer it at INIT"
        }
        if refusal != nil {
            unsafe core.control.pointee.advance(to: .refused)
        }
        let identity = Self.identity(configuration, target, mountpoint, core.device)
        unsafe core.control.pointee.connection.store(
            identity?.connection ?? 0, ordering: .relaxed)
        unsafe core.control.pointee.mount.store(identity?.mountID ?? 0, ordering: .relaxed)
        let session = FuseSession(
            core: core, mountpoint: text(mountpoint), plan: plan, handshake: handshake,
            identity: identity, ringRefusal: refusal)
        if let refusal, configuration.transport == .ring {
            session.end()
            throw SessionError("no ring: \(refusal)")
        }
        return session
    }

    private static func identity(
        _ configuration: SessionConfiguration, _ target: MountTarget, _ mountpoint: [UInt8],
        _ device: Int32
    ) -> MountIdentity? {
        if configuration.replaced == nil { return target.mount(servedBy: device) }
        // What was open before is the dead mount's.
        guard let now = try? MountTarget(mountpoint) else { return nil }
        defer { now.close() }
        return now.mount(servedBy: device)
    }

    /// The mount point as an absolute path without symbolic links.
    private static func resolve(_ path: [UInt8]) throws(SessionError) -> [UInt8] {
        let given = (path + [0]).map { CChar(bitPattern: $0) }
        guard let resolved = unsafe realpath(given, nil) else {
            throw SessionError("mount point \(text(path))", code: Errno(rawValue: errno))
        }
        defer { unsafe free(resolved) }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: resolved, count: strlen(resolved)))
        let name = text(bytes)
        var status = stat()
        guard unsafe stat(resolved, &status) == 0 else {
            let code = Errno(rawValue: errno)
            if code == .socketNotConnected {
                throw SessionError(
                    "\(name) is a mount without a server: unmount it first (umount \(name))",
                    code: code)
            }
            throw SessionError("mount point \(name)", code: code)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw SessionError("mount point \(name) is not a directory")
        }
        return bytes
    }

    private static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }

    /// The queues that a session will have at most; 0 where the ring is not even tried.
    package static func mostQueues(_ configuration: SessionConfiguration) -> Int {
        let count = Machine.possibleCPUs().count
        return ringRefusal(configuration, queueCount: count) == nil ? count : 0
    }

    /// Why the ring is not even tried, nil where it is.
    static func ringRefusal(_ configuration: SessionConfiguration, queueCount: Int) -> String? {
        if configuration.transport == .device { return "not asked for" }
        if let most = configuration.mostQueues, queueCount > most {
            return "\(queueCount) processors need a queue each, and what is mounted has room for "
                + "\(max(0, most)): build the image anew on this machine"
        }
        switch Machine.ringEnabled() {
        case true?: return nil
        case false?:
            return "it is switched off; to enable it (as root):"
                + " echo 1 > /sys/module/fuse/parameters/enable_uring"
        case nil: return "this kernel has no FUSE over io_uring (Linux 6.14 and later, module fuse)"
        }
    }

    private static func openCore(
        _ configuration: SessionConfiguration, mountpoint: [UInt8], plan: RingPlan
    ) throws(SessionError) -> SessionCore {
        let device = unsafe open("/dev/fuse", O_RDWR | O_CLOEXEC)
        guard device >= 0 else {
            let code = Errno(rawValue: errno)
            switch code {
            case .noSuchFileOrDirectory, .operationNotSupportedByDevice:
                throw SessionError("no /dev/fuse: load the module (modprobe fuse)", code: code)
            case .permissionDenied, .notPermitted:
                throw SessionError(
                    "/dev/fuse may not be opened: run as root, or make it mode 0666", code: code)
            default: throw SessionError("/dev/fuse cannot be opened", code: code)
            }
        }
        do throws(Errno) {
            return try SessionCore(
                device: device, mountpoint: mountpoint, queueCount: plan.queueCount,
                trace: configuration.trace)
        } catch {
            throw SessionError("cannot set the session up", code: error)
        }
    }

    /// Makes every queue's ring and buffers; says why the ring cannot be had where one fails.
    private static func prepareRings(_ core: SessionCore, _ plan: RingPlan) -> String? {
        let nodes = Machine.nodes()
        for index in 0..<plan.queueCount {
            do throws(Errno) {
                core.add(
                    try RingParts(
                        qid: UInt16(index), depth: plan.queueDepth,
                        payloadBytes: plan.payloadBytes, node: nodes[index], device: core.device))
            } catch {
                core.dropRings()
                switch error {
                case .notPermitted, .noFunction:
                    return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, seccomp)"
                case .noMemory:
                    return
                        "no memory for \(ByteCountText.described(plan.ringMemoryBytes)) of rings, or too little "
                        + "may be locked: raise `ulimit -l`, or lower depth and payload"
                default: return "queue \(index): \(error)"
                }
            }
        }
        return nil
    }

    /// What the thread that mounts tells the one that answers INIT.
    private final class MountResult: Sendable {
        static let pending = Int32.min
        /// 0 or an errno; released by the mounting thread, acquired by the other.
        let code = Atomic<Int32>(MountResult.pending)
    }

    /// mount(2) and INIT.
    private static func attach(
        _ core: SessionCore, _ configuration: SessionConfiguration, _ target: MountTarget,
        plan: RingPlan, ring: Bool
    ) throws(SessionError) -> Handshake {
        let mountpoint = text(configuration.mountpointBytes)
        let place = target.link
        let options = mountOptions(core, configuration)
        let flags = mountFlags(configuration)
        let source = configuration.source.map { CChar(bitPattern: $0) } + [0]
        let fsType = configuration.fsType.map { CChar(bitPattern: $0) } + [0]
        let result = MountResult()
        let path = configuration.mountpointBytes.map { CChar(bitPattern: $0) } + [0]
        let replaced = configuration.replaced
        let work: @Sendable () -> Void = {
            if let replaced {
                result.code.store(
                    unsafe csys_replace_mount(
                        source, fsType, flags, options, path, replaced.connection,
                        replaced.mountID), ordering: .releasing)
                return
            }
            let code = unsafe Glibc.mount(source, place, fsType, flags, options)
            result.code.store(code == 0 ? 0 : errno, ordering: .releasing)
        }
        var thread: HostThread?
        if cfd_sync_init(core.device) == 0 {
            do throws(Errno) {
                thread = try HostThread.start(name: "mayfly-mount", work)
            } catch {
                throw SessionError("cannot start a thread to mount with", code: error)
            }
        } else {
            work()
        }
        defer { thread?.join() }
        try waitForConnection(core, result, mountpoint)
        let handshake: Handshake
        do throws(SessionError) {
            handshake = try answerInit(core, configuration, plan: plan, ring: ring)
        } catch {
            // A synchronous mount(2) fails with the INIT; one that was made is taken back.
            thread?.join()
            thread = nil
            if result.code.load(ordering: .acquiring) == 0 {
                _ = target.mount(servedBy: core.device)?.unmount(flags: Int32(MNT_DETACH))
            }
            throw error
        }
        thread?.join()
        thread = nil
        let code = result.code.load(ordering: .acquiring)
        if code != 0 { throw mountError(code, mountpoint) }
        return handshake
    }

    /// Waits until the device has a connection, or mount(2) has failed.
    ///
    /// read(2) and poll(2) of a device that asked for a synchronous INIT block until there is a
    /// mount, for ever if mount(2) fails; write(2) never does. It answers EPERM before there is a
    /// connection and EINVAL (a message too short) after (fs/fuse/dev.c, `fuse_dev_write()`).
    private static func waitForConnection(
        _ core: SessionCore, _ result: MountResult, _ mountpoint: String
    ) throws(SessionError) {
        while true {
            let code = result.code.load(ordering: .acquiring)
            if code == 0 { return }
            if code != MountResult.pending { throw mountError(code, mountpoint) }
            var probe: UInt8 = 0
            if unsafe cfd_write(core.device, &probe, 1) != -Int(EPERM) { return }
            usleep(50)
        }
    }

    /// Reads INIT and answers it.
    private static func answerInit(
        _ core: SessionCore, _ configuration: SessionConfiguration, plan: RingPlan, ring: Bool
    ) throws(SessionError) -> Handshake {
        // Before INIT the kernel asks for room for the smallest request only.
        let bytes = Int(CFK_MIN_READ_BUFFER) + 4096
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var count = 0
        repeat {
            count = unsafe cfd_read(core.device, buffer, bytes)
        } while count == -Int(EINTR) || count == -Int(EAGAIN)
        let headerBytes = MemoryLayout<cfk_in_header>.size
        guard count >= 0 else {
            throw SessionError("INIT cannot be read", code: Errno(rawValue: Int32(-count)))
        }
        guard count >= headerBytes + MemoryLayout<cfk_init_in>.size else {
            throw SessionError("the kernel's INIT is too short (\(count) bytes)")
        }
        let header = unsafe buffer.load(as: cfk_in_header.self)
        guard header.opcode == UInt32(CFK_INIT) else {
            throw SessionError("the kernel's first request is not INIT but \(header.opcode)")
        }
        if configuration.trace {
            cfd_trace_request(
                1, header.opcode, header.unique, header.nodeid, UInt64(count - headerBytes),
                header.pid)
        }
        let request = unsafe buffer.load(fromByteOffset: headerBytes, as: cfk_init_in.self)
        do throws(SessionError) {
            let handshake = try Handshake(
                request: request, configuration: configuration, payloadBytes: plan.payloadBytes,
                ring: ring, pageBytes: Machine.pageBytes)
            try unsafe reply(
                core, buffer, unique: header.unique, body: handshake.reply,
                trace: configuration.trace)
            return handshake
        } catch {
            try? unsafe reply(core, buffer, unique: header.unique, error: EPROTO)
            throw error
        }
    }

    private static func reply(
        _ core: SessionCore, _ buffer: UnsafeMutableRawPointer, unique: UInt64,
        body: cfk_init_out? = nil, error: Int32 = 0, trace: Bool = false
    ) throws(SessionError) {
        let headerBytes = MemoryLayout<cfk_out_header>.size
        let bodyBytes = body == nil ? 0 : MemoryLayout<cfk_init_out>.size
        let header = cfk_out_header(
            len: UInt32(headerBytes + bodyBytes), error: -error, unique: unique)
        unsafe buffer.storeBytes(of: header, as: cfk_out_header.self)
        if let body {
            unsafe buffer.storeBytes(of: body, toByteOffset: headerBytes, as: cfk_init_out.self)
        }
        let count = unsafe cfd_write(core.device, buffer, headerBytes + bodyBytes)
        if count < 0 {
            throw SessionError("INIT cannot be answered", code: Errno(rawValue: Int32(-count)))
        }
        if trace { cfd_trace_reply(unique, Int64(bodyBytes)) }
    }

    private static func mountOptions(
        _ core: SessionCore, _ configuration: SessionConfiguration
    ) -> String {
        var options = "fd=\(core.device),rootmode=\(String(configuration.rootMode, radix: 8))"
        options += ",user_id=\(configuration.userID ?? geteuid())"
        options += ",group_id=\(configuration.groupID ?? getegid())"
        if configuration.allowOther { options += ",allow_other" }
        if configuration.defaultPermissions { options += ",default_permissions" }
        return options
    }

    private static func mountFlags(_ configuration: SessionConfiguration) -> UInt {
        var flags = 0
        if configuration.readOnly { flags |= Int(MS_RDONLY) }
        if configuration.noSuid { flags |= Int(MS_NOSUID) }
        if configuration.noDev { flags |= Int(MS_NODEV) }
        if configuration.noExec { flags |= Int(MS_NOEXEC) }
        if configuration.noSymlinks { flags |= 256 }  // MS_NOSYMFOLLOW, which glibc may not have
        if configuration.noDirectoryAccessTime { flags |= Int(MS_NODIRATIME) }
        switch configuration.accessTime {
        case .relative: break
        case .never: flags |= Int(MS_NOATIME)
        case .strict: flags |= Int(MS_STRICTATIME)
        }
        return UInt(flags)
    }

    private static func mountError(_ code: Int32, _ mountpoint: String) -> SessionError {
        let error = Errno(rawValue: code)
        switch error {
        case .notPermitted, .permissionDenied:
            return SessionError(
                "mounting is not permitted: run as root, or in a namespace of your own"
                    + " (unshare --user --map-root-user --mount)", code: error)
        case .operationNotSupportedByDevice:
            return SessionError(
                "the kernel has no FUSE: load the module (modprobe fuse)", code: error)
        case .resourceBusy:
            return SessionError("\(mountpoint) is busy", code: error)
        case .invalidArgument:
            return SessionError("the kernel did not take the mount options", code: error)
        default: return SessionError("cannot mount on \(mountpoint)", code: error)
        }
    }
}
