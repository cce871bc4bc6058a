// The words that all queues of a session share.
//
// They lie in raw memory, not in a class, because the request path may not touch a class. The
// session's core allocates them and outlives every queue, which each hold a reference to it.
//
// Ordering: `state` is written by whoever finds the change out, with compare-and-exchange, and only
// ever moves forward (starting -> running or refused -> ended); readers use relaxed loads because
// nothing is published through it: a late view costs one nap of the device reader, no more.
// The counters are statistics: relaxed, exact only when the queues have stopped.

internal import CFuseDevice
internal import CMayflySystem
internal import Synchronization

/// Where a session stands.
package enum SessionState: UInt32, Sendable {
    /// INIT is answered with the ring, and not every queue has registered yet.
    case starting = 0
    /// Every queue has registered: requests come over the ring.
    case running = 1
    /// There is no ring, or the kernel has refused it: requests come over /dev/fuse.
    case refused = 2
    /// Unmounted or aborted.
    case ended = 3

    /// `rawValue` for the request path, where the compiler does not accept its own.
    var word: UInt32 {
        @_noLocks get {
            switch self {
            case .starting: 0
            case .running: 1
            case .refused: 2
            case .ended: 3
            }
        }
    }
}

@safe
struct SessionControl: ~Copyable {
    let state: Atomic<UInt32>
    /// Queues whose entries are all registered.
    let registeredQueues = Atomic<Int>(0)
    /// Queues that have been taken and not given back.
    let liveQueues = Atomic<Int>(0)
    /// Entries lost to an error of one command, replies the kernel did not take, and completions
    /// that named no waiting entry.
    let droppedEntries = Atomic<Int>(0)
    let rejectedReplies = Atomic<Int>(0)
    let strayCompletions = Atomic<Int>(0)
    /// Requests answered by the transport because their sizes did not fit together.
    let malformedRequests = Atomic<Int>(0)
    /// The kernel's numbers of the connection and of the mount that was made; 0 until mounted.
    let connection = Atomic<UInt32>(0)
    let mount = Atomic<UInt64>(0)
    /// How many times the device reader has found /dev/fuse empty.
    let deviceDrains = Atomic<UInt64>(0)
    /// The errno that made the kernel refuse the ring, 0 for none.
    let refusal = Atomic<Int32>(0)

    let device: Int32
    /// eventfd that ends the naps and waits of device readers.
    let wake: Int32
    let mountpoint: UnsafeMutablePointer<CChar>
    let queueCount: Int
    let trace: Bool

    init(
        state: SessionState, device: Int32, wake: Int32,
        mountpoint: UnsafeMutablePointer<CChar>, queueCount: Int, trace: Bool
    ) {
        self.state = Atomic(state.rawValue)
        self.device = device
        self.wake = wake
        unsafe self.mountpoint = mountpoint
        self.queueCount = queueCount
        self.trace = trace
    }

    /// Moves on to a later state; false when the session is there already, or further.
    @_noLocks
    @discardableResult
    borrowing func advance(to next: SessionState) -> Bool {
        let next = next.word
        var seen = state.load(ordering: .relaxed)
        while seen < next {
            let (exchanged, original) = state.compareExchange(
                expected: seen, desired: next, ordering: .relaxed)
            if exchanged { return true }
            seen = original
        }
        return false
    }

    /// The session is over: wakes the device readers.
    @_noLocks
    borrowing func end() {
        advance(to: .ended)
        cfd_wake(wake)
    }

    /// Makes the wake descriptor unreadable again, unless the session has ended.
    @_noLocks
    borrowing func drainWake() {
        if state.load(ordering: .relaxed) == SessionState.ended.word { return }
        cfd_unwake(wake)
        // An end between the check and the read must not be lost.
        if state.load(ordering: .relaxed) == SessionState.ended.word { cfd_wake(wake) }
    }

    /// Gives the connection up, because requests would wait for ever otherwise.
    ///
    /// - Returns: false when the kernel did not let us.
    @_noLocks
    @discardableResult
    borrowing func abort() -> Bool {
        let code = unsafe csys_abort_connection(
            connection.load(ordering: .relaxed), mount.load(ordering: .relaxed), mountpoint)
        end()
        return code == 0
    }
}
