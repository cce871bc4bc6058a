// Operations on content: READ, WRITE, LSEEK, FALLOCATE, COPY_FILE_RANGE.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

extension Operations {
    /// READ: one copy, from the arena to where the kernel reads the reply.
    @_noLocks func read(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_read_in.self)
        guard Int(arguments.size) <= request.replyCapacity else { throw .invalidArgument }
        let noAccessTime: UInt32 = 0o1000000  // O_NOATIME
        let count = try unsafe worker.read(
            node, offset: arguments.offset, into: request.reply, count: UInt64(arguments.size),
            touchesAccess: arguments.flags & noAccessTime == 0)
        counters.countRead(count)
        return Reply(error: 0, bytes: Int(truncatingIfNeeded: count))
    }

    /// WRITE: one copy, from where the kernel put the data to the arena.
    @_noLocks func write(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_write_in.self)
        guard Int(arguments.size) <= request.payloadBytes else { throw .invalidArgument }
        let written = try unsafe worker.write(
            node, offset: arguments.offset, from: UnsafeRawPointer(request.payload),
            count: UInt64(arguments.size),
            killPrivileges: arguments.write_flags & UInt32(CFK_WRITE_KILL_SUIDGID) != 0,
            isWrittenBack: arguments.write_flags & UInt32(CFK_WRITE_CACHE) != 0)
        counters.countWritten(written)
        return reply(
            cfk_write_out(size: UInt32(truncatingIfNeeded: written), padding: 0), request)
    }

    @_noLocks func seek(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_lseek_in.self)
        let data: UInt32 = 3
        let hole: UInt32 = 4
        guard arguments.whence == data || arguments.whence == hole else {
            throw .invalidArgument
        }
        let offset = try worker.seek(
            node, offset: arguments.offset, hole: arguments.whence == hole)
        return reply(cfk_lseek_out(offset: offset), request)
    }

    @_noLocks func allocate(_ node: NodeID, _ request: FuseRequest) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_fallocate_in.self)
        try worker.allocate(
            node, offset: arguments.offset, length: arguments.length, mode: arguments.mode)
        return .none
    }

    @_noLocks func copyRange(
        _ node: NodeID, _ request: FuseRequest, isWide: Bool
    ) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_copy_file_range_in.self)
        let copied = try worker.copyRange(
            from: node, at: arguments.off_in, to: NodeID(rawValue: arguments.nodeid_out),
            at: arguments.off_out, count: arguments.len)
        if isWide { return reply(cfk_copy_file_range_out(bytes_copied: copied), request) }
        return reply(
            cfk_write_out(size: UInt32(truncatingIfNeeded: copied), padding: 0), request)
    }
}
