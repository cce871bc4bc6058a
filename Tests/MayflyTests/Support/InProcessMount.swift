// A mount served by this process, used by children: the serving threads can then always answer.

import Glibc
import Mayfly
import Testing

/// A file system mounted on a fresh folder, and Python in other processes that uses it.
struct InProcessMount {
    let fileSystem: MountedFileSystem
    let folder: String

    /// Mounts, calls `body`, unmounts.
    static func with<Result>(
        _ transport: TestTransport, sizeBytes: UInt64 = 512 << 20,
        configure: (inout MountConfiguration) -> Void = { _ in },
        _ body: (InProcessMount) throws -> Result
    ) throws -> Result {
        try transport.require()
        return try withFolder { folder in
            var configuration = MountConfiguration(mountpoint: folder)
            configuration.sizeBytes = sizeBytes
            configuration.transport = transport == .ring ? .ring : .device
            configure(&configuration)
            let mount = InProcessMount(
                fileSystem: try MountedFileSystem(configuration), folder: folder)
            defer {
                try? mount.fileSystem.unmount(.force)
                mount.fileSystem.waitUntilUnmounted()
            }
            return try body(mount)
        }
    }

    /// Runs Python with the mount as working directory; fails the test when it fails.
    func python(_ script: String, seconds: Int = 60) throws {
        let head = "import errno, mmap, os, sys\nos.chdir(sys.argv[1])\n"
        // Without site packages, and bare of the launchers that some machines put in front.
        let outcome = try ChildProcess.run(
            [Self.interpreter, "-ISc", head + script, folder], seconds: seconds)
        try #require(outcome.status == 0, "\(outcome.report)")
    }

    static let interpreter: String =
        unsafe access("/usr/bin/python3", X_OK) == 0 ? "/usr/bin/python3" : "python3"

    /// Makes the kernel forget every name and page of this mount that nobody uses.
    ///
    /// - Source: fs/super.c, `reconfigure_super()`, which shrinks the dentry cache first.
    func forgetCaches() throws {
        let result = unsafe mount("none", folder, nil, UInt(MS_REMOUNT), nil)
        try #require(result == 0, "remount: errno \(errno)")
    }
}
