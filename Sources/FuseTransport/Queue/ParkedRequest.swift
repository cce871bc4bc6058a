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
        unsafe FuseRequest(message: memory, sizes, output: room, replyCapacity: replyCapacity)
    }

    /// Answers it.
    package func commit(error: Int32, bytes: Int) {
        unsafe core.control.pointee.write(
            room, unique: unique, error: error, bytes: error == 0 ? bytes : 0)
    }
}
