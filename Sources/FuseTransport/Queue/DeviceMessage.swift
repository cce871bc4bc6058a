// Messages of /dev/fuse: a request is one piece that is read, a reply one that is written.

internal import CFuseDevice
internal import CFuseKernel
internal import Synchronization
internal import SystemPackage

extension FuseRequest {
    /// The request in a message.
    ///
    /// - Parameters:
    ///   - message: its in header, and its first argument and payload behind that.
    ///   - output: room for the out header, and for `replyCapacity` bytes behind that.
    @_noLocks
    init(
        message: UnsafeMutableRawPointer, _ sizes: RequestSizes, output: UnsafeMutableRawPointer,
        replyCapacity: Int
    ) {
        let argument = unsafe message + MemoryLayout<cfk_in_header>.size
        unsafe self.init(
            header: UnsafePointer(message.assumingMemoryBound(to: cfk_in_header.self)),
            argument: UnsafeRawPointer(argument), argumentBytes: UInt32(sizes.argumentBytes),
            payload: argument + Int(sizes.argumentBytes), payloadBytes: sizes.payloadBytes,
            reply: output + MemoryLayout<cfk_out_header>.size,
            replyCapacity: UInt32(truncatingIfNeeded: replyCapacity))
    }
}

extension SessionControl {
    /// Writes a reply, whose out header is made here.
    ///
    /// - Parameter bytes: behind the out header.
    @_noLocks
    func write(_ output: UnsafeMutableRawPointer, unique: UInt64, error: Int32, bytes: Int) {
        let length = MemoryLayout<cfk_out_header>.size &+ bytes
        unsafe output.assumingMemoryBound(to: cfk_out_header.self).pointee = cfk_out_header(
            len: UInt32(truncatingIfNeeded: length), error: 0 &- error, unique: unique)
        let count = unsafe cfd_write(device, output, length)
        // ENOENT: the request was aborted meanwhile. Others are a reply of a wrong size.
        if count < 0, -count != Int(Errno.noSuchFileOrDirectory.rawValue) {
            _ = rejectedReplies.add(1, ordering: .relaxed)
        }
    }
}
