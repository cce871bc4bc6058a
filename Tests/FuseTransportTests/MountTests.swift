// The transport with the real kernel: the tiny file system over the ring and over /dev/fuse.

import CFuseKernel
import FuseTransport
import Glibc
import Synchronization
import SystemPackage
import Testing

let canMount = unsafe geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0
let canMountRing = canMount && Machine.ringEnabled() == true

@Suite(
    .serialized, .timeLimit(.minutes(2)),
    .enabled(if: canMount, "needs root and /dev/fuse"))
struct MountTests {
    static let transports: [SessionConfiguration.Transport] =
        canMountRing ? [.device, .ring] : [.device]

    @Test(arguments: transports)
    func readsBackWhatWasWritten(_ transport: SessionConfiguration.Transport) throws {
        let mount = try TinyMount(transport: transport)
        defer { mount.close() }
        #expect(mount.session.transportInUse.rawValue == transport.rawValue)
        let file = mount.file
        #expect(shell("test -f \(file) && ! test -e \(mount.directory)/other") == 0)
        #expect(
            shell(
                """
                set -e; cd /tmp; head -c 4194304 /dev/urandom > \(mount.directory).source
                dd if=\(mount.directory).source of=\(file) bs=1M conv=notrunc oflag=direct 2>/dev/null
                dd if=\(file) bs=1M iflag=direct 2>/dev/null | cmp - \(mount.directory).source
                cmp \(file) \(mount.directory).source
                rm \(mount.directory).source
                """) == 0)
        #expect(mount.session.faults == WireFaults.none)
        if transport == .ring {
            #expect(
                mount.files.served.load(ordering: .relaxed)
                    > mount.files.servedByDevice.load(ordering: .relaxed))
        }
    }
}
