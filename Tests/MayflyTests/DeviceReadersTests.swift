import CMayflyMemory
import Glibc
import MayflyTestSupport
import Synchronization
import Testing

@testable import Mayfly
@testable import MayflyServing

/// What a reader of /dev/fuse knows of the others: none of them is in the middle of a request.
@Suite struct DeviceReadersTests {
    private let readers = DeviceReaders(count: 2)

    /// What the two threads of a test tell each other.
    private final class Marks: Sendable {
        let rests = Atomic<Bool>(false)
        let ends = Atomic<Bool>(false)
        let isOver = Atomic<Bool>(false)
    }

    /// A reader that has lost its processor is awake, and so is one that works. One that sleeps in another
    /// call than those that wait for requests has a request.
    @Test(arguments: [false, true]) func whoHasARequestIsWaitedFor(sleeps: Bool) throws {
        let marks = Marks()
        let other = reader {
            while !marks.rests.load(ordering: .relaxed) { if sleeps { usleep(20_000) } }
            while !marks.ends.load(ordering: .relaxed) { _ = poll(nil, 0, 20) }
        }
        #expect(waits(seconds: 0.05) >= 50_000_000)
        marks.rests.store(true, ordering: .relaxed)
        #expect(waits(seconds: 60) < 50_000_000_000)
        marks.ends.store(true, ordering: .relaxed)
        try other.join()
    }

    @Test func whatHasNotBeenReadIsWaitedFor() {
        readers.begin(0)
        var looks = 0
        readers.awaitOthers(than: 0, until: .max) {
            looks += 1
            return looks == 3
        }
        #expect(looks == 3)
    }

    /// Two that wait at the same time do not wait for each other.
    @Test func whoWaitsIsNotWaitedFor() throws {
        let marks = Marks()
        let readers = readers
        let other = reader {
            readers.awaitOthers(than: 1, until: .max) {
                marks.rests.store(true, ordering: .relaxed)
                return marks.ends.load(ordering: .relaxed)
            }
            marks.isOver.store(true, ordering: .relaxed)
        }
        while !marks.rests.load(ordering: .relaxed) { sched_yield() }
        #expect(waits(seconds: 60) < 50_000_000_000)
        marks.ends.store(true, ordering: .relaxed)
        // The other waits for this one now, which has no request.
        while !marks.isOver.load(ordering: .relaxed) { _ = poll(nil, 0, 20) }
        try other.join()
    }

    /// How long reader 0 waits for the others, at most so long.
    private func waits(seconds: Double) -> UInt64 {
        let begin = cmem_monotonic_nanoseconds()
        readers.awaitOthers(than: 0, until: begin + UInt64(seconds * 1e9)) { true }
        return cmem_monotonic_nanoseconds() - begin
    }

    /// Starts reader 1, with reader 0 being the caller; both are known when this returns.
    private func reader(_ body: @escaping @Sendable () -> Void) -> PosixThread {
        let readers = readers
        let hasBegun = Marks()
        readers.begin(0)
        let thread = PosixThread {
            readers.begin(1)
            hasBegun.rests.store(true, ordering: .relaxed)
            body()
        }
        while !hasBegun.rests.load(ordering: .relaxed) { sched_yield() }
        return thread
    }
}
