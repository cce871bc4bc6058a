import ArgumentParser
import Glibc
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly mount DIR`
struct MountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mount",
        abstract: "Mount a file system in memory on a directory.",
        discussion: """
            Returns when the mount answers; its server goes on in the background and ends when \
            the mount is unmounted. Prints the transport taken with its memory, and the most \
            memory the mount can ever take.

            EXAMPLE:
              mayfly mount /mnt/fast --size 4g
              mayfly mount /mnt/fast -o size=25%,mode=0755,noexec

            EXIT STATUS:
              0    mounted; with --foreground: unmounted again
              1    wrong arguments, or not permitted
              2    the system refused memory, a process or a descriptor
              32   mounting failed
            """)

    @Argument(help: "The directory to mount on.", completion: .directory)
    var directory: PathBytes

    @OptionGroup var options: MountOptions

    @Flag(
        help: """
            Stay in the foreground until the mount is unmounted. SIGTERM, SIGINT and SIGHUP \
            unmount it.
            """)
    var foreground = false

    @Option(
        help: ArgumentHelp(
            """
            Unmount when this process ends, however it ends, with all forks and whoever uses them: for \
            fixtures of tests, which may be killed.
            """, valueName: "pid"))
    var untilPid: Int32?

    @Flag(
        help: """
            Unmount when the standard input closes, with all forks and whoever uses them. The standard \
            input must be a pipe or a socket.
            """)
    var untilEof = false

    @Option(
        help: """
            What the server says of its mount: error, warning, notice or info. In the background it goes to the \
            system's log, else to the standard error. Default: notice; warning on a standard error that \
            is not the journal.
            """, completion: .list(["error", "warning", "notice", "info"]))
    var log: String?

    @Flag(help: "Print nothing but errors.")
    var quiet = false

    @Flag(help: "Print what was mounted as JSON, with the path of the server's socket.")
    var json = false

    @Flag(help: "Look whether it could be mounted, and do not.")
    var fake = false

    @Flag(
        help: """
            Change the options of a mount, as `mount -o remount` does: the kernel's, such as ro, and size= \
            and nr_inodes=. Others cannot be changed and are refused.
            """)
    var remount = false

    @Flag(
        help: ArgumentHelp(
            """
            Keep the content when the server dies: another process holds the memory, starts the server \
            again, and the mount is there again, with every change that was answered. Open files are lost. Not \
            with --from, --durability, snapshots, forks and save.
            """))
    var survive = false

    @Flag(
        help: """
            Mount an image of a registry, oci:FOLDER or oci-archive:FILE when its names are here. Content comes when \
            it is read, and meanwhile in the background, and is put into the store. `mayfly stat` tells how much is here.
            """)
    var lazy = false

    @Option(
        help: ArgumentHelp(
            """
            With --lazy: seconds after which reading content that does not come is EIO, 1 to 86400. Default: 30.
            """, valueName: "seconds"))
    var lazyTimeout: String?

    @Option(help: .hidden)
    var memoryFd: Int32?

    @Flag(help: .hidden)
    var recover = false

    @Option(help: .hidden)
    var at: PathBytes?

    @Option(help: .hidden)
    var guardFd: Int32?

    @Option(help: .hidden)
    var beforeFd: Int32?

    @Option(help: .hidden)
    var adopt: Int32?

    @Flag(help: .hidden)
    var canGuard = false

    /// What a guardian is to take over; nil where a mount is to be made.
    private var held: Guardian.Held? {
        guardFd.map { Guardian.Held(memory: $0, before: beforeFd, server: adopt) }
    }

    func run() throws {
        if remount {
            let list = options.lists.flatMap { $0.split(separator: ",").map(String.init) }
            return try Remount(list).carryOut(on: directory)
        }
        var configuration = try options.configuration(mountpoint: at ?? directory)
        if survive { configuration.survives = true }
        configuration.survivingMemory = memoryFd
        configuration.isRecovery = recover || guardFd != nil
        try configuration.check()
        var logLevel: ServerLog.Level?
        if let log {
            guard let level = ServerLog.Level(log) else {
                throw MountError(
                    .usage, "bad --log '\(log)': give error, warning, notice or info")
            }
            logLevel = level
        }
        if canGuard {
            let isPossible = held.map(Guardian.canGuard) ?? false
            throw ExitCode(isPossible ? Guardian.canGuardStatus : ExitStatus.usage)
        }
        let patience = try lazyPatience(configuration)
        if fake { return }
        if !lazy, let from = configuration.from {
            configuration.from = try RemoteOrigin.present(
                from, quiet: quiet || json, say: Console.say)
        }
        if !foreground, memoryFd == nil, guardFd == nil,
            let status = try BackgroundServer.start(keepsInput: untilEof)
        {
            if status != 0 { throw ExitCode(status) }
            return
        }
        // Of the process that brings the image this one is the server, whose end it sees.
        if lazy, let from = configuration.from {
            func say(_ text: String) { if !self.quiet && !self.json { Console.say(text) } }
            switch try LazyOrigin.begin(from, patienceSeconds: patience, say: say) {
            case .path(let path): configuration.from = path
            case .arriving(let image):
                configuration.arriving = image
                say("\(from) is mounted before all of it is here: content comes as it is read")
            }
        }
        let ready = foreground ? nil : BackgroundServer.readyDescriptor
        if configuration.survives, memoryFd == nil {
            let status = try Guardian.run(
                arguments: Invocation.arguments.dropFirst().map { PathBytes($0) },
                mountPath: configuration.mountPath, held: held,
                readyDescriptor: held == nil ? ready : nil)
            throw ExitCode(status)
        }
        let (quiet, json) = (quiet || json, json)
        if !quiet, let from = options.from, let line = ImageStore.line(on: from) {
            Console.say(line)
        }
        // The guardian is told, too.
        try ForegroundServer.serve(
            configuration,
            readyDescriptor: memoryFd == nil ? ready : BackgroundServer.readyDescriptor,
            staysInForeground: foreground, owners: owners(), logLevel: logLevel,
            describe: {
                if json { Console.write(ControlJSON.encoded($0, isPretty: true)) }
            },
            say: { if !quiet { Console.say($0) } }, complain: Console.complain)
    }

    /// - Returns: seconds that a read waits for content that does not come.
    private func lazyPatience(_ configuration: MountConfiguration) throws(MountError) -> UInt64 {
        guard lazy else {
            if lazyTimeout == nil { return 0 }
            throw MountError(.usage, "--lazy-timeout goes with --lazy: give both")
        }
        guard let from = configuration.from, RemoteOrigin.isAddress(from) else {
            throw MountError(
                .usage,
                "--lazy goes with an image that comes from elsewhere: name one with --from oci://HOST/REPOSITORY:TAG, "
                    + "or leave it out")
        }
        guard !configuration.survives, configuration.durability == .none else {
            throw MountError(
                .usage, code: .conflict,
                "--lazy goes without --survive and --durability: leave out the other")
        }
        guard let lazyTimeout else { return 30 }
        guard let seconds = UInt64(lazyTimeout), (1...86400).contains(seconds) else {
            throw MountError(
                .usage, "bad --lazy-timeout '\(lazyTimeout)': give seconds from 1 to 86400")
        }
        return seconds
    }

    private func owners() throws(MountError) -> [MountOwner] {
        var owners: [MountOwner] = []
        if let untilPid { owners.append(try .process(untilPid)) }
        if untilEof {
            owners.append(
                try .stream(foreground ? STDIN_FILENO : BackgroundServer.inputDescriptor))
        }
        return owners
    }
}
