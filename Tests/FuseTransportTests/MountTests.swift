// The transport with the real kernel: the tiny file system over the ring and over /dev/fuse.

import FuseTransport
import Glibc
import MayflyTestSupport
import Synchronization
import SystemPackage
import Testing

@testable import MayflyHost

let canMount = unsafe geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0
let canMountRing = canMount && Machine.ringEnabled() == true

@Suite(
    .serialized, .timeLimit(.minutes(10)),
    .enabled(if: canMount, "needs root and /dev/fuse"))
struct MountTests {
    typealias Transport = SessionConfiguration.Transport
    static let transports: [Transport] = canMountRing ? [.device, .ring] : [.device]

    @Test(arguments: transports)
    func readsBackWhatWasWritten(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        #expect(mount.session.transportInUse.rawValue == transport.rawValue)
        #expect(mount.session.connection != 0)
        #expect(mount.isMounted)
        let file = mount.file
        #expect(shell("test -f \(file) && ! test -e \(mount.directory)/other") == 0)
        // 1 MiB at a time, and 4 MiB, which the kernel splits into requests in parallel.
        for block in ["1M", "4M"] {
            #expect(
                shell(
                    """
                    set -e; source=$(mktemp); trap 'rm $source' EXIT
                    head -c 12582912 /dev/urandom > $source
                    dd if=$source of=\(file) bs=\(block) conv=notrunc oflag=direct 2>/dev/null
                    dd if=\(file) bs=\(block) iflag=direct 2>/dev/null | cmp - $source
                    cmp \(file) $source
                    """) == 0)
        }
        #expect(mount.session.faults == .none)
        #expect(mount.session.state == (transport == .ring ? .running : .refused))
        if transport == .ring {
            // On /dev/fuse there was nothing but messages without a reply.
            let byDevice = mount.files.servedByDevice.load(ordering: .relaxed)
            #expect(byDevice == mount.files.forgets.load(ordering: .relaxed))
        }
    }

    @Test(arguments: transports, [8192, 131072])
    func smallerPayloads(_ transport: Transport, _ payload: Int) throws {
        let mount = try TinyMount(transport: transport) {
            $0.maxPayloadBytes = payload
            $0.queueDepth = 2
        }
        defer { mount.close() }
        #expect(mount.session.payloadBytes == payload)
        #expect(
            shell(
                """
                set -e; data() { head -c 3000000 /dev/zero | tr '\\0' a; }
                data > \(mount.file)
                data | cmp - \(mount.file)
                """) == 0)
        #expect(mount.session.faults == .none)
    }

    @Test func severalDeviceReaders() throws {
        let mount = try TinyMount(transport: .device, deviceQueues: 4)
        defer { mount.close() }
        let one = "dd if=\(mount.file) of=/dev/null bs=64k iflag=direct 2>/dev/null"
        #expect(shell("head -c 4194304 /dev/zero > \(mount.file)") == 0)
        #expect(shell("\(one) & \(one) & \(one) & wait") == 0)
        #expect(mount.session.faults == .none)
    }

    @Test(.enabled(if: canMountRing, "FUSE over io_uring is off"))
    func forgetsAreTakenInBatches() throws {
        let mount = try TinyMount(transport: .ring)
        defer { mount.close() }
        // A negative dentry costs no FORGET; these nodes are looked up and evicted again.
        #expect(
            shell(
                """
                cd \(mount.directory); for i in $(seq 1 400); do test -e file$i; done
                echo 2 > /proc/sys/vm/drop_caches
                """) == 0)
        #expect(mount.session.state == .running)
        // A drain that begins after the hurry has taken everything.
        let drains = mount.session.deviceDrains
        mount.session.hurryForgets()
        for _ in 0..<2000 where mount.session.deviceDrains < drains + 1 { usleep(1000) }
        #expect(mount.session.deviceDrains > drains)
        let messages = mount.files.forgets.load(ordering: .relaxed)
        #expect(messages > 0)
        #expect(messages < 200)
    }

    @Test(arguments: transports)
    func unmountEndsTheSession(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        #expect(shell("cat \(mount.file)") == 0)
        #expect(mount.unmount() == nil)
        mount.join()
        #expect(mount.session.state == .ended)
        #expect(!mount.isMounted)
        #expect(mount.unmount() == .invalidArgument)
    }

    @Test(arguments: transports)
    func somebodyElsesUmountEndsTheSession(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        #expect(shell("umount \(mount.directory)") == 0)
        mount.join()
        #expect(mount.session.state == .ended)
    }

    @Test(arguments: transports)
    func aBusyMountIsNotTakenAway(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        let held = unsafe open(mount.directory, O_RDONLY | O_DIRECTORY)
        #expect(mount.unmount() == .resourceBusy)
        #expect(mount.isMounted)
        #expect(mount.unmount(MNT_DETACH) == nil)
        #expect(!mount.isMounted)
        #expect(mount.session.state != .ended)
        Glibc.close(held)
        mount.join()
        #expect(mount.session.state == .ended)
    }

    @Test(arguments: transports)
    func forcedUnmountUnderLoad(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        let file = mount.file
        #expect(shell("head -c 8388608 /dev/zero > \(file)") == 0)
        let load = try HostThread.start(name: "load") {
            let reader = "while dd if=\(file) of=/dev/null bs=1M iflag=direct; do :; done"
            let writer = "while dd if=/dev/zero of=\(file) bs=1M count=8 conv=notrunc; do :; done"
            shell("(\(reader)) 2>/dev/null & (\(writer)) 2>/dev/null & wait", seconds: 10)
        }
        usleep(200_000)
        #expect(mount.unmount(MNT_FORCE | MNT_DETACH) == nil)
        mount.join()
        #expect(mount.session.state == .ended)
        load.join()
        #expect(!mount.isMounted)
    }

    @Test(arguments: transports)
    func abortThroughFusectlEndsTheSession(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        // A mount of fusectl of our own, as not every machine has it where it belongs.
        let aborted = shell(
            """
            set -e; control=$(mktemp -d); trap 'umount $control; rmdir $control' EXIT
            mount -t fusectl fusectl $control
            echo 1 > $control/\(mount.session.connection)/abort
            """)
        try #require(aborted == 0)
        mount.join()
        #expect(mount.session.state == .ended)
        #expect(shell("stat \(mount.file) 2>/dev/null") == 1)
    }

    @Test(arguments: transports)
    func endEndsEverything(_ transport: Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        mount.session.end()
        mount.join()
        #expect(!mount.isMounted)
        #expect(shell("test -e \(mount.file)") == 1)
    }

    @Test(.enabled(if: canMountRing, "FUSE over io_uring is off"))
    func aQueueThatIsMissingMeansDevice() throws {
        let mount = try TinyMount(transport: .automatic, refusing: 0)
        defer { mount.close() }
        #expect(shell("echo hello > \(mount.file); grep -q hello \(mount.file)") == 0)
        #expect(mount.session.transportInUse == .device)
        #expect(mount.files.servedByDevice.load(ordering: .relaxed) > 0)
        #expect(mount.unmount() == nil)
        mount.join()
        #expect(mount.session.state == .ended)
    }

    @Test(.enabled(if: canMountRing, "FUSE over io_uring is off"))
    func theRingHasAQueueForEachProcessor() throws {
        let mount = try TinyMount(transport: .ring)
        defer { mount.close() }
        let queues = Machine.possibleCPUs().count
        #expect(mount.session.queueCount == queues)
        #expect(
            mount.session.ringMemoryBytes
                == RingPlan(queueCount: queues, queueDepth: 8, payloadBytes: 1 << 20)
                .ringMemoryBytes)
    }

    @Test(arguments: transports)
    func theTraceShowsRequestsAndReplies(_ transport: Transport) async {
        let isRing = transport == .ring
        let result = await #expect(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) { [isRing = isRing as Bool] in
            let mount = try TinyMount(transport: isRing ? .ring : .device) { $0.trace = true }
            defer { mount.close() }
            shell("stat \(mount.directory)/missing >/dev/null 2>&1")
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("dev unique: 2, opcode: INIT (26), nodeid: 0, insize: 64, pid: 0"))
        let lookup = text.split(separator: "\n").first { $0.contains("opcode: LOOKUP (1)") }
        #expect(lookup?.hasPrefix(isRing ? "cqe unique: " : "dev unique: ") == true)
        #expect(lookup?.contains("nodeid: 1, insize: 8, pid: ") == true)
        #expect(text.contains(", result=-2\n"))
    }

    @Test func whatIsWrongIsSaid() throws {
        func message(_ configuration: SessionConfiguration) -> String {
            do throws(SessionError) {
                try FuseSession.mount(configuration).end()
                return "mounted"
            } catch { return error.description }
        }
        let missing = SessionConfiguration(mountpoint: "/tmp/mayfly-not-there")
        #expect(message(missing).contains("/tmp/mayfly-not-there"))
        #expect(message(missing).contains("No such file or directory"))
        let file = SessionConfiguration(mountpoint: "/etc/passwd")
        #expect(message(file) == "mount point /etc/passwd is not a directory")
        let directory = try makeTemporaryFolder("test")
        defer { unsafe _ = rmdir(directory) }
        var wrong = SessionConfiguration(mountpoint: directory)
        wrong.queueDepth = 0
        #expect(message(wrong) == "queue depth 0 is not within 1 and 1024")
        // mount(2) itself refuses this one; nobody may be left waiting for INIT.
        var badType = SessionConfiguration(mountpoint: directory)
        badType.rootMode = 0o755
        #expect(message(badType).contains("mount options"))
    }
}
