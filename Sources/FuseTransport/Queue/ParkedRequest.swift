// ParkedRequest: a request of /dev/fuse that is answered later, by another thread than the one that has read it.

internal import CFuseDevice
internal import CFuseKernel
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// A copy of a request with room for its reply. Answered once.
@safe
package final class ParkedRequest: @unchecked Sendable {
    // Sendable: one thread at a time has it.
    private let memory: UnsafeMutableRawPointer
    private let room: UnsafeMutableRawPointer
    private let sizes: RequestSizes
    private let replyCapacity: Int
    private let unique: UInt64
    private let core: SessionCore

    init(
        _ input: UnsafeMutableRawPointer, bytes: Int, _ sizes: RequestSizes, replyCapacity: Int,
        _ core: SessionCore
    ) throws(Errno) {
        guard let memory = unsafe malloc(bytes) else { throw .noMemory }
        guard let room = unsafe malloc(MemoryLayout<cfk_out_header>.size + replyCapacity) else {
            unsafe free(memory)
            throw .noMemory
        }
        unsafe memory.copyMemory(from: input, byteCount: bytes)
        unsafe self.memory = memory
        unsafe self.room = room
        self.sizes = sizes
        self.replyCapacity = replyCapacity
        unique = unsafe memory.assumingMemoryBound(to: cfk_in_header.self).pointee.unique
        self.core = core
    }

    deinit {
        unsafe free(memory)
        unsafe free(room)
    }

    /// The request, as long as this is there.
    package var request: FuseRequest {
        let argument = unsafe memory + MemoryLayout<cfk_in_header>.size
        return unsafe FuseRequest(
            header: UnsafePointer(memory.assumingMemoryBound(to: cfk_in_header.self)),
            argument: UnsafeRawPointer(argument), argumentBytes: UInt32(sizes.argumentBytes),
            payload: argument + Int(sizes.argumentBytes), payloadBytes: sizes.payloadBytes,
            reply: room + MemoryLayout<cfk_out_header>.size,
            replyCapacity: UInt32(truncatingIfNeeded: replyCapacity))
    }

    /// Answers it.
    package func commit(error: Int32, bytes: Int) {
        let length = MemoryLayout<cfk_out_header>.size + (error == 0 ? bytes : 0)
        unsafe room.assumingMemoryBound(to: cfk_out_header.self).pointee = cfk_out_header(
            len: UInt32(truncatingIfNeeded: length), error: 0 - error, unique: unique)
        let count = unsafe cfd_write(core.control.pointee.device, room, length)
        // ENOENT: the request was aborted meanwhile.
        if count < 0, -count != Int(Errno.noSuchFileOrDirectory.rawValue) {
            unsafe _ = core.control.pointee.rejectedReplies.add(1, ordering: .relaxed)
        }
    }
}
