import Glibc
import Mayfly
import MayflyTestSupport
import Synchronization
import Testing

/// How a mount of this process ends: by its object, by a call, and with several who wait for it.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct MountLifeTests {
    @Test(arguments: TestTransport.allCases)
    func droppingTheLastReferenceUnmounts(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            var mount: MountedFileSystem? = try mounted(folder, transport)
            #expect(mount != nil)
            try TextFile.write("one", to: "\(folder)/file")
            let held = unsafe open("\(folder)/file", O_RDONLY)
            try #require(held >= 0)
            defer { close(held) }
            mount = nil
            #expect(isEmptyAndNoMount(folder))
            // Files that were open fail from then on.
            #expect(fchmod(held, 0o600) == -1)
        }
    }

    /// All return, and for each of them everything is freed by then.
    @Test(arguments: TestTransport.allCases)
    func severalMayWaitForTheEnd(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let mount = try mounted(folder, transport)
            let ended = Marks()
            let waiting = (0..<4).map { _ in
                PosixThread {
                    mount.waitUntilUnmounted()
                    if isEmptyAndNoMount(folder) { ended.count.add(1, ordering: .relaxed) }
                }
            }
            usleep(50_000)
            #expect(ended.count.load(ordering: .relaxed) == 0)
            try mount.unmount()
            for thread in waiting { #expect(try thread.join(timeoutSeconds: 60)) }
            #expect(ended.count.load(ordering: .relaxed) == 4)
            mount.waitUntilUnmounted()
        }
    }

    @Test func theModeSaysWhatBecomesOfAMountInUse() throws {
        try withFolder { folder in
            let mount = try mounted(folder, .device)
            let held = unsafe open(folder, O_RDONLY | O_DIRECTORY)
            #expect(throws: MountError.self) { try mount.unmount() }
            #expect(!isEmptyAndNoMount(folder))
            try mount.unmount(.lazy)
            #expect(isEmptyAndNoMount(folder))
            // It is served until its last file is closed.
            #expect(unsafe faccessat(held, ".", F_OK, 0) == 0)
            close(held)
            mount.waitUntilUnmounted()
        }
    }

    private final class Marks: Sendable { let count = Atomic<Int>(0) }

    private func mounted(_ folder: String, _ transport: TestTransport) throws -> MountedFileSystem {
        var configuration = MountConfiguration(mountpoint: folder)
        configuration.sizeBytes = 64 << 20
        configuration.transport = transport == .ring ? .ring : .device
        return try MountedFileSystem(configuration)
    }
}

private func isEmptyAndNoMount(_ folder: String) -> Bool {
    var status = stat()
    var above = stat()
    guard unsafe stat(folder, &status) == 0, unsafe stat("\(folder)/..", &above) == 0 else {
        return false
    }
    return status.st_dev == above.st_dev
}
