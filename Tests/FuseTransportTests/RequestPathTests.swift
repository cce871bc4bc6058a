// A loop that the compiler has proved to take no lock serves like any other.

import FuseTransport
import Glibc
import MayflyTestSupport
import Testing

@testable import MayflyHost

@Suite(.timeLimit(.minutes(5)))
struct RequestPathTests {
    @Test func aLoopWithoutLocksServes() throws {
        let double = try KernelDouble(queueCount: 1, depth: 2, payloadBytes: 8192, seed: 1)
        let thread = try HostThread.start(
            cpu: 0, name: "serve", with: double.serverQueue(at: 0)
        ) { moved in
            var queue = moved
            if (try? queue.register()) != nil { serveWithoutLocks(&queue) }
        }
        let name = DoubleRequest(opcode: .lookup, payload: Array("name\0".utf8))
        #expect(
            double.queues[0].perform(name)
                == .answered(error: 0, bytes: [4, 0, 0, 0, 0, 0, 0, 0]))
        let unended = DoubleRequest(opcode: .lookup, payload: Array("name".utf8))
        #expect(double.queues[0].perform(unended) == .answered(error: EINVAL, bytes: []))
        double.unmount()
        thread.join()
        #expect(double.queues[0].violations == [])
    }
}
