// Operations on names: LOOKUP and FORGET, creation, links, removal, rename.

internal import CFuseKernel
internal import CMayflyMemory
internal import CMayflySystem
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

extension Operations {
    @_noLocks func lookup(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let name = try name(request)
        if let found = try lookupOrHandle(node, name) { return entryReply(found, request) }
        // A nodeid of 0 with a time-out is a negative entry that the kernel may keep.
        var negative = cfk_entry_out()
        negative.entry_valid = policy.negativeSeconds
        return reply(negative, request)
    }

    /// "." serves open_by_handle_at(2), for files as well as directories.
    @_noLocks
    private func lookupOrHandle(_ node: NodeID, _ name: Name) throws(Errno) -> Attributes? {
        if name.isDots && name.count == 1 { return try worker.lookup(handle: node) }
        return try worker.lookup(node, name)
    }

    @_noLocks func forgetBatch(_ request: FuseRequest) -> Reply {
        let batch = request.argument(as: cfk_batch_forget_in.self)
        let fits = UInt32(
            truncatingIfNeeded: request.payloadBytes / MemoryLayout<cfk_forget_one>.size)
        var index = 0
        while index < Int(min(batch.count, fits)) {
            let one = unsafe request.payload.loadUnaligned(
                fromByteOffset: index * MemoryLayout<cfk_forget_one>.size,
                as: cfk_forget_one.self)
            worker.forget(NodeID(rawValue: one.nodeid), count: one.nlookup)
            index += 1
        }
        return .none
    }

    @_noLocks func makeNode(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_mknod_in.self)
        guard FileMode.isOfNode(arguments.mode) else { throw .invalidArgument }
        let made = try worker.make(
            node, name(request), mode: arguments.mode, device: arguments.rdev,
            caller: caller(request, umask: arguments.umask))
        return entryReply(made, request)
    }

    @_noLocks func makeDirectory(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_mkdir_in.self)
        let made = try worker.make(
            node, name(request),
            mode: FileMode.directory | arguments.mode & FileMode.permissions,
            caller: caller(request, umask: arguments.umask))
        return entryReply(made, request)
    }

    @_noLocks func makeSymlink(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let name = try name(request)
        guard let target = unsafe request.name(at: Int(truncatingIfNeeded: name.count) + 1) else {
            throw .invalidArgument
        }
        let made = try unsafe worker.makeSymlink(
            node, name, target: target, caller: caller(request))
        return entryReply(made, request)
    }

    @_noLocks func readLink(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let target = try unsafe worker.readLink(node)
        guard let bytes = target.baseAddress, target.count <= request.replyCapacity else {
            throw .ioError
        }
        unsafe cmem_copy(request.reply, bytes, target.count)
        return Reply(error: 0, bytes: target.count)
    }

    /// O_TMPFILE. The reply is an entry and an open file; there is nothing to remember for it.
    @_noLocks func makeTemporary(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_create_in.self)
        let exclusive: UInt32 = 0x80  // O_EXCL: never to be linked
        let made = try worker.makeTemporary(
            node, mode: arguments.mode, isLinkable: arguments.flags & exclusive == 0,
            caller: caller(request, umask: arguments.umask))
        return openEntryReply(made, request)
    }

    /// CREATE, where it is not to become MKNOD.
    @_noLocks func create(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_create_in.self)
        guard FileMode.isOfNode(arguments.mode) else { throw .invalidArgument }
        let made = try worker.make(
            node, name(request), mode: arguments.mode, device: 0,
            caller: caller(request, umask: arguments.umask))
        return openEntryReply(made, request)
    }

    @_noLocks private func openEntryReply(_ made: Attributes, _ request: FuseRequest) -> Reply {
        let entry = entryReply(made, request)
        var open = cfk_open_out()
        open.open_flags = UInt32(CFK_FOPEN_KEEP_CACHE)
        unsafe request.reply.storeBytes(
            of: open, toByteOffset: entry.bytes, as: cfk_open_out.self)
        return Reply(error: 0, bytes: entry.bytes + MemoryLayout<cfk_open_out>.size)
    }

    @_noLocks func openDirectory(_ request: FuseRequest) -> Reply {
        var open = cfk_open_out()
        open.open_flags = policy.directoryFlags
        return reply(open, request)
    }

    /// OPEN, where it is not omitted: there is nothing to remember, but chattr(1) may forbid it, and
    /// the kernel hears how it may write.
    @_noLocks func open(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let flags = request.argument(as: cfk_open_in.self).flags
        if policy.checksOpen { try worker.checkOpen(node, flags: flags) }
        var open = cfk_open_out()
        open.open_flags = UInt32(CFK_FOPEN_KEEP_CACHE)
        if policy.directInParallel && flags & CSYS_O_DIRECT != 0 {
            open.open_flags |=
                UInt32(CFK_FOPEN_DIRECT_IO) | UInt32(CFK_FOPEN_PARALLEL_DIRECT_WRITES)
        }
        return reply(open, request)
    }

    @_noLocks func link(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_link_in.self)
        let linked = try worker.link(
            NodeID(rawValue: arguments.oldnodeid), node, name(request))
        return entryReply(linked, request)
    }

    @_noLocks func rename(
        _ node: NodeID, _ request: FuseRequest, isRename2: Bool
    ) throws(Errno) -> Reply {
        let target = request.argument(as: cfk_rename_in.self).newdir
        let flags =
            isRename2 ? request.argument(as: cfk_rename2_in.self).flags : 0
        let oldName = try name(request)
        let newName = try name(request, at: Int(truncatingIfNeeded: oldName.count) + 1)
        try worker.rename(
            node, oldName, NodeID(rawValue: target), newName, flags: flags,
            caller: caller(request))
        return .none
    }
}
