// A mount's configuration, in the terms of the store and of the transport.

internal import CFuseKernel
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import MayflyServing

extension MountConfiguration {
    /// Where the memory of an empty tree comes from.
    var backing: Backing {
        if let survivingMemory { return .surviving(descriptor: survivingMemory) }
        return without.contains(.hugepages) ? .scattered : .anonymous
    }

    /// The store's part of the configuration.
    ///
    /// The kernel leaves access times to a FUSE server, whatever the mount's own flags say
    /// (fs/fuse/inode.c, `fuse_init_inode()`: S_NOATIME).
    var storeOptions: StoreOptions {
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
    func session(in memory: SystemMemory) -> SessionConfiguration {
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
