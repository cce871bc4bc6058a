// What a session and its queues hold together: descriptors, the shared words, the rings' memory.
//
// Order of teardown, which the kernel's races make necessary (CVE-2026-64259 and its kin): the
// file system is unmounted first; then every queue leaves its ring; then, with the last reference
// to this object gone, the buffers are unmapped. References do that by themselves: every queue
// holds one, and the session lets go of its own after the unmount.

internal import CFuseDevice
internal import CMayflyLiburing
internal import Glibc
internal import Synchronization
internal import SystemPackage

// Sendable: the pointers are set once in `init`; what they point to is atomic words or is owned by
// one queue; `parts` is guarded by its mutex.
@safe
final class SessionCore: @unchecked Sendable {
    let device: Int32
    let wake: Int32
    let control: UnsafeMutablePointer<SessionControl>
    private let mountpoint: UnsafeMutablePointer<CChar>
    /// Rings of the queues, and which of them have been taken.
    private let parts = Mutex<[Slot]>([])

    private struct Slot: @unchecked Sendable {
        var parts: RingParts
        var isTaken = false
    }

    /// Takes the device descriptor over.
    ///
    /// - Throws: `EMFILE`, `ENFILE`, `ENOMEM` from eventfd(2); the descriptor is closed then.
    init(
        device: Int32, mountpoint: [UInt8], queueCount: Int, trace: Bool
    ) throws(Errno) {
        let wake = cfd_wake_open()
        if wake < 0 {
            if device >= 0 { close(device) }
            throw Errno(rawValue: -wake)
        }
        self.device = device
        self.wake = wake
        unsafe self.mountpoint = strdup((mountpoint + [0]).map { CChar(bitPattern: $0) })
        unsafe control = .allocate(capacity: 1)
        unsafe control.initialize(
            to: SessionControl(
                state: .starting, device: device, wake: wake, mountpoint: self.mountpoint,
                queueCount: queueCount, trace: trace))
    }

    deinit {
        let left = parts.withLock { Array($0) }
        for each in left {
            if !each.isTaken { unsafe clu_ring_close(each.parts.ring) }
            each.parts.free()
        }
        if device >= 0 { close(device) }
        close(wake)
        unsafe control.deinitialize(count: 1)
        unsafe control.deallocate()
        unsafe Glibc.free(mountpoint)
    }

    func add(_ new: RingParts, isTaken: Bool = false) {
        parts.withLock { $0.append(Slot(parts: new, isTaken: isTaken)) }
    }

    /// Closes the rings that were made, where the mount will not use them.
    func dropRings() {
        let dropped = parts.withLock { all in
            let old = all
            all = []
            return old
        }
        for each in dropped {
            precondition(!each.isTaken, "SessionCore.dropRings: a queue is in use")
            unsafe clu_ring_close(each.parts.ring)
            each.parts.free()
        }
    }

    /// The parts of a queue, once.
    func take(_ index: Int) -> RingParts {
        parts.withLock { all in
            precondition(index >= 0 && index < all.count, "queue(at:): no such queue")
            precondition(!all[index].isTaken, "queue(at:): taken before")
            all[index].isTaken = true
            return all[index].parts
        }
    }

    /// Bytes of the rings' buffers that are in memory.
    var residentBytes: UInt64 {
        parts.withLock { all in all.reduce(0) { $0 + $1.parts.entries.residentBytes } }
    }

    var faults: WireFaults {
        unsafe WireFaults(
            droppedEntries: control.pointee.droppedEntries.load(ordering: .relaxed),
            rejectedReplies: control.pointee.rejectedReplies.load(ordering: .relaxed),
            strayCompletions: control.pointee.strayCompletions.load(ordering: .relaxed),
            malformedRequests: control.pointee.malformedRequests.load(ordering: .relaxed))
    }

    var state: SessionState {
        unsafe SessionState(rawValue: control.pointee.state.load(ordering: .relaxed)) ?? .ended
    }
}
