// RequestLoop: what a serving thread does: take what is ready, answer it, commit it all, wait.

internal import CFuseKernel
internal import CMayflyMemory
package import FuseTransport
internal import InodeStore
internal import MayflyArena
internal import SystemPackage

/// Serves one queue until the session ends.
package struct RequestLoop: Sendable {
    let operations: Operations
    let session: FuseSession
    /// Who reads /dev/fuse, and which of them this loop is for, if it is for one.
    let readers: DeviceReaders
    let reader: Int
    let gate: YieldGate
    let bell: MaintenanceBell
    let hooks: RequestHooks
    /// The hooks' own, here so that a look at it needs no reference.
    let isHooked: HookSwitch
    /// Where requests of /dev/fuse wait for content of the image; nil where all was here from the beginning.
    let late: LateRequests?

    /// - Parameters:
    ///   - readers: who reads /dev/fuse, and `reader` which of them this loop is for, if for one.
    ///   - late: where requests of /dev/fuse wait for content.
    package init(
        operations: Operations, session: FuseSession, readers: DeviceReaders, reader: Int,
        gate: YieldGate, bell: MaintenanceBell, hooks: RequestHooks, late: LateRequests? = nil
    ) {
        self.operations = operations
        self.session = session
        self.readers = readers
        self.reader = reader
        self.gate = gate
        self.bell = bell
        self.hooks = hooks
        isHooked = hooks.isOn
        self.late = late
    }

    /// The loop of a ring queue, on the queue's own thread.
    package func serve(_ queue: consuming RingQueue) {
        operations.counters.thread = cmem_thread()
        var pace = QueuePace(gate)
        do throws(Errno) { try queue.register() } catch { return }
        var parked = ParkedEntries()
        while true {
            pace.settle()
            let count = queue.wait()
            if count < 0 { return }
            if !parked.isEmpty { answerParked(&parked, &queue) }
            if count == 0 { continue }
            operations.worker.enter()
            for index in 0..<count {
                let request = queue.request(index)
                let reply = answer(request, .ring)
                if reply.isMissing {
                    parked.add(queue.park(index))
                    continue
                }
                pace.note(
                    bytes: max(request.payloadBytes, reply.bytes), client: request.pid)
                queue.commit(index, error: reply.error, bytes: reply.bytes)
            }
            operations.worker.leave()
            if bell.isAsleep { bell.ring() }
        }
    }

    /// The loop of a reader of /dev/fuse: forgets alone while the ring runs, everything without it.
    package func serve(_ queue: consuming DeviceQueue) {
        operations.counters.thread = cmem_thread()
        readers.begin(reader)
        while true {
            let count = queue.wait()
            if count < 0 { return }
            if count == 0 { continue }
            operations.worker.enter()
            let reply = answer(queue.request(0), .device)
            if reply.isMissing {
                park(&queue)
            } else {
                queue.commit(0, error: reply.error, bytes: reply.bytes)
            }
            operations.worker.leave()
            if bell.isAsleep { bell.ring() }
        }
    }

    // MARK: requests that wait for content

    /// Answers the parked requests for which it is time, at most once in a while.
    @inline(never)
    private func answerParked(_ parked: inout ParkedEntries, _ queue: inout RingQueue) {
        guard let arrival = operations.worker.arrival, parked.isDue else { return }
        operations.worker.enter()
        parked.removeAll { one in
            let request = queue.request(of: one.entry)
            guard let reply = operations.answerLate(request, since: one.since, arrival) else {
                return false
            }
            queue.commit(parked: one.entry, error: reply.error, bytes: reply.bytes)
            return true
        }
        operations.worker.leave()
    }

    /// Leaves the request of a reader to the thread of late requests.
    @inline(never)
    private func park(_ queue: inout DeviceQueue) {
        do throws(Errno) {
            guard let late else { throw .ioError }
            late.add(try queue.park())
        } catch {
            queue.commit(0, error: Errno.ioError.rawValue, bytes: 0)
        }
    }

    /// How an answer that came too early is put right.
    private enum Retry { case ring, device }

    /// Answers a request, once more where the first answer may be too early, and counts it.
    @inline(__always)
    private func answer(_ request: FuseRequest, _ retry: Retry) -> Reply {
        let isSample = operations.counters.isSampleNext()
        let start = isSample ? cmem_monotonic_nanoseconds() : 0
        let reply = isHooked.isOn ? answerHooked(request, retry) : answerOnce(request, retry)
        if reply.isMissing { return reply }
        tell(reply, request)
        if reply.error != 0 { operations.counters.countError(request.opcode, reply.error) }
        if isSample {
            operations.counters.sample(
                request, nanoseconds: cmem_monotonic_nanoseconds() &- start)
        }
        return reply
    }

    /// Answers a request, once more where the first answer may be too early.
    @inline(__always)
    private func answerOnce(_ request: FuseRequest, _ retry: Retry) -> Reply {
        let reply = operations.answer(request)
        guard Self.mayBeStale(reply, request) else { return reply }
        switch retry {
        case .ring: return retryOnRing(request)
        case .device: return retryOnDevice(request)
        }
    }

    /// Answers a request that somebody looks at: may lock, allocate and wait.
    @inline(never)
    private func answerHooked(_ request: FuseRequest, _ retry: Retry) -> Reply {
        guard isHooked.hasFaults else { return answerLogged(request, retry) }
        if hooks.faults.isPowerOff, let reply = answerWithoutPower(request) { return reply }
        let faulted = hooks.faults.before(request, operations.worker)
        delay(faulted.effect.delayNanoseconds)
        var error = faulted.effect.errno
        if error == 0 { error = faulted.effect.applied(to: request) }
        if faulted.effect.dropsUnsynced, let log = hooks.durability {
            log.dropUnsynced(request, operations.worker)
        }
        if faulted.effect.powerLoss == .before {
            hooks.faults.failPower(faulted.effect.powerLossSeed)
            if error == 0 { error = Errno.ioError.rawValue }
        }
        if error != 0 {
            operations.counters.count(request.opcode)
            return Reply(error: error, bytes: 0)
        }
        let reply = answerLogged(request, retry)
        // It is carried out again without rules: they have looked at it.
        if reply.isMissing { return reply }
        hooks.faults.after(faulted, request, reply)
        if faulted.effect.powerLoss == .after {
            hooks.faults.failPower(faulted.effect.powerLossSeed)
        }
        return reply
    }

    /// What a request is answered between a power loss and the moment in which the tree is what is left: nothing
    /// is changed any more, and whoever looks waits.
    ///
    /// - Returns: nil where it is to be answered as ever.
    private func answerWithoutPower(_ request: FuseRequest) -> Reply? {
        if let operation = request.operation, DurabilityLog.isRefusedWithoutPower(operation) {
            operations.counters.count(request.opcode)
            return Reply(error: Errno.ioError.rawValue, bytes: 0)
        }
        operations.worker.leave()
        // Bounded: who brings the power back may wait for a lock of the kernel's that this request holds.
        let end = cmem_monotonic_nanoseconds() + 1_000_000_000
        while hooks.faults.isPowerOff, cmem_monotonic_nanoseconds() < end { cmem_nap(200) }
        operations.worker.enter()
        return nil
    }

    /// Answers a request under the eyes of the log of what was synced, if there is one.
    private func answerLogged(_ request: FuseRequest, _ retry: Retry) -> Reply {
        guard let log = hooks.durability else { return answerOnce(request, retry) }
        return log.around(request, operations.worker) { answerOnce(request, retry) }
    }

    /// Waits outside of the epoch, in which others may free what they removed; not longer than there
    /// are rules. Requests of the same queue wait as well.
    private func delay(_ nanoseconds: UInt64) {
        if nanoseconds == 0 { return }
        operations.worker.leave()
        let end = cmem_monotonic_nanoseconds() + nanoseconds
        while isHooked.hasFaults {
            let now = cmem_monotonic_nanoseconds()
            if now >= end { break }
            // Rounded up: a delay is never shorter than it was asked for.
            cmem_nap(UInt32(min(10_000, (end - now + 999) / 1000)))
        }
        operations.worker.enter()
    }

    /// What a removed file held is free only when its FORGET has been taken, and that may still
    /// wait on /dev/fuse: neither ENOSPC nor statfs(2) may be wrong for that.
    private static func mayBeStale(_ reply: Reply, _ request: FuseRequest) -> Bool {
        reply.error == Errno.noSpace.rawValue || request.opcode == UInt32(CFK_STATFS)
    }

    /// chattr(1) changes ctime, and the kernel does not know that: its attributes are dropped. Of
    /// attributes alone, and so without a wait for pages or locks.
    ///
    /// - Source: fs/fuse/ioctl.c, `fuse_fileattr_set()`; inode.c, `fuse_reverse_inval_inode()`.
    private func tell(_ reply: Reply, _ request: FuseRequest) {
        guard request.opcode == UInt32(CFK_IOCTL), reply.error == 0 else { return }
        try? session.notifyInvalidInode(nodeID: request.nodeID, offset: -1)
    }

    /// Has what memory there is looked at again, where that was long ago: while maintenance rests,
    /// others may have freed some.
    private func awaitAllowance(_ request: FuseRequest) {
        guard request.opcode != UInt32(CFK_STATFS), bell.isAsleep else { return }
        let before = bell.looks
        bell.ring()
        let deadline = cmem_monotonic_nanoseconds() + 200_000_000
        while bell.looks == before, cmem_monotonic_nanoseconds() < deadline { cmem_yield() }
    }

    /// Has the forgets that wait taken, then answers once more.
    @inline(never)
    private func retryOnRing(_ request: FuseRequest) -> Reply {
        operations.worker.leave()
        awaitAllowance(request)
        let before = session.deviceDrains
        // Far more than it takes, as a busy machine may let the reader of /dev/fuse wait.
        let deadline = cmem_monotonic_nanoseconds() + 200_000_000
        // Twice empty: the first time may have been looked at before this request was made.
        while session.deviceDrains < before + 2, cmem_monotonic_nanoseconds() < deadline {
            session.hurryForgets()
            cmem_yield()
        }
        operations.worker.enter()
        return operations.answer(request)
    }

    /// The same without the ring: the other readers take the forgets.
    @inline(never)
    private func retryOnDevice(_ request: FuseRequest) -> Reply {
        operations.worker.leave()
        awaitAllowance(request)
        let deadline = cmem_monotonic_nanoseconds() + 200_000_000
        readers.awaitOthers(than: reader, until: deadline) { !session.hasDeviceRequests }
        operations.worker.enter()
        return operations.answer(request)
    }
}

extension Reply {
    /// Whether content of the image is not here yet, so that there is no answer.
    var isMissing: Bool { error == Errno.missing.rawValue }
}

/// The requests of a ring queue that wait for content, each in its entry.
private struct ParkedEntries {
    struct Entry {
        let entry: Int
        let since: UInt64
    }

    private var entries: [Entry] = []
    private var lastLook: UInt64 = 0
    var isEmpty: Bool { entries.isEmpty }

    /// Whether they were looked at a while ago: so again from now on.
    var isDue: Bool {
        mutating get {
            let now = cmem_monotonic_nanoseconds()
            if now < lastLook + 500_000 { return false }
            lastLook = now
            return true
        }
    }

    mutating func add(_ entry: Int) {
        entries.append(Entry(entry: entry, since: cmem_monotonic_nanoseconds()))
    }

    mutating func removeAll(where isDone: (Entry) -> Bool) { entries.removeAll(where: isDone) }
}
