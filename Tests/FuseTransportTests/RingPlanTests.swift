// How large the ring is, and what the machine is taken for.

import FuseTransport
import MayflyHost
import Testing

@Suite struct RingPlanTests {
    private func plan(
        queues: Int = 2, depth: Int? = nil, payload: Int? = nil, budget: UInt64 = 1 << 40,
        pageLimit: Int = 256
    ) throws(SessionError) -> RingPlan {
        try RingPlan.make(
            queueCount: queues, depth: depth, payloadBytes: payload, budgetBytes: budget,
            pageLimit: pageLimit, pageBytes: 4096)
    }

    @Test func defaults() throws {
        let plan = try plan()
        #expect(plan == RingPlan(queueCount: 2, queueDepth: 8, payloadBytes: 1 << 20))
        // Payloads, and one page of headers per queue.
        #expect(plan.ringMemoryBytes == 2 * (8 << 20) + 2 * 4096)
    }

    @Test func memoryCountsWholePagesOfHeaders() {
        func bytes(_ depth: Int) -> UInt64 {
            RingPlan(queueCount: 1, queueDepth: depth, payloadBytes: 8192).ringMemoryBytes
        }
        #expect(bytes(1) == 8192 + 4096)
        #expect(bytes(8) == 8 * 8192 + 4096)
        #expect(bytes(9) == 9 * 8192 + 8192)
        #expect(bytes(1024) == 1024 * 8192 + 1024 * 512)
        let large = RingPlan(queueCount: 4096, queueDepth: 1024, payloadBytes: 1 << 20)
        #expect(large.ringMemoryBytes == 4096 * (1024 << 20 + 1024 * 512))
    }

    @Test func depthGivesWayBeforeThePayload() throws {
        let one = try plan().ringMemoryBytes
        #expect(try plan(budget: one).queueDepth == 8)
        #expect(try plan(budget: one - 1).queueDepth == 4)
        let least = RingPlan(queueCount: 2, queueDepth: 1, payloadBytes: 1 << 20).ringMemoryBytes
        #expect(try plan(budget: least).payloadBytes == 1 << 20)
        #expect(
            try plan(budget: least - 1)
                == RingPlan(
                    queueCount: 2, queueDepth: 1, payloadBytes: 512 << 10))
        let smallest = RingPlan(queueCount: 2, queueDepth: 1, payloadBytes: 128 << 10)
        #expect(try plan(budget: smallest.ringMemoryBytes) == smallest)
        #expect(throws: SessionError.self) { try plan(budget: smallest.ringMemoryBytes - 1) }
        #expect(throws: SessionError.self) { try plan(budget: 0) }
    }

    /// Docs/Scaling.md has this as a table: CPUs, GiB of memory, and the depth and MiB of payloads
    /// that come of them.
    @Test(arguments: [
        [2, 64, 8, 16], [16, 64, 8, 128], [64, 64, 8, 512], [256, 64, 4, 1024],
        [2, 16, 8, 16], [16, 16, 8, 128], [64, 16, 4, 256], [256, 16, 1, 256],
    ])
    func largeMachines(_ row: [Int]) throws {
        let plan = try plan(
            queues: row[0], budget: RingPlan.budgetBytes(usable: UInt64(row[1]) << 30))
        #expect(
            plan == RingPlan(queueCount: row[0], queueDepth: row[2], payloadBytes: 1 << 20))
        #expect(plan.ringMemoryBytes == UInt64(row[3]) << 20 + UInt64(row[0]) * 4096)
    }

    @Test func theBudgetHasBounds() {
        #expect(RingPlan.budgetBytes(usable: 0) == 4 << 20 + 16 << 10)
        #expect(RingPlan.budgetBytes(usable: 1 << 50) == 1 << 30 + 4 << 20)
    }

    @Test func whatWasAskedForBeatsTheBudget() throws {
        #expect(try plan(depth: 64, budget: 1 << 30).queueDepth == 64)
        let both = try plan(depth: 1024, payload: 1 << 20, budget: 1)
        #expect(both.queueDepth == 1024)
        #expect(both.payloadBytes == 1 << 20)
        // What was left open still shrinks.
        #expect(try plan(depth: 4, budget: 1).payloadBytes == 128 << 10)
        #expect(try plan(payload: 8192, budget: 1).queueDepth == 1)
    }

    @Test func rangesAreChecked() throws {
        for depth in [Int.min, -1, 0, 1025, Int.max] {
            #expect(throws: SessionError.self) { try plan(depth: depth) }
        }
        for payload in [Int.min, 0, 4096, 8191, 8193, 12289, (1 << 20) + 4096] {
            #expect(throws: SessionError.self) { try plan(payload: payload) }
        }
        #expect(try plan(depth: 1).queueDepth == 1)
        #expect(try plan(depth: 1024).queueDepth == 1024)
        #expect(try plan(payload: 8192).payloadBytes == 8192)
        #expect(try plan(payload: 12288).payloadBytes == 12288)
    }

    @Test func theKernelsPageLimitIsKept() throws {
        #expect(try plan(pageLimit: 64).payloadBytes == 256 << 10)
        #expect(try plan(payload: 1 << 20, pageLimit: 32).payloadBytes == 128 << 10)
        #expect(try plan(pageLimit: 0).payloadBytes == 8192)
        #expect(try plan(pageLimit: 65535).payloadBytes == 1 << 20)
    }
}

@Suite struct MachineTests {
    @Test(
        arguments: [
            ("0-1\n", [0, 1]), ("0\n", [0]), ("0,2-3,8\n", [0, 2, 3, 8]), ("", []), ("\n", []),
            ("3-1", []), ("x", []), ("0-99999999", []), ("-1", [1]),
        ] as [(String, [Int])])
    func cpuLists(text: String, cpus: [Int]) {
        #expect(Machine.parseCPUList(text) == cpus)
    }

    @Test func thereIsACPU() {
        #expect(!Machine.possibleCPUs().isEmpty)
    }

    @Test(arguments: [
        ("/tmp/a", "/tmp/a"), ("/tmp/a\\040b", "/tmp/a b"), ("\\134", "\\"), ("\\0", "\\0"),
        ("a\\999", "a\\999"),
    ])
    func mountPathsAreUnescaped(text: String, path: String) {
        #expect(MountTable.unescaped(Array(text.utf8)[...]) == Array(path.utf8))
    }
}
