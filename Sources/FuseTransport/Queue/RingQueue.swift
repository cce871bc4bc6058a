// The queue of one CPU: register, wait, take, commit.
//
// One thread owns it. Between two waits the kernel writes nothing into the entries that `wait` has
// handed out, and everything that has been committed reaches the kernel with the next wait: one
// io_uring_enter(2) carries all replies in and waits for the next requests.
//
// An entry is always with exactly one side. The kernel has it from REGISTER or COMMIT_AND_FETCH to
// its completion; the server has it from there to `commit`. A completion for an entry that the
// kernel has not is counted and ignored, so that no request can be answered twice.
//
// Source: fs/fuse/dev_uring.c, `fuse_uring_cmd()`.

internal import CFuseDevice
internal import CFuseKernel
internal import CMayflyLiburing
internal import CMayflyMemory
internal import Synchronization
internal import SystemPackage

/// The ring queue of one CPU. Moved into the thread that serves it.
@safe
package struct RingQueue: ~Copyable {
    let ring: UnsafeMutablePointer<clu_ring>
    let entries: RingEntries
    let slots: UnsafeMutablePointer<EntrySlot>
    /// Entries that the last wait found requests in, `readyCount` of them.
    let ready: UnsafeMutablePointer<UInt16>
    let control: UnsafeMutablePointer<SessionControl>
    /// Holds the memory behind the pointers above; never touched on the request path.
    let core: SessionCore
    let depth: Int
    let qid: UInt16
    let trace: Bool
    var readyCount = 0
    /// Requests handed out and not yet committed.
    var uncommitted = 0
    /// Entries that are not lost.
    var live = 0
    /// `register` found requests already, which the first wait hands out without entering.
    var carried = false
    var ended = false
    var registered = false
    /// Requests that are answered later.
    var parked = 0

    init(parts: RingParts, core: SessionCore) {
        unsafe ring = parts.ring
        entries = parts.entries
        unsafe slots = parts.slots
        unsafe ready = parts.ready
        unsafe control = core.control
        self.core = core
        depth = parts.entries.depth
        qid = parts.qid
        trace = unsafe core.control.pointee.trace
        unsafe _ = control.pointee.liveQueues.add(1, ordering: .relaxed)
    }

    /// Leaves the ring. The buffers stay mapped until the session ends.
    ///
    /// A queue that never registered would let the mount wait for it for ever, so the ring is
    /// switched off for the connection.
    deinit {
        if !registered { unsafe RingParts.refuse(ring, control) }
        unsafe clu_ring_close(ring)
        unsafe _ = control.pointee.liveQueues.subtract(1, ordering: .relaxed)
    }

    /// The queue's number, which is its CPU's.
    package var index: Int { Int(qid) }

    /// Number of ring entries.
    package var queueDepth: Int { depth }

    /// The request that the last `wait` counted as the i-th.
    ///
    /// - Precondition: `i` is below what `wait` returned.
    @_noLocks
    package func request(_ i: Int) -> FuseRequest {
        precondition(i >= 0 && i < readyCount, "RingQueue.request: no such request")
        return request(of: unsafe Int(ready[i]))
    }

    /// The request in an entry that was parked.
    @_noLocks
    package func request(of entry: Int) -> FuseRequest {
        let slot = unsafe slots + entry
        let payload = unsafe entries.payload(entry)
        let room = UInt32(truncatingIfNeeded: entries.payloadCapacity)
        return unsafe FuseRequest(
            header: UnsafePointer(entries.inHeader(entry)),
            argument: UnsafeRawPointer(entries.argument(entry)),
            argumentBytes: UInt32(slot.pointee.argumentBytes),
            payload: payload, payloadBytes: slot.pointee.payloadBytes,
            reply: payload, replyCapacity: room)
    }

    /// Submits all replies, waits for requests, and says how many there are.
    ///
    /// - Returns: The number of requests, every one of which must be committed before the next
    /// wait;
    ///   0 when it woke for nothing (a signal, or only requests that the transport answers itself);
    ///   negative when the session has ended: leave the loop.
    /// - Precondition: every request of the last wait is committed.
    /// - Concurrency: blocks in io_uring_enter(2), the only system call of the request path.
    @_noLocks
    package mutating func wait() -> Int {
        precondition(uncommitted == 0, "RingQueue.wait: a request has no reply")
        if ended { return -1 }
        if carried {
            carried = false
            uncommitted = readyCount
            return readyCount
        }
        readyCount = 0
        let code =
            parked == 0
            ? unsafe clu_ring_enter(ring, 1)
            : unsafe clu_ring_enter_for(ring, 1, Self.parkedNanoseconds)
        if code < 0, isFatal(code) {
            giveUp()
            return -1
        }
        collect()
        // Where all entries are parked no completion tells of the end.
        if parked > 0,
            unsafe control.pointee.state.load(ordering: .relaxed) == SessionState.ended.word
        {
            ended = true
        }
        if ended {
            unsafe control.pointee.end()
            return -1
        }
        if live == 0 {
            giveUp()
            return -1
        }
        uncommitted = readyCount
        return readyCount
    }

    /// Prepares the reply of the i-th request; the next `wait` submits it.
    ///
    /// - Parameters:
    ///   - error: 0, or a positive errno; then no bytes of the reply are sent.
    ///   - bytes: How many bytes of the reply's memory are filled.
    /// - Precondition: the request has not been committed, and the reply fits.
    @_noLocks
    package mutating func commit(_ i: Int, error: Int32, bytes: Int) {
        precondition(i >= 0 && i < readyCount, "RingQueue.commit: no such request")
        precondition(error >= 0 && error < 512, "RingQueue.commit: error is 0 or an errno")
        precondition(
            bytes >= 0 && bytes <= entries.payloadCapacity, "RingQueue.commit: reply too large")
        let entry = unsafe Int(ready[i])
        precondition(
            unsafe slots[entry].isWithServer, "RingQueue.commit: committed twice")
        uncommitted -= 1
        reply(entry, error: error, bytes: error == 0 ? bytes : 0)
    }

    /// How long a wait takes at most while requests are parked: they are looked at after it.
    static var parkedNanoseconds: UInt64 { @_noLocks get { 1_000_000 } }

    /// Leaves the i-th request without an answer for now.
    ///
    /// - Returns: the entry, which the kernel gives to no other request until `commit(parked:)`.
    @_noLocks
    package mutating func park(_ i: Int) -> Int {
        precondition(i >= 0 && i < readyCount, "RingQueue.park: no such request")
        uncommitted -= 1
        parked += 1
        return unsafe Int(ready[i])
    }

    /// As `commit(_:error:bytes:)`, of a request that was parked.
    @_noLocks
    package mutating func commit(parked entry: Int, error: Int32, bytes: Int) {
        precondition(
            entry >= 0 && entry < depth, "RingQueue.commit: no such entry")
        precondition(unsafe slots[entry].isWithServer, "RingQueue.commit: committed twice")
        precondition(error >= 0 && error < 512, "RingQueue.commit: error is 0 or an errno")
        precondition(
            bytes >= 0 && bytes <= entries.payloadCapacity, "RingQueue.commit: reply too large")
        parked -= 1
        reply(entry, error: error, bytes: error == 0 ? bytes : 0)
    }

    /// Writes the out header over the in header and prepares the COMMIT_AND_FETCH.
    @_noLocks
    mutating func reply(_ entry: Int, error: Int32, bytes: Int) {
        let slot = unsafe slots + entry
        unsafe entries.outHeader(entry).pointee = cfk_out_header(
            len: UInt32(truncatingIfNeeded: MemoryLayout<cfk_out_header>.size &+ bytes),
            error: 0 &- error, unique: slot.pointee.unique)
        unsafe entries.ringPart(entry).pointee.payload_sz = UInt32(truncatingIfNeeded: bytes)
        unsafe slot.pointee.holder = .kernel
        // The ring has as many places as there are entries, so a full one is a broken invariant.
        let code = unsafe clu_ring_prepare(
            ring, UInt32(CFK_URING_CMD_COMMIT_AND_FETCH), qid, UInt64(entry),
            slot.pointee.commitID, nil)
        precondition(code == 0, "RingQueue.reply: submission ring is full")
        if trace {
            unsafe cfd_trace_reply(slot.pointee.unique, error == 0 ? Int64(bytes) : Int64(-error))
        }
    }

    /// Reads every completion there is. Fills `ready`.
    @_noLocks
    mutating func collect() {
        let count = unsafe clu_ring_completions(ring)
        var index: UInt32 = 0
        while index < count {
            let completion = unsafe clu_ring_completion(ring, index)
            index &+= 1
            guard let entry = entryWithKernel(completion.entry) else { continue }
            if completion.result == 0 {
                accept(entry)
            } else {
                lose(entry, result: completion.result)
            }
        }
        unsafe clu_ring_advance(ring, count)
    }

    /// The entry that a completion names, or nil, counted, where the kernel has no such entry.
    @_noLocks
    func entryWithKernel(_ name: UInt64) -> Int? {
        if name < UInt64(depth), unsafe slots[Int(truncatingIfNeeded: name)].isWithKernel {
            return Int(truncatingIfNeeded: name)
        }
        unsafe _ = control.pointee.strayCompletions.add(1, ordering: .relaxed)
        return nil
    }

    /// Takes a request that has arrived in an entry, or answers it here if its sizes are wrong.
    @_noLocks
    mutating func accept(_ entry: Int) {
        let slot = unsafe slots + entry
        let header = unsafe entries.inHeader(entry).pointee
        let part = unsafe entries.ringPart(entry).pointee
        unsafe slot.pointee.holder = .server
        unsafe slot.pointee.unique = header.unique
        unsafe slot.pointee.commitID = part.commit_id
        if trace {
            let argumentBytes = Int64(header.len) - Int64(MemoryLayout<cfk_in_header>.size)
            cfd_trace_request(
                0, header.opcode, header.unique, header.nodeid,
                UInt64(clamping: argumentBytes), header.pid)
        }
        let verdict = RequestSizes(
            opcode: header.opcode, length: header.len, payloadBytes: part.payload_sz,
            capacity: entries.payloadCapacity)
        if verdict.error != 0 {
            unsafe _ = control.pointee.malformedRequests.add(1, ordering: .relaxed)
            reply(entry, error: verdict.error, bytes: 0)
            return
        }
        unsafe slot.pointee.argumentBytes = verdict.argumentBytes
        unsafe slot.pointee.payloadBytes = verdict.payloadBytes
        unsafe ready[readyCount] = UInt16(truncatingIfNeeded: entry)
        readyCount += 1
    }

    /// A command on an entry has failed: ends the session, or goes on without the entry.
    ///
    /// A lost entry cannot come back: its request's commit id is spent, and REGISTER would add
    /// a new entry over the same buffers while the old may still be the kernel's.
    @_noLocks
    mutating func lose(_ entry: Int, result: Int32) {
        unsafe slots[entry].holder = .lost
        live -= 1
        switch -result {
        case Errno.socketNotConnected.rawValue, Errno.connectionAbort.rawValue,
            Errno.operationNotSupportedByDevice.rawValue:
            ended = true
        default:
            unsafe _ = control.pointee.droppedEntries.add(1, ordering: .relaxed)
        }
    }

    /// No entry is left, or the ring is broken: requests of this CPU would wait for ever.
    @_noLocks
    mutating func giveUp() {
        ended = true
        unsafe control.pointee.abort()
    }

    /// Whether an error of io_uring_enter(2) says that the ring will never work again.
    ///
    /// EINTR is a signal; EAGAIN, EBUSY and ENOMEM pass, and what was not submitted stays prepared.
    @_noLocks
    func isFatal(_ code: Int32) -> Bool { Self.isFatal(code) }

    @_noLocks
    static func isFatal(_ code: Int32) -> Bool {
        switch -code {
        case Errno.interrupted.rawValue: return false
        case Errno.resourceTemporarilyUnavailable.rawValue, Errno.resourceBusy.rawValue,
            Errno.noMemory.rawValue:
            // Others must give something back first.
            cmem_nap(100)
            return false
        default: return true
        }
    }
}
