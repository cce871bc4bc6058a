// What a ring queue is made of, made before INIT is answered.
//
// After INIT has said yes to the ring, every queue must register or the mount hangs. So all that
// can fail on our side (memory, io_uring forbidden by sysctl or seccomp, descriptors) is done
// before, and what is left to the queue's thread is the REGISTER itself, whose failure the kernel
// handles.

internal import CFuseKernel
internal import CMayflyLiburing
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Ring and memory of one queue. Trivial: freed by `close` or by the `RingQueue` made of it.
@safe
struct RingParts {
    /// - SUBMIT_ALL: one failing commit must not stall those behind it.
    /// - SINGLE_ISSUER, DEFER_TASKRUN: a request is copied in when this thread waits anyway,
    ///   instead of interrupting it while it serves another; and it is woken once for several.
    ///   For one client the round trip is the same with and without.
    /// - R_DISABLED: the single issuer is the queue's thread, not the one that mounts.
    static let setupFlags =
        CLU_SETUP_SQE128 | CLU_SETUP_SUBMIT_ALL | CLU_SETUP_SINGLE_ISSUER
        | CLU_SETUP_DEFER_TASKRUN | CLU_SETUP_R_DISABLED

    let ring: UnsafeMutablePointer<clu_ring>
    let entries: RingEntries
    let slots: UnsafeMutablePointer<EntrySlot>
    let ready: UnsafeMutablePointer<UInt16>
    let qid: UInt16

    /// Opens the ring of a queue and maps its buffers.
    ///
    /// - Throws: `ENOMEM`; `EPERM` where kernel.io_uring_disabled or seccomp forbids io_uring;
    ///   `ENOSYS` where the kernel has none; `EMFILE`.
    init(qid: UInt16, depth: Int, payloadBytes: Int, node: Int?, device: Int32) throws(Errno) {
        let ring = UnsafeMutablePointer<clu_ring>.allocate(capacity: 1)
        let code = unsafe clu_ring_open(ring, UInt32(depth), Self.setupFlags, device)
        if code != 0 {
            unsafe ring.deallocate()
            throw Errno(rawValue: -code)
        }
        do throws(Errno) {
            try unsafe self.init(
                ring: ring, qid: qid, depth: depth, payloadBytes: payloadBytes, node: node)
        } catch {
            unsafe clu_ring_close(ring)
            unsafe ring.deallocate()
            throw error
        }
    }

    /// The parts around a ring that is open already; the kernel double brings its own.
    init(
        ring: UnsafeMutablePointer<clu_ring>, qid: UInt16, depth: Int, payloadBytes: Int,
        node: Int?
    ) throws(Errno) {
        entries = try RingEntries(depth: depth, payloadBytes: payloadBytes, node: node)
        unsafe self.ring = ring
        self.qid = qid
        unsafe slots = .allocate(capacity: depth)
        unsafe slots.initialize(
            repeating: EntrySlot(
                holder: .nobody, argumentBytes: 0, payloadBytes: 0, unique: 0,
                commitID: 0),
            count: depth)
        unsafe ready = .allocate(capacity: depth)
        unsafe ready.initialize(repeating: 0, count: depth)
    }

    /// Frees the memory; the ring has been closed by whoever had it.
    func free() {
        entries.unmap()
        unsafe slots.deallocate()
        unsafe ready.deallocate()
        unsafe ring.deallocate()
    }

    /// Turns the ring off for the connection, on purpose, by a REGISTER that cannot succeed.
    ///
    /// For a queue that will not be served. Without it every request would wait for the queue.
    static func refuse(
        _ ring: UnsafeMutablePointer<clu_ring>, _ control: UnsafeMutablePointer<SessionControl>
    ) {
        guard unsafe control.pointee.advance(to: .refused) else { return }
        guard unsafe clu_ring_adopt(ring) == 0 else {
            unsafe control.pointee.abort()
            return
        }
        // No buffers: `EINVAL`, with which the kernel switches to /dev/fuse.
        var isPrepared = false
        for attempt in 0..<RingQueue.registerAttempts {
            if attempt > 0 { usleep(1000) }
            if !isPrepared {
                guard
                    unsafe clu_ring_prepare(
                        ring, UInt32(CFK_URING_CMD_REGISTER), UInt16.max, 0, 0, nil) == 0
                else { break }
                isPrepared = true
            }
            let code = unsafe clu_ring_enter(ring, 1)
            if code < 0, RingQueue.isFatal(code) { break }
            let count = unsafe clu_ring_completions(ring)
            // It was not taken, or there was a signal: it is still on its way.
            if count == 0 { continue }
            let result = unsafe clu_ring_completion(ring, 0).result
            unsafe clu_ring_advance(ring, count)
            if -result != EAGAIN { return }
            isPrepared = false
        }
        unsafe control.pointee.abort()
    }
}
