// The ring queue against the kernel double: many queues, odd orders, and a kernel that lies.

import FuseTransport
import Glibc
import MayflyTestSupport
import Synchronization
import SystemPackage
import Testing

@testable import MayflyHost

/// Server's threads of a double. Echoes WRITE's data reversed; anything else gets its nodeid.
final class EchoServer {
    let double: KernelDouble
    let batches = Atomic<Int>(0)
    private var threads: [HostThread] = []

    init(_ double: KernelDouble) throws {
        self.double = double
        for index in 0..<double.queues.count {
            // No pinning: there are more queues than CPUs here.
            threads.append(
                try HostThread.start(
                    cpu: nil, name: "echo-\(index)", with: double.serverQueue(at: index),
                    Self.serve))
        }
    }

    private static let serve: @Sendable (consuming RingQueue) -> Void = { moved in
        var queue = moved
        do throws(Errno) { try queue.register() } catch { return }
        while true {
            let count = queue.wait()
            if count < 0 { return }
            // Backwards, because nothing promises an order.
            for index in (0..<count).reversed() {
                let request = queue.request(index)
                if request.operation == .write {
                    let bytes = unsafe Array(request.payloadBuffer.reversed())
                    unsafe request.reply.copyMemory(from: bytes, byteCount: bytes.count)
                    queue.commit(index, error: 0, bytes: bytes.count)
                } else if request.operation == .unlink {
                    queue.commit(index, error: ENOENT, bytes: 100)
                } else {
                    unsafe request.reply.storeBytes(of: request.nodeID, as: UInt64.self)
                    queue.commit(index, error: 0, bytes: 8)
                }
            }
        }
    }

    func finish() {
        double.unmount()
        for thread in threads { thread.join() }
        threads = []
    }
}

private func write(_ count: Int, from seed: UInt8 = 0, lie: DoubleRequest.Lie? = nil)
    -> DoubleRequest
{
    DoubleRequest(
        opcode: .write, argument: Array(repeating: 0, count: 40),
        payload: (0..<count).map { UInt8(truncatingIfNeeded: $0) &+ seed }, lie: lie)
}

func getattr(_ node: UInt64, lie: DoubleRequest.Lie? = nil) -> DoubleRequest {
    DoubleRequest(
        opcode: .getattr, nodeID: node, argument: Array(repeating: 0, count: 16), lie: lie)
}

