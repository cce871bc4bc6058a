// A session without a mount: what ring queues need around them, for whoever plays the kernel.

package import CMayflyLiburing
internal import Synchronization
package import SystemPackage

/// Holds ring queues whose rings are not the kernel's. For tests with a kernel double.
package final class BareSession: Sendable {
    private let core: SessionCore

    /// - Throws: `EMFILE`, `ENFILE`, `ENOMEM`.
    package init(queueCount: Int, trace: Bool = false) throws(Errno) {
        core = try SessionCore(device: -1, mountpoint: [], queueCount: queueCount, trace: trace)
    }

    /// A queue over a ring whose `enter` is set, and whose words are in the caller's memory.
    ///
    /// - Parameters:
    ///   - ring: Allocated by the caller, freed with the session.
    /// - Throws: `ENOMEM`.
    package func queue(
        at index: Int, depth: Int, payloadBytes: Int, over ring: UnsafeMutablePointer<clu_ring>
    ) throws(Errno) -> RingQueue {
        precondition(unsafe ring.pointee.enter != nil, "BareSession.queue: the ring is a real one")
        let parts = try unsafe RingParts(
            ring: ring, qid: UInt16(index), depth: depth, payloadBytes: payloadBytes, node: nil)
        core.add(parts, isTaken: true)
        return RingQueue(parts: parts, core: core)
    }

    package var state: SessionState { core.state }
    package var faults: WireFaults { core.faults }

    /// Queues that exist; their buffers are unmapped when the last one and the session are gone.
    package var liveQueues: Int {
        unsafe core.control.pointee.liveQueues.load(ordering: .relaxed)
    }
}
