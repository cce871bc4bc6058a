import Glibc
import MayflyHost
import Synchronization
import Testing

@testable import MayflyServing

/// When the thread of a queue yields to its clients, on threads of the test's own.
@Suite(
    .serialized,
    .enabled(if: SchedulingPolicy.canReturn(), "needs CAP_SYS_NICE or an RLIMIT_NICE of 20"))
struct QueuePaceTests {
    private struct Requests {
        var count: Int
        var bytes = 64
        /// Of another session: the kernel names nobody.
        var isFar = true
    }

    /// What a thread is scheduled as after each of several kinds of requests.
    private func policies(isOpen: Bool = true, _ requests: [Requests]) throws -> [SchedulingPolicy?]
    {
        let found = Mutex<[SchedulingPolicy?]>([])
        try HostThread.start(name: "pace-test") {
            let gate = YieldGate()
            gate.openWhereAllowed()
            gate.isOpen = isOpen
            var pace = QueuePace(gate)
            for each in requests {
                for _ in 0..<each.count {
                    pace.note(bytes: each.bytes, client: each.isFar ? 0 : UInt32(getpid()))
                    pace.settle()
                }
                found.withLock { $0.append(.current(of: 0)) }
            }
            gate.deallocate()
        }.join()
        return found.withLock { $0 }
    }

    /// One client of another session is chance; some are not. It stays for a while when they go.
    @Test func itYieldsToOtherSessions() throws {
        #expect(
            try policies([
                Requests(count: 1), Requests(count: 200), Requests(count: 16, isFar: false),
                Requests(count: 400, isFar: false),
            ]) == [.ordinary, .yielding, .yielding, .ordinary])
    }

    @Test func itStaysForItsOwnSession() throws {
        #expect(try policies([Requests(count: 1000, isFar: false)]) == [.ordinary])
    }

    /// Who copies much gains from going on beside the server.
    @Test func largeRequestsEndIt() throws {
        #expect(
            try policies([
                Requests(count: 200, bytes: 1 << 20), Requests(count: 200),
                Requests(count: 3, bytes: 1 << 20), Requests(count: 30, bytes: 1 << 20),
            ]) == [.ordinary, .yielding, .yielding, .ordinary])
    }

    /// The guard shuts the gate, whoever asks.
    @Test func aShutGateEndsIt() throws {
        #expect(try policies(isOpen: false, [Requests(count: 500)]) == [.ordinary])
    }
}
