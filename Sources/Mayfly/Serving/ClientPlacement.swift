// ClientPlacement: keeps a client on the CPU that it asks from.
//
// A reply wakes its client while the queue's thread still runs. Linux then puts the client on an
// idle CPU near by, if there is one, and its next request comes from there: each round trip pays for
// waking an idle CPU, in a virtual machine twice the rest of it. But a CPU on which nothing but
// SCHED_IDLE threads run counts as idle (kernel/sched/fair.c, `select_idle_sibling()`,
// `sched_idle_cpu()`), and such a thread makes way for whom it wakes. So that is what the queues'
// threads are, and the client stays.
//
// Whoever computes on the same CPU could starve such a thread. So a guard looks for requests that
// wait while nothing is served, and has the threads scheduled like any other for a while.

internal import Synchronization

/// Whether the queues' threads may yield: words that the guard writes and each thread reads between
/// two batches. Trivial to copy.
@safe struct YieldGate: @unchecked Sendable {
    // Sendable: points to atomics that live as long as the mount.
    private let words: UnsafeMutablePointer<Atomic<Bool>>

    /// A shut gate.
    init() {
        unsafe words = .allocate(capacity: 2)
        unsafe words.initialize(to: Atomic(false))
        unsafe (words + 1).initialize(to: Atomic(false))
    }

    func deallocate() { unsafe words.deallocate() }

    var isOpen: Bool {
        get { unsafe words[0].load(ordering: .relaxed) }
        nonmutating set { unsafe words[0].store(newValue, ordering: .relaxed) }
    }

    /// Whether a thread that yields can be made an ordinary one again.
    var canReturn: Bool { unsafe words[1].load(ordering: .relaxed) }

    /// Opens the gate where nobody can be starved by it for long.
    ///
    /// - Precondition: the process has the privileges that it will have while it serves.
    func openWhereAllowed() {
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

    private let gate: YieldGate
    private var isYielding = false
    /// How many of the last requests were large, roughly: 0 to `most`.
    private var large = 0

    init(_ gate: YieldGate) { self.gate = gate }

    /// Takes notice of how much content a request carried.
    @inline(__always)
    mutating func note(bytes: Int) {
        if bytes >= Self.largeBytes {
            large = large + 1 < Self.most ? large + 1 : Self.most
        } else if large > 0 {
            large -= 1
        }
    }

    /// Brings the calling thread to where it belongs now. A system call only where that changes.
    @inline(__always)
    mutating func settle() {
        let bound = isYielding ? Self.most : 1
        let wants = gate.isOpen && (large < bound || !gate.canReturn)
        if wants != isYielding { change(to: wants) }
    }

    @inline(never)
    private mutating func change(to yielding: Bool) {
        // Noted also where it was refused: it would be again.
        isYielding = yielding
        (yielding ? SchedulingPolicy.yielding : .ordinary).apply()
    }
}
