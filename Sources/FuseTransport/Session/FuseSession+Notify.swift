// Notifications: what the kernel has cached and should not any more. They go over /dev/fuse, with
// the ring as without, each as one write(2) of a message whose `unique` is 0.
//
// An invalidation waits for pages and locks that a request in flight may hold: never send one from
// a thread that serves a queue.
//
// Source: fs/fuse/dev.c, `fuse_notify()`.

internal import CFuseDevice
internal import CFuseKernel
internal import Glibc
package import SystemPackage

extension FuseSession {
    /// Drops an inode's cached attributes, and cached pages from `offset` on.
    ///
    /// - Parameters:
    ///   - offset: First byte; negative: attributes only.
    ///   - length: Bytes; 0: to the end.
    /// - Throws: `ENOENT` where the kernel has not cached the inode; `ENODEV` after the end.
    package func notifyInvalidInode(
        nodeID: UInt64, offset: Int64 = 0, length: Int64 = 0
    ) throws(Errno) {
        try notify(
            Int32(CFK_NOTIFY_INVAL_INODE),
            cfk_notify_inval_inode_out(ino: nodeID, off: offset, len: length), name: [])
    }

    /// Drops a cached name in a directory, and what lies below it with the mounts on it.
    ///
    /// It waits for the directory's lock, which a client holds until its request about a name in it
    /// is answered.
    ///
    /// - Throws: `ENOENT` where the kernel has not cached it; `ENAMETOOLONG` above 1024 bytes.
    /// - Source: fs/fuse/dir.c, `fuse_reverse_inval_entry()`.
    package func notifyInvalidEntry(parent: UInt64, name: [UInt8]) throws(Errno) {
        try notifyEntry(parent, name, flags: 0)
    }

    /// Has a cached name looked up again before it is used. Where it leads to the same inode then, it
    /// stays, with what lies below it.
    ///
    /// - Throws: as `notifyInvalidEntry`; `ENOSYS` where the kernel cannot (before Linux 6.2, which
    ///   takes the flag for padding and drops the name).
    package func notifyExpiredEntry(parent: UInt64, name: [UInt8]) throws(Errno) {
        let firstMinorVersion: UInt32 = 38
        guard kernelMinorVersion >= firstMinorVersion else { throw .noFunction }
        let expireOnly: UInt32 = 1
        try notifyEntry(parent, name, flags: expireOnly)
    }

    private func notifyEntry(
        _ parent: UInt64, _ name: [UInt8], flags: UInt32
    ) throws(Errno) {
        guard !name.isEmpty else { throw .invalidArgument }
        try notify(
            Int32(CFK_NOTIFY_INVAL_ENTRY),
            cfk_notify_inval_entry_out(parent: parent, namelen: UInt32(name.count), flags: flags),
            name: name)
    }

    private func notify<Body: BitwiseCopyable>(
        _ code: Int32, _ body: Body, name: [UInt8]
    ) throws(Errno) {
        guard name.count <= 1024 else { throw .fileNameTooLong }
        var bytes = unsafe withUnsafeBytes(of: body) { unsafe Array($0) }
        if !name.isEmpty { bytes += name + [0] }
        try send(code, bytes)
    }

    private func send(_ code: Int32, _ body: [UInt8]) throws(Errno) {
        let header = cfk_out_header(
            len: UInt32(MemoryLayout<cfk_out_header>.size + body.count), error: code, unique: 0)
        let message = unsafe withUnsafeBytes(of: header) { unsafe Array($0) } + body
        let count = unsafe message.withUnsafeBytes { bytes in
            unsafe cfd_write(core.device, bytes.baseAddress, bytes.count)
        }
        if count < 0 { throw Errno(rawValue: Int32(truncatingIfNeeded: -count)) }
    }
}
