// LateRequests: what waits for content of an image that is not all here yet (Docs/Lazy.md). A ring queue keeps its
// own requests in their entries; those of /dev/fuse come here, where a thread of its own carries them out again and
// again. It also says in the log when content stops coming, and when it comes again.

internal import CMayflyMemory
internal import CMayflySystem
internal import FuseTransport
internal import InodeStore
package import MayflyArena
internal import Synchronization
internal import SystemPackage

package final class LateRequests: Sendable {
    private struct Waiting: Sendable {
        let parked: ParkedRequest
        let since: UInt64
    }

    private let operations: Operations
    private let arrival: Arrival
    private let imageName: String
    /// Whether this says what happens, or another mount of the same server does.
    private let tells: Bool
    private let waiting = Mutex<[Waiting]>([])
    private let hasEnded = Atomic<Bool>(false)

    /// - Parameters:
    ///   - operations: of a worker of its own.
    ///   - imageName: for the log.
    ///   - tells: whether the log is told.
    package init(operations: Operations, arrival: Arrival, imageName: String, tells: Bool) {
        self.operations = operations
        self.arrival = arrival
        self.imageName = imageName
        self.tells = tells
    }

    func add(_ parked: ParkedRequest) {
        let since = cmem_monotonic_nanoseconds()
        waiting.withLock { $0.append(Waiting(parked: parked, since: since)) }
    }

    /// Ends the thread. Nothing is added any more.
    package func end() { hasEnded.store(true, ordering: .relaxed) }

    /// What the thread does.
    package func run() {
        csys_quiet_thread()
        operations.counters.thread = cmem_thread()
        var told = Arrival.Report.State.coming
        var nextLook: UInt64 = 0
        while !hasEnded.load(ordering: .relaxed) {
            let now = cmem_monotonic_nanoseconds()
            if now >= nextLook {
                nextLook = now + 250_000_000
                if told != .all { tell(&told) }
            }
            let taken = waiting.withLock { all in
                defer { all = [] }
                return all
            }
            let left = taken.filter { !answer($0) }
            if !left.isEmpty { waiting.withLock { $0 = left + $0 } }
            // When all is here nothing comes any more, but perhaps one that was read before.
            cmem_nap(left.isEmpty ? (told == .all ? 100_000 : 5000) : 1000)
        }
    }

    /// Answers a request if it is time.
    private func answer(_ one: Waiting) -> Bool {
        operations.worker.enter()
        let reply = operations.answerLate(one.parked.request, since: one.since, arrival)
        operations.worker.leave()
        guard let reply else { return false }
        one.parked.commit(error: reply.error, bytes: reply.bytes)
        return true
    }

    private func tell(_ told: inout Arrival.Report.State) {
        let report = arrival.report
        guard report.state != told else { return }
        let before = told
        told = report.state
        guard tells else { return }
        let here = "\(report.hereBytes >> 20) of \(report.totalBytes >> 20) MiB are here"
        switch report.state {
        case .coming where before == .away:
            unsafe csys_log("content of \(imageName) comes again: \(here)")
        case .coming: break
        case .away:
            let reason = report.reason.isEmpty ? "nothing comes" : report.reason
            unsafe csys_log(
                "content of \(imageName) does not come (\(reason)): \(here), and reading what is not answers "
                    + "EIO; it is tried again")
        case .ended:
            unsafe csys_log(
                "content of \(imageName) comes no more, as the process that brought it was killed: \(here), and "
                    + "reading what is not answers EIO; mount it anew")
        case .all: unsafe csys_log("all of \(imageName) is here")
        }
    }
}

extension Operations {
    /// The reply to a request that waits for content.
    ///
    /// - Parameter since: when it began to wait.
    /// - Returns: nil where it goes on waiting; EIO where it has waited enough.
    func answerLate(_ request: FuseRequest, since: UInt64, _ arrival: Arrival) -> Reply? {
        var reply = answerAgain(request)
        if reply.isMissing {
            guard arrival.isOverdue(since: since) else { return nil }
            reply = .failed(.ioError)
        }
        if reply.error != 0 { counters.countError(request.opcode, reply.error) }
        return reply
    }
}
