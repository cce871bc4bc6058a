// EventLog: what happens to a mount, for those who listen to `GET /v1/events`.
//
// No request ever comes here. What the control plane does (a snapshot, a rollback) is noted by its own
// thread; that the mount is full and that faults were carried out is seen by a listener's thread, which looks
// at counters that requests keep in any case. Without a listener nothing is noted and nobody looks.

internal import CMayflyMemory
internal import Synchronization

/// What requests count in any case, at one moment.
struct EventCounts: Sendable {
    /// Requests answered by ENOSPC.
    var full: UInt64 = 0
    /// Fault rules in force, by number.
    var fired: [Int: FaultRecord] = [:]
}

/// Events of one mount, for any number of listeners.
@safe final class EventLog: @unchecked Sendable {
    // Sendable: a lock, and a pointer to one atomic word that lives as long as this object.

    /// Events that wait for a listener who is slow; more are dropped, and counted.
    static let waitingLimit = 1024
    /// Listeners at one time: as many clients of the socket are left for everybody else.
    static let listenerLimit = 8

    private struct Listener {
        var waiting: [MountEvent] = []
        var dropped: UInt64 = 0
    }

    private struct State {
        /// Gets every event that is not made by looking at counters.
        var sink: (@Sendable (MountEvent) -> Void)?
        var listeners: [Int: Listener] = [:]
        var next = 0
        /// What was counted when the mount ended; nil until then.
        var last: EventCounts?
    }

    private let state = Mutex(State())
    /// Counts what was noted, for those who sleep until there is more.
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    init() {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
    }

    deinit { unsafe word.deallocate() }

    /// Whether anybody would hear of an event.
    var isHeard: Bool { state.withLock { !$0.listeners.isEmpty || $0.sink != nil } }

    /// Whether there are listeners, not counting the one of `setSink`.
    private var isListenedTo: Bool { state.withLock { !$0.listeners.isEmpty } }

    /// Has `body` called with each event that is noted, by who notes it.
    func setSink(_ body: @escaping @Sendable (MountEvent) -> Void) {
        state.withLock { $0.sink = body }
    }

    /// Tells every listener.
    ///
    /// - Parameter last: what was counted, of the last event: listeners stop after it.
    func note(_ event: MountEvent, last: EventCounts? = nil) {
        let sink = state.withLock { state in
            if let last { state.last = last }
            for number in state.listeners.keys {
                if state.listeners[number]?.waiting.count ?? 0 < Self.waitingLimit {
                    state.listeners[number]?.waiting.append(event)
                } else {
                    state.listeners[number]?.dropped += 1
                }
            }
            return state.sink
        }
        sink?(event)
        unsafe _ = word.pointee.wrappingAdd(1, ordering: .releasing)
        unsafe cmem_futex_wake(word)
    }

    /// - Returns: the listener's number; nil where there are as many as there may be.
    func add() -> Int? {
        state.withLock { state in
            guard state.listeners.count < Self.listenerLimit else { return nil }
            state.next += 1
            state.listeners[state.next] = Listener()
            return state.next
        }
    }

    func remove(_ listener: Int) {
        _ = state.withLock { $0.listeners.removeValue(forKey: listener) }
        unsafe _ = word.pointee.wrappingAdd(1, ordering: .releasing)
        unsafe cmem_futex_wake(word)
    }

    /// What waits for a listener, how much was dropped, and what was counted at the end, if this is it.
    func take(_ listener: Int) -> (events: [MountEvent], dropped: UInt64, last: EventCounts?) {
        state.withLock { state in
            let found = state.listeners[listener] ?? Listener()
            state.listeners[listener] = Listener()
            return (found.waiting, found.dropped, state.last)
        }
    }

    /// A number that changes with every event.
    var version: UInt32 { unsafe word.pointee.load(ordering: .acquiring) }

    /// Waits until `version` is another, or the time is over.
    func wait(while version: UInt32, milliseconds: Int64) {
        unsafe cmem_futex_wait(word, version, milliseconds)
    }

    /// Waits until every listener has taken the last event, or the time is over.
    func waitForListeners(milliseconds: UInt64) {
        let deadline = cmem_monotonic_nanoseconds() + milliseconds * 1_000_000
        while true {
            let version = version
            let now = cmem_monotonic_nanoseconds()
            if !isListenedTo || now >= deadline { return }
            wait(while: version, milliseconds: Int64((deadline - now) / 1_000_000) + 1)
        }
    }
}
