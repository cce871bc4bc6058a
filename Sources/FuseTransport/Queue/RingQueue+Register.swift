// Registering: the kernel gets to know the buffers of every entry.
//
// The ring starts when every queue of the connection has an entry that is free; until then, or
// until a REGISTER fails, requests block in the kernel. A failed REGISTER turns the ring off for
// the connection (fs/fuse/dev_uring.c, `fuse_uring_cmd()`), and the requests come over /dev/fuse.
//
// A queue some of whose entries were registered before the failure goes on: the ring may have
// started in between, and then requests do come. Only a queue without any entry can leave, and
// while it has none the ring cannot start.

internal import CFuseKernel
internal import CMayflyLiburing
internal import Glibc
internal import Synchronization
package import SystemPackage

extension RingQueue {
    /// How long a REGISTER that comes too early (`EAGAIN`) is repeated: 5 s, once a millisecond.
    static let registerAttempts = 5000

    /// Registers every entry. Called once, on the thread that serves the queue, after the mount.
    ///
    /// - Throws: What the kernel answered, when not one entry was registered: `ENOMEM`, `EINVAL`
    ///   (a payload smaller than the connection needs, or a queue number it does not have),
    ///   `EOPNOTSUPP` (the ring is off by now), `ENOTCONN` or `ECONNABORTED` (unmounted). The
    ///   session has then fallen back to /dev/fuse, or ended; the thread has nothing to serve.
    package mutating func register() throws(Errno) {
        precondition(!registered, "RingQueue.register: called twice")
        registered = true
        let adopted = unsafe clu_ring_adopt(ring)
        if adopted < 0 {
            unsafe RingParts.refuse(ring, control)
            throw Errno(rawValue: -adopted)
        }
        // The kernel reads the iovecs while it takes the command, so they live until it has taken all.
        let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: depth * 2)
        defer { unsafe vectors.deallocate() }
        for entry in 0..<depth {
            unsafe vectors[entry * 2] = iovec(
                iov_base: entries.header(entry),
                iov_len: MemoryLayout<cfk_ring_req_header>.size)
            unsafe vectors[entry * 2 + 1] = iovec(
                iov_base: entries.payload(entry), iov_len: entries.payloadCapacity)
            unsafe slots[entry].holder = .nobody
        }
        let refusal = unsafe submitRegistrations(vectors)
        carried = readyCount > 0
        if let refusal {
            refuse(refusal)
            if live == 0 { throw refusal }
            return
        }
        let count = unsafe control.pointee.registeredQueues.add(1, ordering: .relaxed).newValue
        if unsafe count == control.pointee.queueCount {
            unsafe control.pointee.advance(to: .running)
        }
    }

    /// Submits a REGISTER for every entry that has none, until the kernel has taken all of them and
    /// none answers `EAGAIN`. Nothing that points to `vectors` is left prepared.
    ///
    /// - Returns: The first error that counts, nil where every entry is registered.
    private mutating func submitRegistrations(
        _ vectors: UnsafeMutablePointer<iovec>
    ) -> Errno? {
        for attempt in 0..<Self.registerAttempts {
            if attempt > 0 { usleep(1000) }
            for entry in 0..<depth where unsafe slots[entry].holder == .nobody {
                let code = unsafe clu_ring_prepare(
                    ring, UInt32(CFK_URING_CMD_REGISTER), qid, UInt64(entry), 0,
                    vectors + entry * 2)
                // Those that the kernel has not taken yet are in the way.
                if code != 0 { break }
                unsafe slots[entry].holder = .kernel
                live += 1
            }
            // A REGISTER that succeeds completes with the first request, one that fails at once.
            let code = unsafe clu_ring_enter(ring, 0)
            if code < 0, isFatal(code) {
                unsafe clu_ring_retract(ring)
                live = 0
                return Errno(rawValue: -code)
            }
            var failure: Errno?
            var again = unsafe clu_ring_unsubmitted(ring) > 0
            let count = unsafe clu_ring_completions(ring)
            for index in 0..<count {
                let completion = unsafe clu_ring_completion(ring, index)
                guard let entry = entryWithKernel(completion.entry) else { continue }
                switch -completion.result {
                case 0: accept(entry)
                case Errno.resourceTemporarilyUnavailable.rawValue:
                    unsafe slots[entry].holder = .nobody
                    live -= 1
                    again = true
                default:
                    lose(entry, result: completion.result)
                    failure = failure ?? Errno(rawValue: -completion.result)
                }
            }
            unsafe clu_ring_advance(ring, count)
            if let failure {
                retractRegistrations()
                return failure
            }
            if !again { return nil }
        }
        retractRegistrations()
        return .resourceTemporarilyUnavailable
    }

    /// Takes back what the kernel has not taken; the entries are nobody's then, and never registered.
    private mutating func retractRegistrations() {
        let left = unsafe clu_ring_unsubmitted(ring)
        for index in 0..<left {
            guard let entry = entryPrepared(index) else { continue }
            unsafe slots[entry].holder = .lost
            live -= 1
        }
        unsafe clu_ring_retract(ring)
    }

    /// The entry of the index-th command that is prepared and not taken.
    private func entryPrepared(_ index: UInt32) -> Int? {
        let name = unsafe clu_ring_prepared(ring, index)
        return name < UInt64(depth) ? Int(name) : nil
    }

    private func refuse(_ error: Errno) {
        unsafe _ = control.pointee.refusal.compareExchange(
            expected: 0, desired: error.rawValue, ordering: .relaxed)
        if ended {
            unsafe control.pointee.end()
        } else {
            unsafe control.pointee.advance(to: .refused)
        }
    }
}
