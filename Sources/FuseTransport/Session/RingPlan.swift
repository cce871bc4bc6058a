// How large the ring is: queues, entries, bytes. Pure arithmetic; what it depends on is passed in.

internal import MayflyHost

/// Geometry of the queues of a session.
package struct RingPlan: Equatable, Sendable {
    package static let defaultDepth = 8
    package static let depths = 1...1024
    package static let defaultPayloadBytes = 1 << 20
    /// FUSE_MIN_READ_BUFFER, and what one request may carry at most.
    package static let payloads = 8192...(1 << 20)
    /// The payload is not halved below this to save memory: from here on the ring is not worth it.
    static let smallestAutomaticPayload = 128 << 10

    /// One per possible CPU.
    package let queueCount: Int
    /// Ring entries per queue.
    package let queueDepth: Int
    /// Bytes of one entry's payload.
    package let payloadBytes: Int

    package init(queueCount: Int, queueDepth: Int, payloadBytes: Int) {
        self.queueCount = queueCount
        self.queueDepth = queueDepth
        self.payloadBytes = payloadBytes
    }

    /// What queues may take unasked on a machine where the server may use so many bytes: 1/64 of
    /// them, 4 MiB to 1 GiB, and 1/256 of that for the headers, so that a machine with a round
    /// number of CPUs does not lose half its depth for a page of headers per queue.
    package static func budgetBytes(usable: UInt64) -> UInt64 {
        let payloads = min(1 << 30, max(4 << 20, usable / 64))
        return payloads + payloads / 256
    }

    /// Memory that the queues' buffers take, in bytes: payloads and header areas.
    package var ringMemoryBytes: UInt64 {
        UInt64(queueCount)
            * UInt64(RingEntries.bytes(depth: queueDepth, payloadBytes: payloadBytes))
    }

    /// The plan for a machine and a budget.
    ///
    /// What the caller chose is kept, whatever it costs. What is left open starts at its default
    /// and is halved until the sum is within the budget: depth first, as one entry serves one
    /// client as well as eight do, then the payload.
    ///
    /// - Parameters:
    ///   - pageLimit: Pages of one request, fs.fuse.max_pages_limit; the kernel would clamp to it.
    /// - Throws: `SessionError` for a depth or payload out of range, or a budget that cannot be
    /// kept.
    package static func make(
        queueCount: Int, depth: Int?, payloadBytes: Int?, budgetBytes: UInt64, pageLimit: Int,
        pageBytes: Int
    ) throws(SessionError) -> RingPlan {
        if let depth, !depths.contains(depth) {
            throw SessionError("queue depth \(depth) is not within 1 and 1024")
        }
        if let payloadBytes {
            guard payloads.contains(payloadBytes), payloadBytes % pageBytes == 0 else {
                throw SessionError(
                    "payload of \(payloadBytes) bytes: it has whole pages, 8 KiB to 1 MiB")
            }
        }
        let most = max(pageLimit, 2) * pageBytes
        var plan = RingPlan(
            queueCount: queueCount, queueDepth: depth ?? defaultDepth,
            payloadBytes: min(payloadBytes ?? defaultPayloadBytes, most))
        while plan.ringMemoryBytes > budgetBytes {
            if depth == nil, plan.queueDepth > 1 {
                plan = RingPlan(
                    queueCount: queueCount, queueDepth: plan.queueDepth / 2,
                    payloadBytes: plan.payloadBytes)
            } else if payloadBytes == nil, plan.payloadBytes / 2 >= smallestAutomaticPayload,
                plan.payloadBytes / 2 % pageBytes == 0
            {
                plan = RingPlan(
                    queueCount: queueCount, queueDepth: plan.queueDepth,
                    payloadBytes: plan.payloadBytes / 2)
            } else if depth != nil || payloadBytes != nil {
                // What was asked for by number beats a budget that was not.
                return plan
            } else {
                throw SessionError(
                    "\(queueCount) queues need \(ByteCountText.described(plan.ringMemoryBytes)) of ring memory,"
                        + " the budget is \(ByteCountText.described(budgetBytes)): raise it or use /dev/fuse"
                )
            }
        }
        return plan
    }
}
