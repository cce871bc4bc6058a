// An io_uring_enter(2) that takes a part of what is prepared, or nothing.

import FuseTransport
import Glibc
import MayflyTestSupport
import SystemPackage
import Testing

@Suite(.timeLimit(.minutes(2)))
struct PartialEnterTests {
    private static let passing: [[Int32]] = [
        [-EAGAIN], [-EBUSY, -EBUSY], [-ENOMEM, 1], [-EINTR, 2, -EAGAIN, 0, 1], [0, 0, 3],
    ]

    /// All entries are registered in the end, each once, with buffers that were there when the kernel
    /// read of them.
    @Test(arguments: passing)
    func everyEntryIsRegistered(answers: [Int32]) throws {
        let double = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 1)
        let queue = double.queues[0]
        queue.answerEnters(with: answers)
        var served = try double.serverQueue(at: 0)
        try served.register()
        #expect(queue.availableEntries == 4)
        #expect(double.session.state == .running)
        #expect(queue.violations == [])
        _ = consume served
    }

    /// The replies of a batch go in, whatever the enters take at once.
    @Test(arguments: passing)
    func repliesAreNotLost(answers: [Int32]) throws {
        let double = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 2)
        let server = try EchoServer(double)
        let queue = double.queues[0]
        for node in 0..<20 as Range<UInt64> {
            queue.answerEnters(with: answers)
            #expect(queue.perform(getattr(node)) == .answered(error: 0, bytes: little(node)))
        }
        server.finish()
        #expect(queue.violations == [])
        #expect(double.session.faults == .none)
    }

    /// A ring that breaks in the middle, and a REGISTER that is refused while others are not taken yet:
    /// nothing stays prepared whose buffers are gone.
    @Test func nothingIsLeftPrepared() throws {
        let broken = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 3)
        broken.queues[0].answerEnters(with: [0, -EBADF])
        var queue = try broken.serverQueue(at: 0)
        var thrown: Errno?
        do throws(Errno) { try queue.register() } catch { thrown = error }
        #expect(thrown == .badFileDescriptor)
        #expect(broken.queues[0].prepared == 0)

        let refused = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 3)
        refused.queues[0].answerRegisters(with: [0, -ENOMEM])
        refused.queues[0].answerEnters(with: [2])
        let server = try EchoServer(refused)
        #expect(refused.queues[0].perform(getattr(7)) == .answered(error: 0, bytes: little(7)))
        #expect(refused.session.state == .refused)
        #expect(refused.queues[0].prepared == 0)
        server.finish()
        #expect(refused.queues[0].violations == [])
    }

    /// A queue that nobody serves turns the ring off, also when it must ask twice.
    @Test(arguments: passing)
    func theRingIsTurnedOff(answers: [Int32]) throws {
        let double = try KernelDouble(queueCount: 1, depth: 2, payloadBytes: 8192, seed: 4)
        double.queues[0].answerEnters(with: answers)
        do { _ = try double.serverQueue(at: 0) }
        #expect(double.queues[0].wasRefused)
        #expect(double.session.state == .refused)
    }
}
