// ClientPlacement: keeps a client on the CPU that it asks from.
//
// A reply wakes its client while the queue's thread still runs. Linux then puts the client on an
// idle CPU near by, if there is one, and its next request comes from there: each round trip pays for
// waking an idle CPU, in a virtual machine twice the rest of it. Two things keep the client:
//
// - Where both are scheduled in one group, the client has run longer than its share when it falls
//   asleep, so it stays queued on its CPU for that, and is woken there (kernel/sched/fair.c,
//   `dequeue_entity()`: DELAY_DEQUEUE, since 6.12). Processes of one session are such a group (sched(7),
//   "The autogroup feature"), and a server stays in the session that it is started from.
// - A CPU on which nothing but SCHED_IDLE threads run counts as idle (`select_idle_sibling()`,
//   `sched_idle_cpu()`), and such a thread makes way for whom it wakes. So that is what a queue's thread
//   is while clients of other sessions ask.
//
// Whoever computes on the same CPU could starve such a thread. So a guard looks for requests that
// wait while nothing is served, and has the threads scheduled like any other for a while.

internal import CMayflyMemory
internal import Synchronization

/// Whether the queues' threads may yield: words that the guard writes and each thread reads between
/// two batches. Trivial to copy.
@safe package struct YieldGate: @unchecked Sendable {
    // Sendable: points to atomics that live as long as the mount.
    private let words: UnsafeMutablePointer<Atomic<Bool>>

    /// A shut gate.
    package init() {
        unsafe words = .allocate(capacity: 2)
        unsafe words.initialize(to: Atomic(false))
        unsafe (words + 1).initialize(to: Atomic(false))
    }

    package func deallocate() { unsafe words.deallocate() }

    package var isOpen: Bool {
        get { unsafe words[0].load(ordering: .relaxed) }
        nonmutating set { unsafe words[0].store(newValue, ordering: .relaxed) }
    }

    /// Whether a thread that yields can be made an ordinary one again.
    package var canReturn: Bool { unsafe words[1].load(ordering: .relaxed) }

    /// Opens the gate where nobody can be starved by it for long.
    ///
    /// - Precondition: the process has the privileges that it will have while it serves.
    package func openWhereAllowed() {
        let canReturn = SchedulingPolicy.canReturn()
        unsafe words[1].store(canReturn, ordering: .relaxed)
        isOpen = canReturn || SchedulingPolicy.isGroupOfItsOwn()
    }
}

/// What the thread of one queue is scheduled as; part of its loop.
struct QueuePace {
    /// A client gains from going on beside the server while that copies so much.
    private static let largeBytes = 64 << 10
    private static let most = 8
    /// Of so many requests the client of one is looked at.
    private static let looksEach: UInt8 = 16

    private let gate: YieldGate
    private let session = cmem_session(0)
    private var isYielding = false
    /// How many of the last requests were large, roughly: 0 to `most`.
    private var large = 0
    /// How many of the last clients looked at were of another session, likewise.
    private var far = 0
    private var untilLook: UInt8 = 1

    package init(_ gate: YieldGate) { self.gate = gate }

    /// Takes notice of how much content a request carried, and of who asked.
    @inline(__always)
    mutating func note(bytes: Int, client: UInt32) {
        if bytes >= Self.largeBytes {
            large = large + 1 < Self.most ? large + 1 : Self.most
        } else if large > 0 {
            large -= 1
        }
        untilLook &-= 1
        if untilLook == 0 { look(at: client) }
    }

    @inline(never)
    private mutating func look(at client: UInt32) {
        untilLook = Self.looksEach
        // 0 is the caller for getsid(2), and whoever the kernel does not name for FUSE.
        let isFar = client == 0 || cmem_session(Int32(bitPattern: client)) != session
        far = isFar ? min(Self.most, far + 2) : max(0, far - 1)
    }

    /// Brings the calling thread to where it belongs now. A system call only where that changes.
    @inline(__always)
    mutating func settle() {
        let bound = isYielding ? Self.most : 1
        let isWorthIt = large < bound && far > (isYielding ? 0 : Self.most / 2)
        let wants = gate.isOpen && (isWorthIt || !gate.canReturn)
        if wants != isYielding { change(to: wants) }
    }

    @inline(never)
    private mutating func change(to yielding: Bool) {
        // Noted also where it was refused: it would be again.
        isYielding = yielding
        (yielding ? SchedulingPolicy.yielding : .ordinary).apply()
    }
}
