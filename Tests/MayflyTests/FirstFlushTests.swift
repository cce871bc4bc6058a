import Glibc
import Mayfly
import Testing

/// A process that serves its own mounts and dies closes its files on a thread that may be a server's:
/// the kernel must have been told before that closing a file is no request.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct FirstFlushTests {
    @Test(arguments: TestTransport.allCases)
    func closingAFileIsNoRequestInMountsAndForks(_ transport: TestTransport) throws {
        try InProcessMount.with(transport) { mount in
            try TextFile.write("one", to: "\(mount.folder)/file")
            try expectNoFlush(mount.fileSystem)
            try withFork(of: mount) { _ in }
            // In a mount that nobody may write to, a file that is there is opened instead.
            try withFork(of: mount) { $0.readOnly = true }
        }
    }

    private func withFork(
        of mount: InProcessMount, _ change: @escaping (inout MountConfiguration) -> Void
    ) throws {
        try withFolder { folder in
            let fork = try mount.fileSystem.fork(at: folder, change: change)
            defer {
                try? fork.unmount(.force)
                fork.waitUntilUnmounted()
            }
            try expectNoFlush(fork)
        }
    }

    private func expectNoFlush(_ fileSystem: MountedFileSystem) throws {
        let before = try #require(flushes(fileSystem))
        #expect(before == 1)
        #expect(TextFile.text(at: "\(fileSystem.summary.mountpoint)/file") == "one")
        #expect(flushes(fileSystem) == before)
    }

    private func flushes(_ fileSystem: MountedFileSystem) -> UInt64? {
        fileSystem.report()?.operations.first { $0.name == "flush" }?.count
    }
}
