import ArgumentParser
import Mayfly

/// `mayfly run -- COMMAND`
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command in a file system in memory that ends with it.",
        usage: "mayfly run [<options>] [--at <directory>] -- <command> ...",
        discussion: """
            The command's working directory is the root of the mount, and so are MAYFLY_ROOT and \
            TMPDIR. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it. When it has ended \
            the mount and everything in it are gone; what still runs there loses its files.

            EXAMPLE:
              mayfly run -- sh -c 'git clone https://example.org/project . && make'
              mayfly run --size 8g --at /mnt/build -- ninja -C /mnt/build

            EXIT STATUS:
              the command's own; 128 and the number of the signal that it died of
              125  mayfly itself failed
              126  the command cannot be executed
              127  the command was not found
            """)

    @Option(
        help: """
            The directory to mount on. Default: a fresh one under $XDG_RUNTIME_DIR or /tmp, \
            removed afterwards.
            """)
    var at: String?

    @OptionGroup var options: MountOptions

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp("The command and its arguments.", valueName: "command"))
    var command: [String] = []

    func run() throws {
        if let at, at.isEmpty {
            throw MountError(.usage, "--at is empty: name a directory, or leave it out")
        }
        let configuration = try options.configuration(mountpoint: at ?? "")
        let status = try ScratchRun.run(configuration, command: command, say: Console.complain)
        if status != 0 { throw ExitCode(status) }
    }
}
