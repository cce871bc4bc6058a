// A mount that a test has to itself.

internal import CMayflyTesting
internal import Glibc
public import Mayfly
internal import MayflyHost
internal import Synchronization

/// A file system in memory that one test has to itself.
///
/// It is served by threads of the test process, so that a test takes snapshots, rolls back and
/// forks by calls; programs that the test starts see it at ``path`` as any other folder. Any number
/// of them may be there at once.
///
/// Requests take the way through /dev/fuse: where a process that serves itself over the ring is
/// killed, Linux 6.18 can leave it as a zombie that nothing ends, in the middle of a request to its
/// own dead thread. Set `transport` in `configure` to `.automatic` where speed matters more.
///
/// It ends with ``end()``, with the last reference to it, or with the process: what a test run
/// leaves that crashes or is killed is unmounted and removed at once by a small process that
/// watches it.
///
/// In XCTest:
///
///     final class ToolTests: XCTestCase {
///         var mount: ScratchMount!
///
///         override func setUpWithError() throws { mount = try .make(from: "fixtures/tree.image") }
///         override func tearDown() { mount.end() }
///
///         func testTool() throws { try run("mytool", in: mount.path) }
///     }
///
/// In Swift Testing take the trait `.scratchMount(from:)`,
/// in a function ``withScratchMount(from:sizeBytes:inodes:configure:_:)``.
public final class ScratchMount: Sendable {
    /// The mount of the running test, where it or its suite has the trait `.scratchMount()`.
    ///
    /// A value of the task: nil in a detached task and on a thread that the test started itself.
    @TaskLocal public static var current: ScratchMount?

    /// The absolute path of the root directory, of mode 1777 where the mount began empty.
    public let path: String
    /// The mount itself, for what there is no call of here.
    public let fileSystem: MountedFileSystem
    private let isEnded = Mutex(false)

    /// Mounts on a folder that is made for it.
    ///
    /// - Parameters:
    ///   - image: path of an image that it begins as. Its bytes are shared by all mounts of it, and
    ///     read when they are touched. Nil: empty.
    ///   - sizeBytes: limit of content in bytes; writing more fails with `ENOSPC`. Nil: 256 MiB, of
    ///     a mount from an image half of the memory.
    ///   - inodes: limit of files, directories and further links. Nil: 65,536, of a mount from
    ///     an image half as many as the memory has pages.
    ///   - configure: changes whatever else is to be different from the defaults.
    /// - Throws: `MountError`, whose text says what to do: as ``unavailability`` has it, for an
    ///   image that is none, and for lack of memory, threads or descriptors.
    /// - Complexity: O(1), whatever the image holds.
    public static func make(
        from image: String? = nil, sizeBytes: UInt64? = nil, inodes: UInt64? = nil,
        configure: (inout MountConfiguration) -> Void = { _ in }
    ) throws(MountError) -> ScratchMount {
        var configuration = configuration(from: image, sizeBytes: sizeBytes, inodes: inodes)
        configure(&configuration)
        return try make(configuration)
    }

    /// What a test's mount is like, but for its mountpoint.
    static func configuration(
        from image: String?, sizeBytes: UInt64?, inodes: UInt64?
    ) -> MountConfiguration {
        var configuration = MountConfiguration(mountpoint: "")
        configuration.from = image
        configuration.sizeBytes = sizeBytes ?? (image == nil ? 256 << 20 : nil)
        configuration.inodes = inodes ?? (image == nil ? 65_536 : nil)
        configuration.transport = .device
        return configuration
    }

    /// Mounts on a folder that is made for it.
    static func make(_ configuration: MountConfiguration) throws(MountError) -> ScratchMount {
        try make { folder throws(MountError) in
            var configuration = configuration
            configuration.mountpoint = folder
            return try MountedFileSystem(configuration)
        }
    }

    private static func make(
        _ mount: (String) throws(MountError) -> MountedFileSystem
    ) throws(MountError) -> ScratchMount {
        if let unavailability { throw MountError(.usage, unavailability) }
        let folder = try ScratchFolder.shared().makeFolder()
        do throws(MountError) {
            return ScratchMount(path: folder, fileSystem: try mount(folder))
        } catch {
            unsafe rmdir(folder)
            throw error
        }
    }

