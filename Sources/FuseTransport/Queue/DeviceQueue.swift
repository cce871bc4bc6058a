// Requests over /dev/fuse: read(2) takes one, write(2) answers it.
//
// Without the ring everything comes this way, and several device queues may read at once: read(2)
// wakes one of them per request.
//
// With the ring running only FORGET, BATCH_FORGET and INTERRUPT come this way, and they come in
// streams: every unlink and every eviction queues a FORGET and wakes a reader that sleeps for it.
// Such a reader runs on the CPU of the one who unlinks, between each two of its requests. So while
// forgets arrive this reader does not sleep for them: it takes all there are (the kernel packs what
// has gathered into one BATCH_FORGET), naps for `napMilliseconds`, and looks again. When a nap has
// brought nothing, it waits in poll(2) for the next. The nap waits for the wake descriptor, so
// the end of the session, or a server that needs what the forgets would free, cuts it short.
// Any other request ends the napping: it means that the ring does not carry everything.

internal import CFuseDevice
internal import CFuseKernel
internal import Glibc
internal import Synchronization
package import SystemPackage

/// A reader of /dev/fuse. Moved into the thread that serves it.
@safe
package struct DeviceQueue: ~Copyable {
    /// Length of the nap while forgets arrive. What they free is late by as much; 2 ms make at most
    /// 500 wake-ups a second, each worth several microseconds.
    package static let usualNapMilliseconds: Int32 = 2

    /// Where a request is read to, so placed that the data of a WRITE begin on a page.
    private let input: UnsafeMutableRawPointer
    /// The out header, with the reply's memory, on a page, directly behind: one write(2) sends
    /// both.
    private let output: UnsafeMutableRawPointer
    private let memory: UnsafeMutableRawPointer
    private let mappedBytes: Int
    private let inputBytes: Int
    private let replyCapacity: Int
    private let control: UnsafeMutablePointer<SessionControl>
    /// Holds what `control` points to; never touched on the request path.
    private let core: SessionCore
    private let trace: Bool
    private let napMilliseconds: Int32
    private var sizes = RequestSizes()
    private var unique: UInt64 = 0
    private var hasRequest = false
    private var expectsReply = false
    /// The last message was a FORGET or an INTERRUPT, so the next wait naps first.
    private var naps = false

    /// - Throws: `ENOMEM`.
    init(core: SessionCore, payloadBytes: Int, napMilliseconds: Int32) throws(Errno) {
        let page = 4096
        let headers = MemoryLayout<cfk_in_header>.size + MemoryLayout<cfk_write_in>.size
        // The kernel wants room for the headers of a WRITE and its data (`fuse_dev_do_read()`).
        inputBytes = payloadBytes + headers
        replyCapacity = payloadBytes
        mappedBytes = 2 * (page + payloadBytes + page)
        guard
            let start = unsafe mmap(
                nil, mappedBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), unsafe start != MAP_FAILED
        else { throw Errno(rawValue: errno) }
        unsafe memory = start
        unsafe input = start + page - headers
        unsafe output =
            start + page + payloadBytes + page + page - MemoryLayout<cfk_out_header>.size
        unsafe control = core.control
        self.core = core
        trace = unsafe core.control.pointee.trace
        self.napMilliseconds = napMilliseconds
    }

    deinit {
        unsafe _ = munmap(memory, mappedBytes)
    }

    /// The request that the last `wait` has found.
    ///
    /// - Precondition: `i` is 0, and `wait` returned 1.
    @_noLocks
    package func request(_ i: Int) -> FuseRequest {
        precondition(i == 0 && hasRequest, "DeviceQueue.request: no such request")
        return unsafe FuseRequest(
            message: input, sizes, output: output, replyCapacity: replyCapacity)
    }

    /// Waits for a request.
    ///
    /// - Returns: 1 with a request, which `request(0)` gives and `commit(0, ...)` answers; 0 when
    /// it
    ///   woke for nothing; negative when the session has ended.
    /// - Concurrency: blocks in read(2), or in poll(2) while the ring runs.
    @_noLocks
    package mutating func wait() -> Int {
        precondition(!expectsReply, "DeviceQueue.wait: the last request has no reply")
        hasRequest = false
        let state = unsafe control.pointee.state.load(ordering: .relaxed)
        if state == SessionState.ended.word { return -1 }
        if state != SessionState.refused.word, !pollForForgets(state) { return 0 }
        let count = unsafe cfd_read(control.pointee.device, input, inputBytes)
        if count < 0 { return failed(Int32(truncatingIfNeeded: -count)) }
        return accept(received: count)
    }

    /// Answers the request. Ignored for an operation that has no reply.
    ///
    /// - Parameters: as for `RingQueue.commit(_:error:bytes:)`.
    @_noLocks
    package mutating func commit(_ i: Int, error: Int32, bytes: Int) {
        precondition(i == 0 && hasRequest, "DeviceQueue.commit: no such request")
        precondition(error >= 0 && error < 512, "DeviceQueue.commit: error is 0 or an errno")
        precondition(bytes >= 0 && bytes <= replyCapacity, "DeviceQueue.commit: reply too large")
        if !expectsReply { return }
        reply(error: error, bytes: error == 0 ? bytes : 0)
    }

    /// Leaves the request without an answer for now, and takes a copy of it.
    ///
    /// - Throws: `ENOMEM`; it is to be answered now then.
    package mutating func park() throws(Errno) -> ParkedRequest {
        precondition(hasRequest && expectsReply, "DeviceQueue.park: no such request")
        let copy = try unsafe ParkedRequest(
            input,
            bytes: MemoryLayout<cfk_in_header>.size + Int(sizes.argumentBytes)
                + Int(sizes.payloadBytes), sizes, replyCapacity: replyCapacity, core)
        expectsReply = false
        return copy
    }

    /// Waits while the ring carries the requests; true when the device can be read.
    @_noLocks
    private mutating func pollForForgets(_ state: UInt32) -> Bool {
        let device = unsafe control.pointee.device
        let wake = unsafe control.pointee.wake
        if naps, state == SessionState.running.word {
            let woken = cfd_poll(-1, wake, napMilliseconds)
            if woken > 0 { unsafe control.pointee.drainWake() }
            let found = cfd_poll(device, wake, 0)
            if found & 1 != 0 { return true }
            unsafe _ = control.pointee.deviceDrains.add(1, ordering: .releasing)
            naps = false
        }
        let found = cfd_poll(device, wake, -1)
        if found > 0, found & 2 != 0 { unsafe control.pointee.drainWake() }
        if found > 0, found & 1 != 0 { return true }
        unsafe _ = control.pointee.deviceDrains.add(1, ordering: .releasing)
        return false
    }

    @_noLocks
    private mutating func accept(received: Int) -> Int {
        guard received >= MemoryLayout<cfk_in_header>.size else {
            unsafe _ = control.pointee.malformedRequests.add(1, ordering: .relaxed)
            return 0
        }
        let header = unsafe input.assumingMemoryBound(to: cfk_in_header.self).pointee
        if trace {
            cfd_trace_request(
                1, header.opcode, header.unique, header.nodeid,
                UInt64(received - MemoryLayout<cfk_in_header>.size), header.pid)
        }
        unique = header.unique
        sizes = RequestSizes(opcode: header.opcode, length: header.len, received: received)
        let operation = Opcode(rawValue: header.opcode)
        let hasNoReply = operation?.hasNoReply ?? false
        naps = hasNoReply
        if sizes.error != 0 {
            unsafe _ = control.pointee.malformedRequests.add(1, ordering: .relaxed)
            if !hasNoReply { reply(error: sizes.error, bytes: 0) }
            return 0
        }
        // No request blocks here, so there is never one that could be interrupted.
        if header.opcode == UInt32(CFK_INTERRUPT) { return 0 }
        hasRequest = true
        expectsReply = !hasNoReply
        return 1
    }

    @_noLocks
    private mutating func reply(error: Int32, bytes: Int) {
        expectsReply = false
        if trace { cfd_trace_reply(unique, error == 0 ? Int64(bytes) : Int64(-error)) }
        unsafe control.pointee.write(output, unique: unique, error: error, bytes: bytes)
    }

    /// read(2) has failed. ENOENT: a request was aborted while it was copied.
    @_noLocks
    private mutating func failed(_ error: Int32) -> Int {
        switch error {
        case Errno.interrupted.rawValue, Errno.noSuchFileOrDirectory.rawValue,
            Errno.resourceTemporarilyUnavailable.rawValue:
            return 0
        case Errno.operationNotSupportedByDevice.rawValue, Errno.connectionAbort.rawValue:
            unsafe control.pointee.end()
            return -1
        default:
            // Nothing of this reader's making: without it nobody would answer.
            unsafe control.pointee.abort()
            return -1
        }
    }
}
