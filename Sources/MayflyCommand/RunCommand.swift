import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly run -- COMMAND`
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command in a file system in memory that ends with it.",
        usage: "mayfly run [<options>] [<command> ...]",
        discussion: """
            Nobody else on the machine sees the mount, and it needs no root where /dev/fuse is open \
            to all. MAYFLY_ROOT and TMPDIR name its root, where the command starts unless --here or \
            --at is given. Without a command it is your shell. The first word that is no option \
            begins the command, as for env(1), and what follows is the command's. SIGINT, SIGTERM, \
            SIGHUP and SIGQUIT are passed on to it. When it has ended, however that came, the mount \
            and everything in it are gone; what it has left running is named and killed.

            EXAMPLE:
              mayfly run --here make -j8
              mayfly run --at target cargo test
              mayfly run --over . --exclude node_modules/ --apply ./rewrite-everything
              mayfly run -- sh -c 'git clone https://example.org/project . && make'
              mayfly run --size 8g --keep /tmp/failed.tar make -C ~/project O=/mnt
              mayfly run --from build --save build --if-missing ~/project make

            EXIT STATUS:
              the command's own; 128 and the number of the signal that it died of
              125  mayfly itself failed
              126  the command cannot be executed
              127  the command was not found
            """)

    @Flag(help: "Start the command in the folder that you are in, not in the mount.")
    var here = false

    @Option(
        help: """
            The directory to mount on, such as a project's folder for what a build makes; the \
            command starts in the folder that you are in. Default: the first empty one of /mnt, \
            /media and /srv. For everybody else it stays as it is.
            """)
    var at: PathBytes?

    @Flag(help: "Do not say at the end what was used.")
    var quiet = false

    @Option(help: "Write what was used as JSON to this file; - for the standard output.")
    var report: PathBytes?

    @Option(
        help: """
            When the command fails, copy the tree there: a directory that does not exist yet, or a \
            file whose name ends in .tar (or .tar.gz, .tar.xz, .tar.zst and the like, compressed), or an \
            image whose name ends in .mayfly.
            """)
    var keep: PathBytes?

    @Option(
        help: """
            When the command succeeds, keep the tree: under this name in the store, as a layer on what \
            the run began with; or in a file, where this has a slash or ends in .mayfly.
            """)
    var save: PathBytes?

    @Option(help: "Have the file that --save names be a layer on this image.", completion: .file())
    var on: PathBytes?

    @Option(
        help: """
            Start from this directory, archive or image when there is nothing of the name that --from \
            gives.
            """, completion: .file())
    var ifMissing: PathBytes?

    @Option(
        help: ArgumentHelp(
            """
            A folder that the command sees at its own path, with all it holds, and whose changes go to \
            memory: on disk it stays as it is for everybody. What was changed is told at the end. The \
            command starts in the folder that you are in. May be repeated.
            """, valueName: "directory"))
    var over: [PathBytes] = []

    @Option(
        help: ArgumentHelp(
            """
            Leave out of --over what matches this pattern of gitignore(5): the command does not see it, \
            and what it makes there is not applied. May be repeated.
            """, valueName: "pattern"))
    var exclude: [PathBytes] = []

    @Option(
        help: ArgumentHelp(
            "The same with the patterns of a file, such as .gitignore.", valueName: "file"))
    var excludeFrom: [PathBytes] = []

    @Flag(
        help: """
            When the command succeeds, apply its changes to the folder of --over. Refused as a whole \
            where what it changed was changed on disk meanwhile.
            """)
    var apply = false

    @Flag(help: "The same also when the command fails.")
    var applyAlways = false

    @Flag(help: "At the end ask on the terminal whether to apply the changes.")
    var ask = false

    @Flag(help: "Apply changes also over what was changed on disk meanwhile.")
    var force = false

    @Option(
        help: ArgumentHelp(
            """
            Keep the changes of --over in a new file: what was added and changed in a .tar, with names \
            that begin with .wh. for what was removed; or the whole folder in a .mayfly.
            """, valueName: "file"))
    var keepChanges: PathBytes?

    @OptionGroup var options: MountOptions

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "The command and its arguments. Default: your shell.", valueName: "command"),
        completion: .commandLine)
    var command: [PathBytes] = []

    func run() throws {
        if let at, at.bytes.isEmpty {
            throw MountError(.usage, "--at is empty: name a directory, or leave it out")
        }
        if on != nil, save == nil {
            throw MountError(.usage, "--on goes with --save: name the file that is to be a layer")
        }
        let from = try options.origin(ifMissing: ifMissing, quiet: quiet)
        var configuration = try options.configuration(mountpoint: at ?? "", from: from)
        if let named = configuration.from {
            configuration.from = try RemoteOrigin.present(
                named, quiet: quiet, say: Console.complain)
        }
        if !quiet, let from, let line = ImageStore.line(on: from) { Console.complain(line) }
        var runOptions = ScratchRun.Options()
        runOptions.quiet = quiet
        runOptions.reportPath = report
        runOptions.keepPath = keep
        runOptions.saved = try save.map { save throws(MountError) in
            try SavedTree(save, on: on)
        }
        runOptions.staysHere = here || at != nil || !over.isEmpty
        runOptions.over = try overPlan(configuration)
        let status = try ScratchRun.run(
            configuration, command: command, options: runOptions, say: Console.complain)
        if status != 0 { throw ExitCode(status) }
    }

    private func overPlan(_ configuration: MountConfiguration) throws(MountError) -> OverPlan {
        let ways: [(String, Bool)] = [
            ("--apply", apply), ("--apply-always", applyAlways), ("--ask", ask),
        ]
        let given = ways.filter(\.1).map(\.0)
        if given.count > 1 {
            throw MountError(
                .usage, "\(given[0]) and \(given[1]) exclude each other: give one")
        }
        var plan = OverPlan()
        plan.folders = over
        plan.excludes = exclude
        plan.excludeFiles = excludeFrom
        plan.applying = ask ? .asking : applyAlways ? .always : apply ? .afterSuccess : .never
        plan.forces = force
        plan.keepPath = keepChanges
        try plan.check([
            ("--at", at != nil), ("--from", configuration.from != nil),
            ("--mode", options.mode != nil),
            ("--uid", options.uid != nil), ("--gid", options.gid != nil),
            ("--read-only", options.readOnly),
        ])
        if over.count > 1, keep != nil || save != nil {
            throw MountError(
                .usage,
                "\(keep != nil ? "--keep" : "--save") goes with one --over: leave it out, or the others"
            )
        }
        return plan
    }
}