    private init(path: String, fileSystem: MountedFileSystem) {
        self.path = path
        self.fileSystem = fileSystem
    }

    deinit { end() }

    /// Unmounts, and removes the folder. Nothing the next time.
    ///
    /// A file that is still open fails from now on, and so it keeps nothing from ending.
    public func end() {
        isEnded.withLock { isEnded in
            if isEnded { return }
            isEnded = true
            do {
                try fileSystem.unmount(.force)
            } catch {
                // Somebody else has unmounted it, or the kernel forbids force in a user namespace.
                try? fileSystem.unmount(.lazy)
                _ = fileSystem.abort()
            }
            fileSystem.waitUntilUnmounted()
            unsafe rmdir(path)
        }
    }

    // MARK: what it holds

    /// What the mount holds and has done; the last state once it is ended.
    public var statistics: MountStatistics { fileSystem.statistics() }

    /// Keeps what the mount holds now, to go back to.
    ///
    /// - Parameters:
    ///   - name: nil for the next free number. A mount from an image has the snapshot "start".
    ///   - replacing: whether one of that name may be given up.
    /// - Throws: `.usage` for a name that is taken; `.system` when there is no memory for it.
    /// - Complexity: O(what differs from the image or the first snapshot); the first one of a mount
    ///   that began empty O(content).
    @discardableResult
    public func snapshot(
        _ name: String? = nil, replacing: Bool = false
    ) throws(MountError) -> SnapshotRecord {
        try fileSystem.snapshot(name, replacing: replacing)
    }

    /// Makes the mount what it was: everybody sees the old tree when this returns, and open files
    /// that were not there then answer `ESTALE`.
    ///
    /// - Parameter name: nil for the newest.
    /// - Throws: `.usage` for a name that there is not, and for a mount on a folder that was not there.
    /// - Complexity: O(what was changed).
    @discardableResult
    public func rollback(to name: String? = nil) throws(MountError) -> RollbackSummary {
        try fileSystem.rollback(to: name)
    }

    /// Another mount that begins as this one is now; afterwards each goes its own way.
    ///
    /// - Throws: as ``make(from:sizeBytes:inodes:configure:)``.
    /// - Complexity: as ``snapshot(_:replacing:)``.
    public func fork() throws(MountError) -> ScratchMount {
        try Self.make { folder throws(MountError) in try fileSystem.fork(at: folder) }
    }

    /// Writes what the mount holds now to an image, from which others begin.
    ///
    /// - Parameter path: replaced when the image is whole.
    /// - Returns: bytes of the image.
    /// - Throws: `.usage` where the file cannot be made, `.system` where it cannot be written.
    @discardableResult
    public func save(to path: String) throws(MountError) -> UInt64 { try fileSystem.save(to: path) }

    // MARK: whole trees

    /// Puts all that is in an archive into the mount: whole, at one moment, or not at all.
    ///
    /// - Parameters:
    ///   - archive: a file in a form that libarchive knows.
    ///   - path: a directory in the mount, relative to its root; it is made where its parent is there.
    ///   - options: what is left out, and what stays.
    /// - Throws: `.usage` with what cannot be read, or put in; nothing has changed then.
    /// - Complexity: O(bytes and names of the archive).
    @discardableResult
    public func unpack(
        _ archive: String, to path: String = "", options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try fileSystem.unpack(PathBytes(archive), to: PathBytes(path), options: options)
    }

    /// Puts a copy of a folder of the machine into the mount, as `unpack` does with an archive.
    ///
    /// - Parameters:
    ///   - folder: outside of the mount.
    ///   - path: what the copy is to be called, relative to the mount's root.
    ///   - options: what is left out, and what stays.
    /// - Throws: as `unpack`.
    /// - Complexity: as `unpack`.
    @discardableResult
    public func copyIn(
        _ folder: String, to path: String = "", options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try fileSystem.copyIn(PathBytes(folder), to: PathBytes(path), options: options)
    }

