// RequestLoop: what a serving thread does: take what is ready, answer it, commit it all, wait.

internal import CFuseKernel
internal import CMemory
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

/// Serves one queue until the session ends.
struct RequestLoop: Sendable {
    let operations: Operations
    let session: FuseSession

    /// The loop of a ring queue, on the queue's own thread.
    func serve(_ queue: consuming RingQueue) {
        do throws(Errno) { try queue.register() } catch { return }
        while true {
            let count = queue.wait()
            if count < 0 { return }
            if count == 0 { continue }
            operations.worker.enter()
            // One reading of the clock per request, and one per batch.
            var last = cmem_monotonic_nanoseconds()
            for index in 0..<count {
                let request = queue.request(index)
                var reply = operations.answer(request)
                if Self.mayBeStale(reply, request) { reply = retry(request) }
                tell(reply, request)
                last = record(request, reply, since: last)
                queue.commit(index, error: reply.error, bytes: reply.bytes)
            }
            operations.worker.leave()
        }
    }

    /// The loop of a reader of /dev/fuse: forgets alone while the ring runs, everything without it.
    func serve(_ queue: consuming DeviceQueue, isOnlyReader: Bool) {
        while true {
            let count = queue.wait()
            if count < 0 { return }
            if count == 0 { continue }
            operations.worker.enter()
            let start = cmem_monotonic_nanoseconds()
            let request = queue.request(0)
            var reply = operations.answer(request)
            // The only reader would wait for itself.
            if !isOnlyReader, Self.mayBeStale(reply, request) { reply = retryOnDevice(request) }
            tell(reply, request)
            _ = record(request, reply, since: start)
            queue.commit(0, error: reply.error, bytes: reply.bytes)
            operations.worker.leave()
        }
    }

    /// Notes what a request took, and returns when that was.
    @_noLocks
    private func record(_ request: FuseRequest, _ reply: Reply, since start: UInt64) -> UInt64 {
        let now = cmem_monotonic_nanoseconds()
        operations.counters.record(request, reply, nanoseconds: now &- start)
        return now
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

    /// Has the forgets that wait taken, then answers once more.
    @inline(never)
    private func retry(_ request: FuseRequest) -> Reply {
        operations.worker.leave()
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

    /// The same without the ring: the other readers take the forgets, and only say nothing.
    @inline(never)
    private func retryOnDevice(_ request: FuseRequest) -> Reply {
        operations.worker.leave()
        let deadline = cmem_monotonic_nanoseconds() + 20_000_000
        // Empty for a while: what was read last has been answered then, too.
        var timesEmpty = 0
        while timesEmpty < 8, cmem_monotonic_nanoseconds() < deadline {
            timesEmpty = session.hasDeviceRequests ? 0 : timesEmpty + 1
            cmem_yield()
        }
        operations.worker.enter()
        return operations.answer(request)
    }
}
