import Testing

@testable import Mayfly

/// What counts as memory that can still be had.
@Suite struct MemoryHeadroomTests {
    private static let machine = "MemTotal: 8000000 kB\nMemAvailable: 1000000 kB\nSwapFree: 24 kB\n"
    private static let memory = SystemMemory(physicalBytes: 1 << 30)

    private func bytes(_ files: [String: String]) -> UInt64? {
        MemoryHeadroom(memory: Self.memory, contents: { files[$0] }).bytes { files[$0] }
    }

    @Test func theMachinesWithoutTheReserve() {
        #expect(bytes(["/proc/meminfo": Self.machine]) == 1_000_024 * 1024 - (16 << 20))
        #expect(bytes(["/proc/meminfo": "MemAvailable: 5 kB\n"]) == 0)
        #expect(bytes([:]) == nil)
    }

    @Test func theTightestCgroupsWithItsCache() {
        let unified = [
            "/proc/meminfo": Self.machine, "/proc/self/cgroup": "0::/a/b\n",
            "/sys/fs/cgroup/a/b/memory.max": "max\n",
            "/sys/fs/cgroup/a/memory.max": "200000000\n",
            "/sys/fs/cgroup/a/memory.current": "150000000\n",
            "/sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 30000000\nactive_file 4\n",
        ]
        #expect(bytes(unified) == 80_000_004 - (16 << 20))
        let old = [
            "/proc/meminfo": Self.machine, "/proc/self/cgroup": "4:memory:/a\n",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100000000\n",
            "/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "200000000\n",
            "/sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 7\n",
        ]
        #expect(bytes(old) == 0)
    }
}