    /// Copies a file or directory within the mount, at one moment.
    ///
    /// - Parameters:
    ///   - source: relative to the mount's root.
    ///   - path: what the copy is to be called, relative to the mount's root.
    ///   - options: what is left out, and what stays.
    /// - Throws: as `unpack`.
    /// - Complexity: O(names and bytes).
    @discardableResult
    public func copy(
        _ source: String, to path: String, options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try fileSystem.copy(PathBytes(source), to: PathBytes(path), options: options)
    }

    /// Removes what a path names, with all that lies in it, at one moment.
    ///
    /// - Parameter path: relative to the mount's root.
    /// - Throws: `.usage` where there is no such name; `.busy` where something is mounted in it.
    /// - Complexity: O(directories); memory comes back afterwards.
    @discardableResult
    public func remove(_ path: String) throws(MountError) -> RemoveSummary {
        try fileSystem.remove(PathBytes(path))
    }

    // MARK: what goes wrong

    /// Has requests of whoever uses the mount go wrong, from the time that this returns.
    ///
    ///     var rule = FaultRule(operation: "write", path: "db/*")
    ///     rule.errno = "ENOSPC"
    ///     rule.nth = 3
    ///     try mount.addFault(rule)
    ///
    /// - Returns: the rule with its number and counts.
    /// - Throws: `.usage` for what is no rule, and for an operation that the kernel asks only of a
    ///   mount with `faults`, which `configure` sets.
    @discardableResult
    public func addFault(_ rule: FaultRule) throws(MountError) -> FaultRecord {
        try fileSystem.addFault(rule)
    }

    /// The rules in force, with how often they have matched.
    public func faults() throws(MountError) -> [FaultRecord] { try fileSystem.faults() }

    /// Takes rules back; all without numbers.
    ///
    /// - Throws: `.usage` for a number that there is not.
    public func clearFaults(_ numbers: [Int]? = nil) throws(MountError) {
        try fileSystem.clearFaults(numbers)
    }

    /// Loses what was not synced, as if the power had failed this moment and come back.
    ///
    /// What fsync(2) has returned for is there; of all else a part is, which the seed chooses.
    ///
    /// - Parameter seed: nil for one by chance, which the summary tells.
    /// - Throws: `.usage` for a mount without `durability`, which `configure` sets to `.fsync`.
    @discardableResult
    public func crash(seed: UInt64? = nil) throws(MountError) -> CrashSummary {
        try fileSystem.crash(seed: seed)
    }

    /// Syncs all that was done so far: what sync(2) is elsewhere, of which the kernel does not tell.
    ///
    /// - Throws: `.usage` for a mount without `durability`.
    @discardableResult
    public func sync() throws(MountError) -> SyncSummary { try fileSystem.sync() }

    // MARK: whether it can be had

    /// Why this process cannot mount, and what to do; nil where it can.
    ///
    /// Root can mount. Another user can where /dev/fuse is open to all and users may have user
    /// namespaces: set `MAYFLY_TESTING_NAMESPACE=1` in the environment of the tests. A process that
    /// this library is linked into then enters a user namespace before `main`. Inside it is the
    /// same user as before.
    ///
    ///     @Suite(.enabled(if: ScratchMount.unavailability == nil)) struct ToolTests { ... }
    public static var unavailability: String? {
        if cmt_may_mount() { return nil }
        if unsafe access("/dev/fuse", F_OK) != 0 {
            return "there is no /dev/fuse: load the kernel's module with `modprobe fuse`"
        }
        return switch cmt_space() {
        case CMT_SPACE_FORBIDDEN:
            "mounting is not permitted, nor a user namespace to do it in: run the tests as root, "
                + "or let users have namespaces (sysctl user.max_user_namespaces, AppArmor's "
                + "kernel.apparmor_restrict_unprivileged_userns=0)"
        case CMT_SPACE_NOT_ASKED_FOR:
            "mounting is not permitted: run the tests with MAYFLY_TESTING_NAMESPACE=1, so that they "
                + "have a user namespace to mount in, or as root"
        default:
            "/dev/fuse may not be opened: run the tests as root, or let everyone with "
                + "`chmod 666 /dev/fuse`"
        }
    }
}
