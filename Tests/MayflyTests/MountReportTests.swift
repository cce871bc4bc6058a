import CMayflySystem
import Glibc
import SystemPackage
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

/// What users read: errors, the lines at mount, and what is found in /proc.
@Suite struct MountReportTests {
    private func summary(
        _ transport: MountSummary.Transport, _ absence: MountSummary.RingAbsence? = nil
    ) -> MountSummary {
        MountSummary(
            mountpoint: "/mnt", transport: transport, ringAbsence: absence, queueCount: 2,
            queueDepth: 8, payloadBytes: 1 << 20, ringMemoryBytes: 16 << 20, sizeBytes: 1 << 30,
            inodes: 1000, maximumMemoryBytes: (1 << 30) + (48 << 20))
    }

    @Test func theRingsLine() {
        #expect(
            summary(.ring).transportLine
                == "/mnt is mounted over io_uring: 2 queues, 8 entries of 1 MiB each, "
                + "16 MiB of ring memory")
    }

    @Test func aRingThatIsOffComesWithTheCommandThatTurnsItOn() {
        #expect(
            summary(.device, .switchedOff).transportLine
                == "/mnt is mounted over /dev/fuse, 16 MiB of buffers: the ring is off, turn it "
                + "on with `echo 1 > /sys/module/fuse/parameters/enable_uring`")
        #expect(summary(.device, .failed("x")).transportLine.hasSuffix("set up (x)"))
        #expect(summary(.device, .notInKernel).transportLine.hasSuffix("Linux 6.14 or later"))
    }

    @Test func theMemoryLineAddsUp() {
        #expect(
            summary(.ring).memoryLine
                == "it takes 16 MiB of memory now, and more as it is filled, at most 1.05 GiB: 1 GiB size, "
                + "32 MiB metadata of 1000 "
                + "inodes and fragments, 16 MiB ring")
        var unlimited = summary(.device)
        unlimited.sizeBytes = .max
        #expect(unlimited.memoryLine.contains(" 0 B metadata"))
    }

    @Test func errorsOfTheMountCallSayWhatToDo() {
        #expect(MountError.mounting("/m", .notPermitted).message.contains("run as root"))
        #expect(MountError.mounting("/m", .notPermitted).exitCode == ExitStatus.usage)
        #expect(MountError.noDevice(.noSuchFileOrDirectory).message.contains("`modprobe fuse`"))
        #expect(MountError.noDevice(.permissionDenied).message.contains("run as root"))
        #expect(MountError.mounting("/m", .invalidArgument).exitCode == ExitStatus.mount)
        #expect(MountError.noMemory("the region", bytes: 1 << 30).exitCode == ExitStatus.system)
    }

    @Test(arguments: [
        ("CapEff:\t0000000000200000\n", true), ("Name:\tx\nCapEff:\t000001ffffffffff\n", true),
        ("CapEff:\t0000000000000000\n", false), ("CapEff:\t00000000ffdfffff\n", false),
    ])
    func mountingTakesACapability(_ status: String, _ may: Bool) {
        #expect(MountConfiguration.mayMount(status: status) == may)
    }

    @Test(arguments: [
        (0, "CapEff:\t000001ffffffffff\n", true), (0, "CapEff:\t000000000000001f\n", true),
        (1000, "CapEff:\t000001ffffffffff\n", false), (0, "CapEff:\t000000000000001d\n", false),
    ])
    func whomModesRefuseNothing(_ user: UInt32, _ status: String, _ isSuperuser: Bool) {
        #expect(MountConfiguration.isSuperuser(user, status: status) == isSuperuser)
    }

    @Test(
        arguments: [
            ("Y\n", .on), ("N\n", .off), ("1", .on), ("", .absent), (nil, .absent),
        ] as [(String?, RingSwitch)])
    func theRingsSwitch(_ text: String?, _ state: RingSwitch) {
        #expect(RingSwitch.parsed(text) == state)
    }

    @Test func theMountTableIsRead() {
        let table = MountTable(
            parsing: """
                22 1 0:21 / /proc rw,nosuid - proc proc rw
                63 43 0:39 / /mnt/a\\040b rw,relatime shared:3 master:1 - fuse.mayfly my\\134fly rw,user_id=7
                64 43 0:40 / /mnt/a\\040b rw,relatime - fuse mayfly rw
                65 43 0:41 / /mnt/other rw - fuse.sshfs host: rw
                broken line
                """)
        #expect(table.entries.count == 4)
        #expect(table.entries[1].mountpoint == "/mnt/a b")
        #expect(table.entries[1].source == "my\\fly")
        #expect(table.entries[1].device == "0:39")
        #expect(table.entries[1].mountID == 63 && table.entries[1].parentID == 43)
        #expect(table.entries[1].root == "/")
        #expect(table.entries[1].connection == 39)
        #expect(table.entries.map(\.userID) == [nil, 7, nil, nil])
        #expect(table.entry(at: "/mnt/a b")?.device == "0:40")
        #expect(table.entry(at: "/mnt") == nil)
        #expect(table.entries.map(\.isOwn) == [false, true, true, false])
    }

    @Test func namesAreFollowedToAMountAndNoFurther() throws {
        let place = try TemporaryFolder()
        let folder = place.path
        let table = MountTable(
            parsing: """
                22 1 0:21 / / rw - ext4 disk rw
                23 22 0:39 / \(folder)/real rw - fuse.mayfly mayfly rw
                24 23 0:40 / \(folder)/real/inner rw - tmpfs tmpfs rw
                """)
        for (name, target) in [("link", "real"), ("end", "end"), ("absolute", "\(folder)/link")] {
            try #require(unsafe symlink(target, "\(folder)/\(name)") == 0)
        }
        for (path, expected) in [
            ("link", "real"), ("link/a/./b/../c", "real/a/c"), ("absolute/x", "real/x"),
            ("link/../absolute//", "real"), ("real/inner/x", "real/inner/x"), ("none/x", "none/x"),
        ] {
            #expect(table.place(of: "\(folder)/\(path)") == "\(folder)/\(expected)")
        }
        #expect(table.place(of: "\(folder)/end") == nil)
        #expect(table.place(of: "/../..") == "/")
        #expect(table.entry(around: "\(folder)/real/a")?.device == "0:39")
        #expect(table.entry(around: "\(folder)/real/inner/a")?.device == "0:40")
        #expect(table.entry(around: "\(folder)/realer")?.device == "0:21")
        #expect(table.entry(around: "/")?.device == "0:21")
        let here = try #require(HostFile.link(at: "/proc/self/cwd"))
        #expect(table.place(of: "./x") == "\(here)/x")
    }

    @Test func onlyAFewHoldersAreNamed() {
        let holders = (1...7).map { MountHolder(processID: $0, command: "c\($0)") }
        #expect(MountHolders.described([]) == nil)
        #expect(MountHolders.described([holders[0]]) == "1 (c1)")
        #expect(MountHolders.described(holders, limit: 2) == "1 (c1), 2 (c2) and 5 more")
    }

    /// What this process holds it has from its caller, who is named in its place.
    @Test func theCallerHoldsItsRoot() throws {
        let root = try #require(MountHolders.uses(of: getpid()).dropFirst().first)
        let holders = MountHolders.of(mountID: root.id, device: nil)
        #expect(holders.contains { $0.processID == getppid() })
        #expect(!holders.contains { $0.processID == getpid() })
    }
}
