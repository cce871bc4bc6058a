// Maintenance: what nobody's request pays for.
//
// A queue that sleeps can free nothing, and memory that a shard no longer needs goes back to the
// system only when somebody gives it. So a thread that waits its turn enters each worker that is
// idle, frees what waits for its readers, and gives empty chunks back, within a second.
//
// When no request has come for a second, everything is in order and stays so. The thread sleeps then
// until the next request rings its bell (MaintenanceBell.swift): an idle mount wakes nobody.

internal import CMayflyMemory
internal import CMayflySystem
internal import Glibc
package import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import Synchronization

/// The maintenance thread's work.
package final class Maintenance: Sendable {
    /// Time between two rounds while requests come.
    private static let roundMilliseconds = 100
    /// Looks per round at whether a queue's thread starves.
    private static let looksPerRound = 5
    /// Rounds between two that give memory back: less than the second that is promised.
    private static let roundsPerTrim = 4
    /// Rounds without a request after which it rests: two times that memory was given back.
    private static let roundsUntilRest = 2 * roundsPerTrim + 1

    private let store: InodeStore
    private let workerCount: Int
    private let counters: [RequestCounters]
    /// Rung by the serving threads.
    package let bell = MaintenanceBell()
    private let peakPages = Atomic<UInt64>(0)
    private let peakInodes = Atomic<UInt64>(0)
    private let gate: YieldGate
    private let imageName: String
    private let sight: ServingSight
    /// Called with how many requests were refused because the mount is full, at most once a minute.
    private let whenFull = Mutex<(@Sendable (UInt64) -> Void)?>(nil)
    private static let fullSeconds: UInt64 = 60

    /// - Parameters:
    ///   - imageName: the path of the image that the store was opened from; empty for none.
    ///   - counters: of all workers that serve.
    ///   - gate: opened and closed by what `sight` shows.
    package init(
        store: InodeStore, imageName: String, counters: [RequestCounters], gate: YieldGate,
        sight: ServingSight
    ) {
        self.imageName = imageName
        self.store = store
        workerCount = counters.count
        self.counters = counters
        self.gate = gate
        self.sight = sight
        MemoryHeadroom.watch()
        allowWhatThereIs()
    }

    package func end() { bell.end() }

    /// Has `body` called when requests were answered ENOSPC, by the maintenance thread: at once, and then at most
    /// once a minute.
    package func setWhenFull(_ body: @escaping @Sendable (UInt64) -> Void) {
        whenFull.withLock { $0 = body }
    }

    /// The highest use that a round has seen, in pages and inodes.
    package var peak: (pages: UInt64, inodes: UInt64) {
        observe()
        return (peakPages.load(ordering: .relaxed), peakInodes.load(ordering: .relaxed))
    }

    package func run() {
        csys_quiet_thread()
        var round = 0
        // A mount that nobody has used yet has nothing to put in order.
        var quietRounds = Self.roundsUntilRest
        var served = totalServed
        var starvation = StarvationGuard()
        var hasTold = false
        var full = FullWatch()
        while !bell.hasEnded {
            if quietRounds >= Self.roundsUntilRest {
                rest(served)
                quietRounds = 0
                starvation = StarvationGuard()
                allowWhatThereIs()
                continue
            }
            // Who sleeps is not woken for nothing: while no request comes, one look is enough.
            let looks = gate.canReturn && quietRounds == 0 ? Self.looksPerRound : 1
            for _ in 0..<looks {
                bell.nap(milliseconds: Self.roundMilliseconds / looks)
                if gate.canReturn { look(&starvation) }
            }
            round += 1
            if !hasTold, store.arena.isImageChanged {
                hasTold = true
                unsafe csys_log(
                    "the image \(imageName) was changed while it is mounted: files that are its own "
                        + "still answer EIO, `mayfly check` tells")
            }
            let now = totalServed
            quietRounds = now == served ? quietRounds + 1 : 0
            served = now
            allowWhatThereIs()
            observe()
            if let count = full.look(counters, everySeconds: Self.fullSeconds) {
                whenFull.withLock { $0 }?(count)
            }
            for index in 0..<workerCount {
                store.worker(index).maintain(trims: round % Self.roundsPerTrim == 0)
            }
        }
    }

    private var totalServed: UInt64 { counters.reduce(0) { $0 + $1.total } }

    /// Sleeps until something is asked of the mount.
    ///
    /// - Parameter served: requests that have been answered before the last round.
    private func rest(_ served: UInt64) {
        // A thread that starves could not ring, so none may yield meanwhile.
        if gate.canReturn {
            gate.isOpen = false
            sight.makeOrdinary()
        }
        cmem_trim_heap()
        bell.fallAsleep()
        // What was answered before the bell could be seen shows a moment later at the latest.
        if !bell.sleep(milliseconds: Self.roundMilliseconds), totalServed == served {
            while !bell.sleep(milliseconds: nil) {}
        }
        bell.wake()
    }

    private func look(_ starvation: inout StarvationGuard) {
        let wasOpen = gate.isOpen
        gate.isOpen = starvation.mayYield(sight.look(), isCrowded: sight.isCrowded)
        // A thread that starves cannot see that the gate is shut.
        if wasOpen, !gate.isOpen { sight.makeOrdinary() }
    }

    /// Lets the store take what its limits allow, and learns how much memory there is: who asks finds
    /// out when it is short, but what nobody asks for, marks of pages, must not run away.
    ///
    /// - Concurrency: any thread.
    package func allowWhatThereIs() {
        store.keepWithinMaximum()
        store.askForMemory()
        bell.noteLook()
    }

    private func observe() {
        let now = store.worker(0).statistics
        peakPages.max(now.pages - now.pagesFree, ordering: .relaxed)
        peakInodes.max(now.inodes - now.inodesFree, ordering: .relaxed)
    }
}

/// Whether requests were refused because the mount is full.
private struct FullWatch {
    private var told: UInt64 = 0
    private var lastNanoseconds: UInt64?

    /// - Returns: how many since the last time that this was not nil.
    mutating func look(_ counters: [RequestCounters], everySeconds seconds: UInt64) -> UInt64? {
        let count = counters.reduce(0) { $0 + $1.errors(errno: ENOSPC) }
        if count == told { return nil }
        let now = cmem_monotonic_nanoseconds()
        if let lastNanoseconds, now - lastNanoseconds < seconds * 1_000_000_000 { return nil }
        defer { (told, lastNanoseconds) = (count, now) }
        return count - told
    }
}
