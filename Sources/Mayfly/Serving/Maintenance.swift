// Maintenance: what nobody's request pays for.
//
// A queue that sleeps can free nothing, and memory that a shard no longer needs goes back to the
// system only when somebody gives it. So a thread that waits its turn enters each worker that is
// idle, frees what waits for its readers, and gives empty chunks back, within a second.

internal import Arena
internal import CMemory
internal import Glibc
internal import InodeStore
internal import Synchronization

/// The maintenance thread's work.
final class Maintenance: Sendable {
    /// Time between two rounds while requests come.
    private static let roundMilliseconds: Int32 = 100
    /// Looks per round at whether a queue's thread starves.
    private static let looksPerRound = 5
    /// Rounds between two that give memory back: less than the second that is promised.
    private static let roundsPerTrim = 4

    /// More than is written between two rounds.
    private static let plentyBytes: UInt64 = 1 << 30

    private let store: InodeStore
    private let workerCount: Int
    private let counters: [RequestCounters]
    private let headroom = MemoryHeadroom()
    private let isEnding = Atomic<Bool>(false)
    /// A pipe that ends a sleep, so that an unmount need not wait for it; -1 where there is none.
    private let bell: (wait: Int32, ring: Int32)
    private let peakPages = Atomic<UInt64>(0)
    private let peakInodes = Atomic<UInt64>(0)
    private let gate: YieldGate
    private let imageName: String
    private let sight: ServingSight

    /// - Parameters:
    ///   - imageName: the path of the image that the store was opened from; empty for none.
    ///   - counters: of all workers that serve.
    ///   - gate: opened and closed by what `sight` shows.
    init(
        store: InodeStore, imageName: String, counters: [RequestCounters], gate: YieldGate,
        sight: ServingSight
    ) {
        self.imageName = imageName
        self.store = store
        workerCount = counters.count
        self.counters = counters
        self.gate = gate
        self.sight = sight
        var ends: [Int32] = [-1, -1]
        bell = unsafe pipe(&ends) == 0 ? (ends[0], ends[1]) : (-1, -1)
        for end in ends where end >= 0 { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        allowWhatThereIs()
    }

    deinit { for end in [bell.wait, bell.ring] where end >= 0 { close(end) } }

    func end() {
        isEnding.store(true, ordering: .releasing)
        _ = unsafe write(bell.ring, "", 1)
    }

    private func sleep(milliseconds: Int32) {
        // A descriptor below 0 is waited for in vain, which is what is left then.
        var bell = pollfd(fd: bell.wait, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&bell, 1, milliseconds)
    }

    /// The highest use that a round has seen, in pages and inodes.
    var peak: (pages: UInt64, inodes: UInt64) {
        observe()
        return (peakPages.load(ordering: .relaxed), peakInodes.load(ordering: .relaxed))
    }

    func run() {
        cmem_quiet_thread()
        var served: UInt64 = 0
        var round = 0
        var quietRounds = 0
        var isShort = false
        var starvation = StarvationGuard()
        var hasTold = false
        while !isEnding.load(ordering: .acquiring) {
            // Who sleeps is not woken for nothing: while no request comes, one look is enough.
            let looks = gate.canReturn && quietRounds == 0 ? Self.looksPerRound : 1
            for _ in 0..<looks {
                sleep(milliseconds: Self.roundMilliseconds / Int32(looks))
                if gate.canReturn { look(&starvation) }
            }
            round += 1
            if !hasTold, store.arena.isImageChanged {
                hasTold = true
                unsafe cmem_log(
                    "the image \(imageName) was changed while it is mounted: files that are its own "
                        + "still answer EIO, `mayfly check` tells")
            }
            let now = counters.reduce(0) { $0 + $1.total }
            quietRounds = now == served ? quietRounds + 1 : 0
            served = now
            // What others free must be seen also when nobody asks here, for it ends the ENOSPC.
            if quietRounds <= 2 * Self.roundsPerTrim || isShort { isShort = allowWhatThereIs() }
            // Nothing was asked since everything was put in order: nothing to do.
            if quietRounds > 2 * Self.roundsPerTrim { continue }
            observe()
            for index in 0..<workerCount {
                store.worker(index).maintain(trims: round % Self.roundsPerTrim == 0)
            }
        }
    }

    private func look(_ starvation: inout StarvationGuard) {
        let wasOpen = gate.isOpen
        gate.isOpen = starvation.mayYield(sight.look(), isCrowded: sight.isCrowded)
        // A thread that starves cannot see that the gate is shut.
        if wasOpen, !gate.isOpen { sight.makeOrdinary() }
    }

    /// Lets the store take what memory there is now and its limits allow, and no more until the next
    /// round.
    ///
    /// - Concurrency: any thread.
    /// - Returns: whether that is little, compared with what may come in between.
    @discardableResult
    func allowWhatThereIs() -> Bool {
        let bytes = headroom.bytes()
        store.allow(bytes: bytes)
        return bytes.map { $0 < Self.plentyBytes } ?? false
    }

    private func observe() {
        let now = store.worker(0).statistics
        peakPages.max(now.pages - now.pagesFree, ordering: .relaxed)
        peakInodes.max(now.inodes - now.inodesFree, ordering: .relaxed)
    }
}
