import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyHost

/// What counts as memory that can still be had.
@Suite struct MemoryHeadroomTests {
    private static let machine = "MemTotal: 8000000 kB\nMemAvailable: 1000000 kB\nSwapFree: 24 kB\n"
    private static let memory = MachineMemory(physicalBytes: 1 << 30)

    private func bytes(
        _ files: [String: String], memory: MachineMemory = Self.memory, processors: Int = 2
    ) throws -> Int64? {
        let root = try makeTemporaryFolder("headroom")
        defer { _ = try? ChildProcess.run(["rm", "-rf", root]) }
        for (path, text) in files {
            var folder = root
            for part in path.split(separator: "/").dropLast() {
                folder += "/\(part)"
                unsafe _ = mkdir(folder, 0o755)
            }
            let file = unsafe open(root + path, O_WRONLY | O_CREAT, 0o644)
            try #require(unsafe write(file, text, text.utf8.count) == text.utf8.count)
            close(file)
        }
        return MemoryHeadroom(memory: memory, root: root, processors: processors).bytes
    }

    @Test func theMachinesWithoutTheReserve() throws {
        #expect(try bytes(["/proc/meminfo": Self.machine]) == 1_000_024 * 1024 - (16 << 20))
        #expect(try bytes(["/proc/meminfo": "MemAvailable: 5 kB\n"]) == 5 * 1024 - (16 << 20))
        #expect(try bytes([:]) == nil)
    }

    @Test func theTightestCgroupsWithItsCache() throws {
        let unified = [
            "/proc/meminfo": Self.machine, "/proc/self/cgroup": "0::/a/b\n",
            "/sys/fs/cgroup/a/b/memory.max": "max\n",
            "/sys/fs/cgroup/a/memory.max": "200000000\n",
            "/sys/fs/cgroup/a/memory.current": "150000000\n",
            "/sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 30000000\nactive_file 4\n",
        ]
        #expect(try bytes(unified) == 80_000_004 - (16 << 20))
        let old = [
            "/proc/meminfo": Self.machine, "/proc/self/cgroup": "4:memory:/a\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100000000\n",
            "/sys/fs/cgroup/memory/a/memory.usage_in_bytes": "200000000\n",
            "/sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 7\n",
        ]
        // Below 0: what is missing.
        #expect(try bytes(old) == 7 - 100_000_000 - (16 << 20))
    }

    /// Each thread may have begun a chunk; but an eighth of the memory is enough for all of them.
    @Test func theReserveGrowsWithTheProcessors() throws {
        let files = ["/proc/meminfo": "MemAvailable: 1048576 kB\n"]
        #expect(try bytes(files, processors: 32) == 1 << 30 - 64 << 20)
        #expect(try bytes(files, processors: 1024) == 1 << 30 - 1 << 27)
    }
}
