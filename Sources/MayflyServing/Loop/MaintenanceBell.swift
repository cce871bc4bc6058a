// MaintenanceBell: lets the maintenance thread sleep without a time limit while no request comes.
//
// Ordering of the one word:
//   awake, napping   written by the maintenance thread. No request rings
//   asleep           likewise; the first request after it rings: compare-and-swap to awake, then wakes
//   ended            written by `end`, and stays
//
// A serving thread reads the word after each batch, relaxed, without a fence: a load and a branch of
// a line that hardly ever changes. So a batch that ends as the word changes may not see the change.
// The maintenance thread looks once more, a while after it has changed the word, whether anything
// was served (`Maintenance.rest`): what no fence orders has become visible by then.

internal import CMayflyMemory
internal import Synchronization

/// What wakes the maintenance thread. Trivial to copy.
@safe package struct MaintenanceBell: @unchecked Sendable {
    // Sendable: points to atomics that live as long as the mount.
    private let words: UnsafeMutablePointer<Atomic<UInt32>>

    private static var awake: UInt32 { @_noLocks get { 0 } }
    private static var napping: UInt32 { @_noLocks get { 1 } }
    private static var asleep: UInt32 { @_noLocks get { 2 } }
    private static var ended: UInt32 { @_noLocks get { 3 } }
    /// Words of two cache lines: processors fetch them in pairs, and nothing else is to lie there.
    private static var count: Int { 32 }

    package init() {
        unsafe words = UnsafeMutableRawPointer.allocate(
            byteCount: Self.count * 4, alignment: Self.count * 4
        ).bindMemory(to: Atomic<UInt32>.self, capacity: Self.count)
        for index in 0..<Self.count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    package func deallocate() { unsafe UnsafeMutableRawPointer(words).deallocate() }

    private var state: UInt32 {
        @_noLocks get { unsafe words[0].load(ordering: .relaxed) }
    }

    private func change(from old: UInt32, to new: UInt32) -> Bool {
        unsafe words[0].compareExchange(
            expected: old, desired: new, ordering: .acquiringAndReleasing
        ).exchanged
    }

    // MARK: those who serve

    /// Whether the maintenance thread waits for a ring.
    package var isAsleep: Bool { @_noLocks get { state == Self.asleep } }

    /// Wakes the maintenance thread if it is asleep.
    ///
    /// - Concurrency: any thread; one system call for the first of those who ring.
    @inline(never) @_noLocks package func ring() {
        let isFirst = unsafe words[0].compareExchange(
            expected: Self.asleep, desired: Self.awake, ordering: .acquiringAndReleasing
        ).exchanged
        if isFirst { unsafe cmem_futex_wake(words) }
    }

    /// How often the maintenance thread has looked at what memory there is.
    package var looks: UInt32 { unsafe words[1].load(ordering: .acquiring) }

    // MARK: the maintenance thread

    /// Tells that what memory there is was looked at.
    package func noteLook() { unsafe _ = words[1].wrappingAdd(1, ordering: .releasing) }

    /// Sleeps so long, or until the end.
    package func nap(milliseconds: Int) {
        guard change(from: Self.awake, to: Self.napping) else { return }
        unsafe cmem_futex_wait(words, Self.napping, Int64(milliseconds))
        _ = change(from: Self.napping, to: Self.awake)
    }

    /// Has the next request ring.
    package func fallAsleep() { _ = change(from: Self.awake, to: Self.asleep) }

    /// Sleeps until somebody rings, or so long; then it is awake.
    ///
    /// - Returns: whether somebody rang, or the end has come.
    package func sleep(milliseconds: Int?) -> Bool {
        unsafe cmem_futex_wait(words, Self.asleep, milliseconds.map { Int64($0) } ?? -1)
        return state != Self.asleep
    }

    /// Is awake again, whether or not somebody rang.
    package func wake() { _ = change(from: Self.asleep, to: Self.awake) }

    package var hasEnded: Bool { state == Self.ended }

    // MARK: the end

    /// Ends every sleep, now and later.
    package func end() {
        unsafe words[0].store(Self.ended, ordering: .releasing)
        unsafe cmem_futex_wake(words)
    }
}
