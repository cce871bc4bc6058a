// DetachedQueue: requests that no kernel has sent, decoded and answered as those of a ring.

package import CFuseKernel
internal import CMayflyMemory
internal import FuseTransport
internal import Glibc
package import InodeStore
internal import MayflyServing
internal import SystemPackage

/// One ring entry's memory with what decodes and answers the request in it: header, argument, and
/// one buffer for payload and reply.
///
/// - Concurrency: one thread at a time.
@safe package struct DetachedQueue: @unchecked Sendable {
    private let operations: Operations
    private let memory: UnsafeMutableRawPointer

    private static let argumentOffset = 64
    private static let payloadOffset = 4096
    private static let guardBytes = 4096
    /// Bytes of payload or reply.
    package static let capacity = 64 << 10
    /// No opcode's argument is larger.
    package static let argumentCapacity = payloadOffset - argumentOffset

    package init(_ worker: StoreWorker) {
        var policy = OperationPolicy()
        policy.checksOpen = worker.store.options.checksOpen
        policy.answersOpen = policy.checksOpen
        guard let counters = try? RequestCounters.make() else {
            preconditionFailure("DetachedQueue: no memory")
        }
        operations = Operations(worker: worker, policy: policy, counters: counters)
        // Whoever reads past the buffer's end is to meet nothing that is mapped.
        let bytes = Self.payloadOffset + Self.capacity
        guard let memory = unsafe cmem_map(bytes + Self.guardBytes) else {
            preconditionFailure("DetachedQueue: no memory")
        }
        unsafe mprotect(memory + bytes, Self.guardBytes, PROT_NONE)
        unsafe self.memory = memory
    }

    package func deallocate() {
        operations.counters.deallocate()
        unsafe cmem_unmap(memory, Self.payloadOffset + Self.capacity + Self.guardBytes)
    }

    /// Where the next request's argument is put.
    package var argument: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: memory + Self.argumentOffset, count: Self.argumentCapacity)
    }

    /// Where the next request's payload is put, and the last one's reply stands.
    package var payload: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(
            start: memory + Self.payloadOffset, count: Self.capacity)
    }

    /// Answers what the memory holds, in a batch of its own.
    ///
    /// - Parameters:
    ///   - header: need not be true.
    ///   - payloadBytes: what the ring says that the payload has; need not be true either.
    /// - Returns: 0 or an errno, and the bytes of the reply.
    package func answer(
        _ header: cfk_in_header, payloadBytes: UInt32
    ) -> (error: Int32, bytes: Int) {
        let sizes = RequestSizes(
            opcode: header.opcode, length: header.len, payloadBytes: payloadBytes,
            capacity: Self.capacity)
        if sizes.error != 0 { return (sizes.error, 0) }
        unsafe memory.storeBytes(of: header, as: cfk_in_header.self)
        let request = unsafe FuseRequest(
            header: UnsafePointer(memory.assumingMemoryBound(to: cfk_in_header.self)),
            argument: UnsafeRawPointer(memory + Self.argumentOffset),
            argumentBytes: UInt32(sizes.argumentBytes),
            payload: memory + Self.payloadOffset, payloadBytes: sizes.payloadBytes,
            reply: memory + Self.payloadOffset, replyCapacity: UInt32(Self.capacity))
        operations.worker.enter()
        let reply = operations.answer(request)
        operations.worker.leave()
        return (reply.error, reply.bytes)
    }
}
