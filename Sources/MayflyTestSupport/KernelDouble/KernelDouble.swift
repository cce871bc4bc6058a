// A kernel for the ring, in memory: as many queues as a test wants, on any machine.
//
// The queues under test are the transport's own. Only io_uring_enter(2) is replaced: the double
// reads the submissions from the shared words, hands requests to registered entries in an order of
// its own, and takes the replies. Client threads stand for the processes that use the mount.
//
// It can lie as well (`DoubleRequest.Lie`), which no real kernel should.

package import FuseTransport
package import SystemPackage

/// A request for a queue, as a kernel would send it.
package struct DoubleRequest: Sendable {
    /// What is wrong with a delivery.
    package enum Lie: Sendable {
        /// `len` of the in header.
        case length(UInt32)
        /// `payload_sz`, whatever has been written.
        case payloadBytes(UInt32)
        /// The entry completes with this error (a negated errno), and is gone.
        case failure(Int32)
        /// The completion comes twice.
        case duplicate
        /// Before the completion comes one that names this entry.
        case stray(UInt64)
    }

    package var opcode: UInt32
    package var nodeID: UInt64
    package var argument: [UInt8]
    package var payload: [UInt8]
    package var lie: Lie?

    package init(
        opcode: Opcode, nodeID: UInt64 = 1, argument: [UInt8] = [], payload: [UInt8] = [],
        lie: Lie? = nil
    ) {
        self.opcode = opcode.rawValue
        self.nodeID = nodeID
        self.argument = argument
        self.payload = payload
        self.lie = lie
    }
}

/// What came back.
package enum DoubleReply: Equatable, Sendable {
    /// `error` is 0 or a positive errno.
    case answered(error: Int32, bytes: [UInt8])
    /// The entry failed, or the session ended, before there was an answer.
    case lost
}

/// A kernel without a kernel.
package final class KernelDouble: Sendable {
    package let session: BareSession
    package let queues: [KernelDoubleQueue]
    private let depth: Int
    private let payloadBytes: Int

    /// - Parameters:
    ///   - seed: Of the order in which entries and completions are taken.
    package init(queueCount: Int, depth: Int, payloadBytes: Int, seed: UInt64) throws(Errno) {
        session = try BareSession(queueCount: queueCount)
        queues = (0..<queueCount).map {
            KernelDoubleQueue(
                qid: UInt16($0), depth: depth, payloadBytes: payloadBytes,
                seed: seed &+ UInt64($0))
        }
        self.depth = depth
        self.payloadBytes = payloadBytes
    }

    /// The server's side of a queue.
    package func serverQueue(at index: Int) throws(Errno) -> RingQueue {
        try unsafe session.queue(
            at: index, depth: depth, payloadBytes: payloadBytes, over: queues[index].makeRing())
    }

    /// Unmounts: every entry that the kernel has completes with `ENOTCONN`.
    package func unmount() {
        for queue in queues { queue.unmount() }
    }
}
