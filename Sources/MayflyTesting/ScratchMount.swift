// A folder in memory for the time of a test.

import Glibc
public import Mayfly

/// Mounts a fresh Mayfly file system, calls `body` with its root, and unmounts it.
///
/// The mount is this process's own: its files are gone afterwards whatever `body` did, and also
/// when it throws. Tests that run in parallel each get their own.
///
///     try await withScratchMount(sizeBytes: 64 << 20) { root in
///         try await run("mytool", in: root)
///     }
///
/// - Parameters:
///   - sizeBytes: limit of content in bytes; writing more fails with `ENOSPC`.
///   - inodes: limit of files, directories and further links.
///   - configure: changes whatever else is to be different from the defaults.
///   - body: gets the absolute path of the mount's root, a directory of mode 1777.
/// - Returns: what `body` returns.
/// - Throws: `MountError` when the mount cannot be had (no root, no /dev/fuse; its text says what to
///   do), and what `body` throws.
public func withScratchMount<Result: Sendable>(
    sizeBytes: UInt64 = 256 << 20, inodes: UInt64 = 65_536,
    configure: (inout MountConfiguration) -> Void = { _ in },
    _ body: (String) async throws -> Result
) async throws -> Result {
    let folder = try temporaryFolder()
    defer { unsafe rmdir(folder) }
    var configuration = MountConfiguration(mountpoint: folder)
    configuration.sizeBytes = sizeBytes
    configuration.inodes = inodes
    configure(&configuration)
    let mount = try MountedFileSystem(configuration)
    // A file that `body` has left open must not keep the test from ending: detached and aborted.
    defer {
        try? mount.unmount(lazy: true, force: true)
        mount.waitUntilUnmounted()
    }
    return try await body(folder)
}

private func temporaryFolder() throws(MountError) -> String {
    var template = Array("/tmp/mayfly-test-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else {
        throw MountError(.system, "no folder can be made under /tmp: look at its permissions")
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}
