import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRegistry
import MayflyRunning

/// The options that `mount` and `run` share.
///
/// All are read as text, so that the library checks them and one kind of error reports them.
struct MountOptions: ParsableArguments {
    @Option(
        help: """
            Start from this image instead of an empty tree: ready at once, whatever its size, and \
            its memory is shared with every other mount of it. A name that is no file here is looked up \
            in the store (`mayfly image store`). oci://HOST/REPOSITORY:TAG, oci:FOLDER and oci-archive:FILE are \
            brought into the store first. Of a directory or an archive (tar, \
            zip) an image is made first. The root directory is the image's.
            """, completion: .images)
    var from: PathBytes?

    @Option(
        help: """
            Most bytes of content, as tmpfs counts it: a number with k, m, g or t, or a share of memory \
            such as 25%. Default: half of the memory, or of the memory cgroup's limit. 0: no limit \
            but memory.
            """)
    var size: String?

    @Option(
        help: """
            Most files, directories and links, with k, m or g. Default: half as many as the \
            memory that may be used has pages, or with a smaller --size one for each KiB of it, at \
            least 262,144. 0: no limit but memory.
            """)
    var inodes: String?

    @Option(help: "Permissions of the root directory in octal. Default: 1777.")
    var mode: String?

    @Option(help: "Owner of the root directory, by name or number. Default: the caller.")
    var uid: String?

    @Option(help: "Group of the root directory, by name or number. Default: the caller's.")
    var gid: String?

    @Flag(help: "Refuse all changes.")
    var readOnly = false

    @Option(
        help: """
            Ring entries per queue, 1 to 1024; there is one queue per CPU. Default: what a memory \
            budget for rings allows.
            """)
    var queueDepth: String?

    @Option(
        help: """
            Bytes one ring entry carries, 8k to 1m, a multiple of 4k. Default: 1m where the budget \
            allows it.
            """)
    var maxPayload: String?

    @Option(
        help: """
            auto: io_uring where the kernel offers it; ring: io_uring or nothing; dev: /dev/fuse. \
            Default: auto.
            """, completion: .transports)
    var transport: String?

    @Flag(
        help: """
            Let other users in, as far as permissions do. Without it they get EACCES, root \
            included when it is not the one who mounts.
            """)
    var allowOther = false

    @Flag(
        help: """
            Let the kernel ask for open, flush and fsync, which it does without otherwise, so that \
            `mayfly fault` can make them fail, and reads of files that it names.
            """)
    var faults = false

    @Option(
        help: """
            fsync: remember what was synced by fsync(2), fdatasync(2), msync(2) or O_SYNC, so that \
            `mayfly crash` loses the rest; requests are slower. sync(2) and syncfs(2) sync nothing, \
            as the kernel does not pass them on: `mayfly sync` does what they should. Default: none.
            """, completion: .durabilities)
    var durability: String?

    @Option(
        help: """
            What the mount is for. exact: as tmpfs. build: without what builds do not use, extended \
            attributes and checks of modes, which saves requests (Docs/Options.md). Default: exact.
            """)
    var profile: String?

    @Flag(help: "Print every request to the standard error.")
    var debugFuse = false

    @Option(
        name: .customShort("o", allowingJoined: true),
        help: ArgumentHelp(
            """
            Options of mount(8), separated by commas: size=, nr_inodes=, nr_blocks=, mode=, uid=, \
            gid=, ro, rw, suid, nosuid, dev, nodev, exec, noexec, noatime, relatime, \
            strictatime, nodiratime, nosymfollow, allow_other, default_permissions, check_open, \
            sync_dio, faults, survive, writeback, parallel_dio, noxattr, noperm, source=, fsname=, fstype=, subtype=, queue_depth=, \
            max_payload=, transport=, durability=, profile=, from=. May be repeated; the long options win. Default: \
            rw,nosuid,nodev,exec,relatime.
            """, valueName: "options"))
    var lists: [String] = []

    /// The configuration that the options describe, on `mountpoint`.
    func configuration(mountpoint: PathBytes) throws(MountError) -> MountConfiguration {
        try configuration(mountpoint: mountpoint, from: from)
    }

    /// What a mount begins with: what --from names, or what is given for the case that it is not there.
    func origin(ifMissing: PathBytes?, quiet: Bool) throws(MountError) -> PathBytes? {
        guard let ifMissing else { return from }
        guard let from, from != "-" else {
            throw MountError(
                .usage, "--if-missing goes with --from: name what may be missing")
        }
        if ImageReference.isReference(from.text) {
            let path = try RemoteOrigin.brought(from.text, quiet: quiet, say: Console.complain)
            return path.map { PathBytes($0) } ?? ifMissing
        }
        return ImageStore.isThere(from) ? from : ifMissing
    }

    /// The same for a mount that begins with something else than --from names.
    func configuration(
        mountpoint: PathBytes, from: PathBytes?
    ) throws(MountError) -> MountConfiguration {
        var configuration = MountConfiguration(mountpoint: mountpoint.text)
        for list in lists { try configuration.apply(optionList: list) }
        if let from { configuration.from = from.text }
        if configuration.from != nil {
            for (name, value) in [("--mode", mode), ("--uid", uid), ("--gid", gid)]
            where value != nil {
                throw MountError(
                    .usage, "\(name) goes with an empty tree: with --from the root is the image's")
            }
        }
        if let size { try configuration.setSize(size) }
        if let inodes { try configuration.setInodes(inodes) }
        if let mode { try configuration.setMode(mode) }
        if let uid { try configuration.setUser(uid) }
        if let gid { try configuration.setGroup(gid) }
        if readOnly { configuration.readOnly = true }
        if let queueDepth { try configuration.setQueueDepth(queueDepth) }
        if let maxPayload { try configuration.setMaxPayload(maxPayload) }
        if let transport { try configuration.setTransport(transport) }
        if allowOther { configuration.allowOther = true }
        if faults { configuration.faults = true }
        if let durability { try configuration.setDurability(durability) }
        if let profile { try configuration.setProfile(profile) }
        if debugFuse { configuration.debugFuse = true }
        return configuration
    }
}