func little(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

@Suite(.timeLimit(.minutes(10)))
struct RingQueueTests {
    @Test func sixtyFourQueues() throws {
        let double = try KernelDouble(queueCount: 64, depth: 4, payloadBytes: 16384, seed: 7)
        let server = try EchoServer(double)
        let wrong = Atomic<Int>(0)
        try withClients(6) { client in
            for round in 0..<400 {
                let queue = double.queues[(client &* 31 &+ round &* 7) % 64]
                let size = [0, 1, 4095, 4096, 16384][round % 5]
                let request = write(size, from: UInt8(truncatingIfNeeded: round))
                let expected = DoubleReply.answered(error: 0, bytes: request.payload.reversed())
                if queue.perform(request) != expected { wrong.add(1, ordering: .relaxed) }
            }
        }
        server.finish()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(double.session.faults == .none)
        #expect(double.session.state == .ended)
        #expect(double.session.liveQueues == 0)
        for queue in double.queues { #expect(queue.violations == []) }
    }

    @Test(arguments: [1, 3, 8])
    func moreClientsThanEntries(_ depth: Int) throws {
        let double = try KernelDouble(queueCount: 1, depth: depth, payloadBytes: 8192, seed: 3)
        let server = try EchoServer(double)
        let wrong = Atomic<Int>(0)
        try withClients(12) { client in
            for round in 0..<100 {
                let node = UInt64(client * 1000 + round)
                if double.queues[0].perform(getattr(node))
                    != .answered(error: 0, bytes: little(node))
                {
                    wrong.add(1, ordering: .relaxed)
                }
            }
        }
        server.finish()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(double.queues[0].violations == [])
    }

    @Test func anErrorCarriesNoBytes() throws {
        let double = try KernelDouble(queueCount: 1, depth: 2, payloadBytes: 8192, seed: 1)
        let server = try EchoServer(double)
        let reply = double.queues[0].perform(DoubleRequest(opcode: .unlink, payload: [97, 0]))
        #expect(reply == .answered(error: ENOENT, bytes: []))
        server.finish()
        #expect(double.queues[0].violations == [])
    }

    @Test func malformedRequestsAreAnsweredByTheTransport() throws {
        let double = try KernelDouble(queueCount: 1, depth: 2, payloadBytes: 8192, seed: 1)
        let server = try EchoServer(double)
        let queue = double.queues[0]
        #expect(
            queue.perform(write(10, lie: .payloadBytes(8193))) == .answered(error: EIO, bytes: []))
        #expect(
            queue.perform(write(10, lie: .payloadBytes(.max))) == .answered(error: EIO, bytes: []))
        // Longer than the whole request: what lies there is of an earlier one.
        #expect(
            queue.perform(write(10, lie: .payloadBytes(11))) == .answered(error: EINVAL, bytes: []))
        for length: UInt32 in [0, 39, 40, 55] {
            #expect(
                queue.perform(getattr(1, lie: .length(length)))
                    == .answered(error: EINVAL, bytes: []))
        }
        var unknown = getattr(1)
        for opcode: UInt32 in [0, 7, 19, 54, 4096, .max] {
            unknown.opcode = opcode
            #expect(queue.perform(unknown) == .answered(error: ENOSYS, bytes: []))
        }
        #expect(queue.perform(getattr(9)) == .answered(error: 0, bytes: little(9)))
        server.finish()
        #expect(double.session.faults.malformedRequests == 13)
        #expect(queue.violations == [])
    }

    @Test func duplicateAndStrayCompletionsAreIgnored() throws {
        let double = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 1)
        let server = try EchoServer(double)
        let queue = double.queues[0]
        for node: UInt64 in 1...20 {
            let lie: DoubleRequest.Lie = node % 2 == 0 ? .duplicate : .stray(node * 0x1_0000_0003)
            #expect(
                queue.perform(getattr(node, lie: lie)) == .answered(error: 0, bytes: little(node)))
        }
        server.finish()
        #expect(double.session.faults.strayCompletions == 20)
        #expect(queue.violations == [])
    }

    @Test func aFailedEntryIsGivenUpAndTheOthersGoOn() throws {
        let double = try KernelDouble(queueCount: 1, depth: 3, payloadBytes: 8192, seed: 1)
        let server = try EchoServer(double)
        let queue = double.queues[0]
        // An error before the first request would be the REGISTER's.
        #expect(queue.perform(getattr(0)) == .answered(error: 0, bytes: little(0)))
        #expect(queue.perform(getattr(1, lie: .failure(-EIO))) == .lost)
        #expect(queue.perform(getattr(2, lie: .failure(-EINVAL))) == .lost)
        #expect(queue.perform(getattr(3)) == .answered(error: 0, bytes: little(3)))
        #expect(double.session.faults.droppedEntries == 2)
        #expect(double.session.state == .running)
        // With the last entry the queue is dead, and the session must not hang on it.
        #expect(queue.perform(getattr(4, lie: .failure(-EIO))) == .lost)
        server.finish()
        #expect(double.session.state == .ended)
        #expect(queue.violations == [])
    }

    @Test func registerIsRepeatedWhenItComesTooEarly() throws {
        let double = try KernelDouble(queueCount: 1, depth: 4, payloadBytes: 8192, seed: 1)
        double.queues[0].answerRegisters(with: [-EAGAIN, 0, -EAGAIN, -EAGAIN, -EAGAIN])
        let server = try EchoServer(double)
        #expect(double.queues[0].perform(getattr(5)) == .answered(error: 0, bytes: little(5)))
        #expect(double.session.state == .running)
        #expect(double.session.faults == .none)
        server.finish()
    }

    @Test func aRefusedRegisterFallsBack() throws {
        let double = try KernelDouble(queueCount: 1, depth: 2, payloadBytes: 8192, seed: 1)
        double.queues[0].answerRegisters(with: [-ENOMEM, -EOPNOTSUPP])
        var queue = try double.serverQueue(at: 0)
        var thrown: Errno?
        do throws(Errno) { try queue.register() } catch { thrown = error }
        #expect(thrown == .noMemory)
        #expect(double.session.state == .refused)
    }

    @Test func aPartlyRefusedQueueStillServes() throws {
        let double = try KernelDouble(queueCount: 1, depth: 3, payloadBytes: 8192, seed: 1)
        double.queues[0].answerRegisters(with: [0, -ENOMEM, 0])
        let server = try EchoServer(double)
        #expect(double.queues[0].perform(getattr(6)) == .answered(error: 0, bytes: little(6)))
        #expect(double.session.state == .refused)
        server.finish()
        #expect(double.queues[0].violations == [])
    }

    @Test func aQueueThatIsNeverServedTurnsTheRingOff() throws {
        let double = try KernelDouble(queueCount: 2, depth: 2, payloadBytes: 8192, seed: 1)
        do { _ = try double.serverQueue(at: 1) }
        #expect(double.session.state == .refused)
        #expect(double.session.liveQueues == 0)
    }

    @Test func misuseTraps() async {
        await #expect(processExitsWith: .failure) {
            let double = try KernelDouble(queueCount: 1, depth: 1, payloadBytes: 8192, seed: 1)
            var queue = try double.serverQueue(at: 0)
            try queue.register()
            queue.commit(0, error: 0, bytes: 0)
        }
        await #expect(processExitsWith: .failure) {
            let double = try KernelDouble(queueCount: 1, depth: 1, payloadBytes: 8192, seed: 1)
            let client = try HostThread.start(name: "client") {
                _ = double.queues[0].perform(
                    DoubleRequest(opcode: .statfs))
            }
            var queue = try double.serverQueue(at: 0)
            try queue.register()
            while queue.wait() == 0 {}
            // No reply to the request, and on to the next.
            _ = queue.wait()
            client.join()
        }
    }
}

/// Runs `body` on so many threads at once and waits for all.
private func withClients(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    let threads = try (0..<count).map { client in
        try HostThread.start(name: "client-\(client)") { body(client) }
    }
    for thread in threads { thread.join() }
}
