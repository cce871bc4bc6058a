// WorkCrew: threads that do the parts of one piece of work, each part once. The first one that fails ends the work.

internal import Glibc
internal import Mayfly
internal import MayflyHost
internal import Synchronization

enum WorkCrew {
    /// What the threads share.
    private final class Work: Sendable {
        let next = Atomic<Int>(0)
        let running: Atomic<Int>
        let failure = Mutex<MountError?>(nil)

        init(_ workers: Int) { running = Atomic(workers) }
    }

    /// Calls `body` with each number below `count`, by several threads, and returns when all have ended.
    ///
    /// - Parameters:
    ///   - make: makes what one thread needs for itself.
    ///   - stop: called once one has failed, so that the others end soon.
    ///   - watch: called by this thread ten times a second.
    /// - Throws: the first error.
    static func run<State>(
        count: Int, workers: Int, stop: @escaping @Sendable () -> Void, watch: () -> Void,
        make: @escaping @Sendable () throws(MountError) -> State,
        _ body: @escaping @Sendable (Int, State) throws(MountError) -> Void
    ) throws(MountError) {
        let workers = max(1, min(workers, count))
        let work = Work(workers)
        var threads: [HostThread] = []
        for _ in 0..<workers {
            let thread = try? HostThread.start(name: "mayfly-transfer") {
                defer { work.running.subtract(1, ordering: .releasing) }
                do throws(MountError) {
                    let state = try make()
                    while work.failure.withLock({ $0 == nil }) {
                        let index = work.next.add(1, ordering: .relaxed).oldValue
                        if index >= count { return }
                        try body(index, state)
                    }
                } catch {
                    work.failure.withLock { $0 = $0 ?? error }
                    stop()
                }
            }
            guard let thread else {
                work.running.subtract(1, ordering: .releasing)
                continue
            }
            threads.append(thread)
        }
        if threads.isEmpty {
            throw MountError(.system, "no thread can be started: raise `ulimit -u`")
        }
        var pause: UInt32 = 1000
        while work.running.load(ordering: .acquiring) > 0 {
            watch()
            usleep(pause)
            pause = min(100_000, pause * 2)
        }
        for thread in threads { thread.join() }
        if let error = work.failure.withLock({ $0 }) { throw error }
    }
}
