// A mount for the time of a closure.

public import Mayfly
internal import MayflyHost

/// Mounts a fresh file system, calls `body` with its root, and unmounts it.
///
/// The mount is this process's own: its files are gone afterwards whatever `body` did, and also
/// when it throws or the process dies. Tests that run in parallel each get their own.
///
///     try await withScratchMount(sizeBytes: 64 << 20) { root in
///         try await run("mytool", in: root)
///     }
///
/// - Parameters:
///   - image: what it begins with, shared with every other mount of it; nil: nothing.
///   - sizeBytes: limit of content in bytes; writing more fails with `ENOSPC`. Nil: as
///     ``ScratchMount/make(from:sizeBytes:inodes:configure:)`` has it, as `inodes`.
///   - inodes: limit of files, directories and further links.
///   - configure: changes whatever else is to be different from the defaults.
///   - body: gets the absolute path of the mount's root. The mount itself, for snapshots, faults
///     and all else, is ``ScratchMount/current``.
/// - Returns: what `body` returns.
/// - Throws: `MountError` when the mount cannot be had (its text says what to do), and what `body`
///   throws.
public func withScratchMount<Result: Sendable>(
    from image: ScratchImage? = nil, sizeBytes: UInt64? = nil, inodes: UInt64? = nil,
    configure: (inout MountConfiguration) -> Void = { _ in },
    _ body: (String) async throws -> Result
) async throws -> Result {
    var configuration = ScratchMount.configuration(
        from: try await image?.file(), sizeBytes: sizeBytes, inodes: inodes)
    configure(&configuration)
    let mount = try await onOwnThread { [configuration] () throws(MountError) in
        try ScratchMount.make(configuration)
    }
    let result: Swift.Result<Result, any Error>
    do {
        result = .success(
            try await ScratchMount.$current.withValue(mount) { try await body(mount.path) })
    } catch {
        result = .failure(error)
    }
    try await onOwnThread { () throws(MountError) in mount.end() }
    return try result.get()
}

/// Calls a function that blocks on a thread of its own, so that other tasks go on meanwhile.
private func onOwnThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws(MountError) -> Result
) async throws(MountError) -> Result {
    let result: Swift.Result<Result, MountError> = await withCheckedContinuation { continuation in
        let answer: @Sendable () -> Void = {
            do throws(MountError) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        // Where the system has no thread to give, the caller's must do.
        guard let thread = try? HostThread.start(name: "mayfly-scratch", answer) else {
            return answer()
        }
        thread.detach()
    }
    return try result.get()
}
