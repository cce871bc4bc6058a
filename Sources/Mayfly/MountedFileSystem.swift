// A stand-in: the place where store and transport meet.

/// A file system in memory, mounted and answering while this object lives.
public final class MountedFileSystem: Sendable {
    public let summary: MountSummary

    /// Mounts; requests are answered when this returns.
    public init(_ configuration: MountConfiguration) throws(MountError) {
        var configuration = configuration
        try configuration.check()
        throw MountError(.mount, "this build of mayfly has no file system in it")
    }

    /// Takes the mount out of the tree.
    public func unmount(lazy: Bool, force: Bool) throws(MountError) {
        try Unmounting.unmount(summary.mountpoint, lazy: lazy, force: force)
    }

    /// Returns once the mount is gone, whoever ended it, and everything is freed.
    public func waitUntilUnmounted() {}

    public func statistics() -> MountStatistics { MountStatistics() }
}
