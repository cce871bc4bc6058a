// Requests that no kernel has sent, for measuring what it costs to answer one.

internal import CFuseKernel
package import FuseTransport
package import InodeStore
internal import MayflyServing
internal import SystemPackage

/// A worker of a store with what answers requests for it, as a serving thread has it.
@safe package struct RequestAnswerer: Sendable {
    private let operations: Operations

    package init(_ worker: StoreWorker) {
        guard let counters = try? RequestCounters.make() else {
            preconditionFailure("RequestAnswerer: no memory")
        }
        operations = Operations(worker: worker, policy: OperationPolicy(), counters: counters)
    }

    package func deallocate() { operations.counters.deallocate() }

    /// Answers a request as a batch of its own.
    ///
    /// - Returns: 0 or an errno.
    @_noLocks package func answer(_ request: PreparedRequest) -> Int32 {
        operations.worker.enter()
        let reply = operations.answer(request.request)
        operations.worker.leave()
        return reply.error
    }
}

/// Memory laid out as the kernel lays it out: header, argument, payload; and room for a reply.
///
/// Payload and reply lie apart, as over /dev/fuse, so that a request can be answered again.
@safe package struct PreparedRequest: @unchecked Sendable {
    // Sendable: one thread at a time answers it.
    private let memory: UnsafeMutableRawPointer
    private let argumentBytes: Int
    private let payloadBytes: Int

    private static let argumentOffset = 128
    private static let payloadOffset = 256
    private static let capacity = 64 << 10
    private static let replyOffset = payloadOffset + capacity

    /// - Precondition: `argument` has at most 128 bytes, `payload` 64 KiB.
    package init(_ opcode: Opcode, _ nodeID: UInt64, argument: [UInt8], payload: [UInt8]) {
        precondition(argument.count <= 128, "PreparedRequest: argument of \(argument.count)")
        precondition(payload.count <= Self.capacity, "PreparedRequest: payload")
        unsafe memory = UnsafeMutableRawPointer.allocate(
            byteCount: Self.replyOffset + Self.capacity, alignment: 4096)
        argumentBytes = argument.count
        payloadBytes = payload.count
        var header = cfk_in_header()
        header.len = UInt32(MemoryLayout<cfk_in_header>.size + argument.count + payload.count)
        header.opcode = opcode.rawValue
        header.nodeid = nodeID
        unsafe memory.storeBytes(of: header, as: cfk_in_header.self)
        unsafe (memory + Self.argumentOffset).copyMemory(from: argument, byteCount: argument.count)
        unsafe (memory + Self.payloadOffset).copyMemory(from: payload, byteCount: payload.count)
    }

    package func deallocate() { unsafe memory.deallocate() }

    /// The first word of the last reply: of an entry the nodeid.
    @_noLocks package func repliedNodeID() -> UInt64 {
        unsafe memory.load(fromByteOffset: Self.replyOffset, as: UInt64.self)
    }

    /// Makes it a request about another inode.
    @_noLocks package func aim(at nodeID: UInt64) {
        unsafe memory.storeBytes(of: nodeID, toByteOffset: 16, as: UInt64.self)
    }

    fileprivate var request: FuseRequest {
        @_noLocks get {
            unsafe FuseRequest(
                header: UnsafePointer(memory.assumingMemoryBound(to: cfk_in_header.self)),
                argument: UnsafeRawPointer(memory + Self.argumentOffset),
                argumentBytes: UInt32(truncatingIfNeeded: argumentBytes),
                payload: memory + Self.payloadOffset,
                payloadBytes: UInt32(truncatingIfNeeded: payloadBytes),
                reply: memory + Self.replyOffset,
                replyCapacity: UInt32(truncatingIfNeeded: Self.capacity))
        }
    }
}
