// FaultReply: what rules change of requests and replies, where the kernel has put them.

internal import CFuseKernel
internal import FuseTransport
internal import SystemPackage

extension FaultEffect {
    /// Makes a request smaller, or finds that it cannot be carried out at all.
    ///
    /// - Returns: 0, or `ENOSPC`.
    func applied(to request: FuseRequest) -> Int32 {
        let argument = unsafe UnsafeMutableRawPointer(mutating: request.argument)
        switch request.operation {
        case .read:
            var read = unsafe argument.load(as: cfk_read_in.self)
            // Into the kernel's pages a short read is the end of the file, and would be kept.
            guard isShort, read.fh == FaultEngine.directHandle else { return 0 }
            read.size = max(1, read.size / 2)
            unsafe argument.storeBytes(of: read, as: cfk_read_in.self)
        case .write:
            var write = unsafe argument.load(as: cfk_write_in.self)
            let isFromCache = write.write_flags & UInt32(CFK_WRITE_CACHE) != 0
            if isShort && !isFromCache { write.size = max(1, write.size / 2) }
            let room = room(from: write.offset)
            if room == 0 || isFromCache && room < write.size { return Errno.noSpace.rawValue }
            write.size = UInt32(min(UInt64(write.size), room))
            unsafe argument.storeBytes(of: write, as: cfk_write_in.self)
        case .fallocate:
            let allocate = unsafe argument.load(as: cfk_fallocate_in.self)
            let punchHole: UInt32 = 2
            let isFull = room(from: allocate.offset) < allocate.length
            if allocate.mode & punchHole == 0, isFull { return Errno.noSpace.rawValue }
        case .copyFileRange, .copyFileRange64:
            var copy = unsafe argument.load(as: cfk_copy_file_range_in.self)
            let room = room(from: copy.off_out)
            if room == 0 { return Errno.noSpace.rawValue }
            copy.len = min(copy.len, room)
            unsafe argument.storeBytes(of: copy, as: cfk_copy_file_range_in.self)
        default: break
        }
        return 0
    }

    /// Bytes from an offset to where the disk is full.
    private func room(from offset: UInt64) -> UInt64 {
        guard let fullAt else { return .max }
        return offset < fullAt ? fullAt - offset : 0
    }
}

/// A reply under the kernel's eyes.
struct FaultReply {
    let request: FuseRequest
    let reply: Reply

    /// Turns bits round in what a READ carries.
    func flip(_ count: UInt64, seed: UInt64) {
        guard request.operation == .read, reply.bytes > 0 else { return }
        let choice = SeededChoice(seed: seed)
        let bits = UInt64(reply.bytes) * 8
        for index in 0..<min(count, bits) {
            let bit = choice.word(index) % bits
            let place = unsafe request.reply + Int(bit / 8)
            let byte = unsafe place.load(as: UInt8.self)
            unsafe place.storeBytes(of: byte ^ 1 << UInt8(bit % 8), as: UInt8.self)
        }
    }

    /// Has the kernel ask for names and attributes each time.
    func keepNothing(_ operation: Opcode) {
        switch operation {
        case .lookup, .mknod, .mkdir, .symlink, .link, .create, .tmpfile: shorten(entryAt: 0)
        case .getattr, .setattr, .statx:
            // The time-out comes first in both replies.
            if reply.bytes >= 8 { unsafe request.reply.storeBytes(of: 0, as: UInt64.self) }
        case .readdirplus:
            var at = 0
            let head = MemoryLayout<cfk_direntplus>.size
            while at + head <= reply.bytes {
                shorten(entryAt: at)
                let count = unsafe (request.reply + at).load(as: cfk_direntplus.self).dirent.namelen
                at += (head + Int(count) + 7) & ~7
            }
        default: break
        }
    }

    private func shorten(entryAt offset: Int) {
        let size = MemoryLayout<cfk_entry_out>.size
        guard offset + size <= reply.bytes else { return }
        var entry = unsafe (request.reply + offset).load(as: cfk_entry_out.self)
        entry.entry_valid = 0
        entry.attr_valid = 0
        unsafe (request.reply + offset).storeBytes(of: entry, as: cfk_entry_out.self)
    }
}
