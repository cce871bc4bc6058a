import Testing

@testable import Mayfly
@testable import MayflyHost

/// The defaults, from memory sizes and cgroup files that are made up.
@Suite struct SystemMemoryTests {
    static let gibibyte: UInt64 = 1 << 30

    @Test func defaultsAreTmpfs() {
        let memory = SystemMemory(physicalBytes: 8 * Self.gibibyte)
        #expect(memory.defaultSizeBytes == 4 * Self.gibibyte)
        #expect(memory.defaultInodes == 1 << 20)
    }

    @Test func aLimitBoundsSizeAndInodes() {
        let memory = SystemMemory(
            physicalBytes: 8 * Self.gibibyte, limitBytes: Self.gibibyte + 4096)
        #expect(memory.usableBytes == Self.gibibyte + 4096)
        #expect(memory.defaultSizeBytes == Self.gibibyte / 2)
        #expect(memory.defaultInodes == 1 << 17)
        let loose = SystemMemory(physicalBytes: Self.gibibyte, limitBytes: 9 * Self.gibibyte)
        #expect(loose.usableBytes == Self.gibibyte)
    }

    @Test func limitsFillInWhatIsNotGiven() {
        let memory = SystemMemory(physicalBytes: 8 * Self.gibibyte, limitBytes: 2 * Self.gibibyte)
        var configuration = MountConfiguration(mountpoint: "/mnt")
        #expect(configuration.limits(in: memory) == (Self.gibibyte, 1 << 18))
        configuration.sizeBytes = 4096
        configuration.inodes = 7
        #expect(configuration.limits(in: memory) == (4096, 7))
        configuration.sizeBytes = 0
        configuration.inodes = 0
        #expect(configuration.limits(in: memory) == (2 * Self.gibibyte, 2 << 20))
    }

    /// An empty mount that is small has few inodes, and never too few.
    @Test func inodesFollowTheSize() {
        let memory = SystemMemory(physicalBytes: 32 * Self.gibibyte)
        var configuration = MountConfiguration(mountpoint: "/mnt")
        #expect(configuration.limits(in: memory).inodes == 4 << 20)
        for (size, inodes) in [
            (4096, 1 << 18), (256 << 20, 1 << 18), (Self.gibibyte, 1 << 20),
            (64 * Self.gibibyte, 4 << 20), (0, 4 << 20),
        ] as [(UInt64, UInt64)] {
            configuration.sizeBytes = size
            #expect(configuration.limits(in: memory).inodes == inodes, "\(size)")
            #expect(configuration.limits(in: memory, isEmpty: false).inodes == 4 << 20)
        }
        configuration.inodes = 9
        #expect(configuration.limits(in: memory).inodes == 9)
    }

    /// What each set of files limits memory to.
    @Test(
        arguments: [
            ([:], nil),
            (["/proc/self/cgroup": "0::/\n"], nil),
            (["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "4096\n"], 4096),
            (["/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n"], nil),
            (
                [
                    "/proc/self/cgroup": "0::/a/b\n",
                    "/sys/fs/cgroup/a/b/memory.max": "8192\n",
                    "/sys/fs/cgroup/a/memory.max": "4096\n",
                ], 4096
            ),
            (
                [
                    "/proc/self/cgroup": "9:name=systemd:/x\n4:cpu,memory:/a:b\n0::/\n",
                    "/sys/fs/cgroup/memory/a:b/memory.limit_in_bytes": "12288\n",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                ], 12288
            ),
            (["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "rubbish\n"], nil),
            (["/proc/self/cgroup": "rubbish\n"], nil),
        ] as [([String: String], UInt64?)])
    func theTightestCgroupLimitCounts(_ files: [String: String], _ limit: UInt64?) {
        #expect(MachineMemory.cgroupLimitBytes { files[$0] } == limit)
    }

    @Test func thisMachineHasMemory() {
        let memory = SystemMemory.current()
        #expect(memory.physicalBytes >= 64 << 20)
        #expect(memory.defaultSizeBytes % 4096 == 0)
    }
}
