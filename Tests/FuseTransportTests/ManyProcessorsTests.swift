// Machines with more processors than a cpu_set_t has bits.

import CMayflySystem
import FuseTransport
import Glibc
import Testing

@testable import FuseTransport
@testable import MayflyHost

@Suite struct ManyProcessorsTests {
    /// The kernel judges the number, whatever it is.
    @Test func pinning() throws {
        let thread = try HostThread.start(cpu: 5000, name: "far") {
            #expect(csys_pin_to_cpu(1023) == EINVAL && csys_pin_to_cpu(1024) == EINVAL)
            #expect(csys_pin_to_cpu(8191) == EINVAL)
            #expect(csys_pin_to_cpu(0) == 0)
        }
        thread.join()
    }

    @Test func queues() throws {
        let plan = try RingPlan.make(
            queueCount: 2048, depth: nil, payloadBytes: nil, budgetBytes: 1 << 30, pageLimit: 256,
            pageBytes: 4096)
        #expect(plan.queueCount == 2048 && plan.ringMemoryBytes <= 1 << 30)
    }

    /// Where what is mounted has too few shards it is said why, and /dev/fuse serves.
    @Test func moreThanThereAreShards() {
        var configuration = SessionConfiguration(mountpoint: "/")
        configuration.mostQueues = 1022
        let refusal = FuseSession.ringRefusal(configuration, queueCount: 1023)
        #expect(
            refusal == "1023 processors need a queue each, and what is mounted has room for 1022: "
                + "build the image anew on this machine")
        let other = FuseSession.ringRefusal(configuration, queueCount: 1022)
        #expect(other?.contains("room") != true)
    }
}
