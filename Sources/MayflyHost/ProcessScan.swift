// ProcessScan: looking at many processes through /proc, where a look may never end.
//
// A process that hangs in execve(2), because a file that it closes there is on a mount whose server
// does not answer, holds a lock that most files of /proc/PID wait for (fs/exec.c, `exec_update_lock`).
// Any user can have such a process. So each look is on a thread that nobody waits for, and another
// thread goes on with the next process when one look takes long.

internal import CMayflyMemory
internal import Glibc
internal import Synchronization

package enum ProcessScan {
    /// A look that has taken so long is left alone.
    private static let patienceNanoseconds: UInt64 = 200_000_000
    /// Threads that may hang at the same time.
    private static let mostThreads = 16

    /// What looking at processes has found.
    package struct Outcome<Found: Sendable>: Sendable {
        /// In the order of the processes.
        package var found: [(processID: Int32, value: Found)]
        /// Whether every look has ended.
        package var isComplete: Bool
    }

    private struct State<Found: Sendable>: Sendable {
        var next = 0
        var ended = 0
        var found: [(index: Int, value: Found)] = []
        var isOver = false
    }

    private final class Shared<Found: Sendable>: Sendable {
        let state = Mutex(State<Found>())
    }

    /// Calls `look` for each process, on one thread and, where that hangs, on others.
    ///
    /// - Parameters:
    ///   - seconds: how long all of it takes at most.
    ///   - most: ends when so much was found.
    ///   - look: nil for what is not to be found.
    package static func of<Found: Sendable>(
        _ processIDs: [Int32], seconds: UInt64 = 3, most: Int = .max,
        _ look: @escaping @Sendable (Int32) -> Found?
    ) -> Outcome<Found> {
        let shared = Shared<Found>()
        let deadline = cmem_monotonic_nanoseconds() + seconds * 1_000_000_000
        var lastEnded = -1
        var lastProgress = cmem_monotonic_nanoseconds()
        var threads = 0
        var isDone = false
        while !isDone {
            let now = cmem_monotonic_nanoseconds()
            let (ended, count) = shared.state.withLock { ($0.ended, $0.found.count) }
            if ended == processIDs.count || count >= most || now > deadline { break }
            if ended != lastEnded {
                lastEnded = ended
                lastProgress = now
            }
            let hangs = now - lastProgress > patienceNanoseconds
            if threads == 0 || hangs && threads < mostThreads {
                lastProgress = now
                let started = try? HostThread.start(name: "mayfly-look") {
                    scan(processIDs, shared, most, look)
                }
                started?.detach()
                if started == nil, threads == 0 {
                    // No thread can be had: then the caller's, as it was always done.
                    scan(processIDs, shared, most, look)
                    isDone = true
                }
                threads += 1
            }
            usleep(200)
        }
        return shared.state.withLock { state in
            state.isOver = true
            return Outcome(
                found: state.found.sorted { $0.index < $1.index }.map {
                    (processIDs[$0.index], $0.value)
                },
                isComplete: state.ended == processIDs.count || state.found.count >= most)
        }
    }

    private static func scan<Found: Sendable>(
        _ processIDs: [Int32], _ shared: Shared<Found>, _ most: Int,
        _ look: @Sendable (Int32) -> Found?
    ) {
        while true {
            let index = shared.state.withLock { state -> Int? in
                guard !state.isOver, state.next < processIDs.count, state.found.count < most
                else { return nil }
                state.next += 1
                return state.next - 1
            }
            guard let index else { return }
            let value = look(processIDs[index])
            shared.state.withLock { state in
                state.ended += 1
                if let value { state.found.append((index, value)) }
            }
        }
    }
}
