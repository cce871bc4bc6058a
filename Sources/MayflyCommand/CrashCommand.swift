import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly crash DIR`
struct CrashCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash",
        abstract: "Lose what was not synced, as if the power had failed.",
        discussion: """
            For mounts with --durability fsync. What fsync(2) has returned for is there afterwards; of \
            the rest a part is, and pages may be torn. Names need an fsync of their directory. \
            sync(2) and syncfs(2) sync nothing: see `mayfly sync --help`. Processes go on: kill \
            first what is to recover.

            EXAMPLE:
              mayfly mount /mnt/fast --durability fsync
              mayfly crash /mnt/fast --seed 7

            EXIT STATUS:
              0    lost
              1    the mount has no durability, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Option(help: "The same losses for the same changes. Default: by chance.")
    var seed: UInt64?

    @Flag(help: "Print the result as JSON.")
    var json = false

    private static let mostLines = 20

    func run() throws {
        let control = try MountControl(directory)
        let summary = try control.crash(seed: seed)
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(control.mountpoint)) has lost power (seed \(summary.seed)): "
                + "\(summary.namesLost) names undone, \(summary.namesKept) kept; "
                + "\(summary.pagesLost) pages lost, \(summary.pagesTorn) torn, "
                + "\(summary.pagesKept) kept, in " + Numbers.time(summary.nanoseconds))
        for path in summary.lost.prefix(Self.mostLines) {
            Console.show("  \(ShellQuote.quoted(path.path))  (\(path.described))")
        }
        let more = summary.lost.count - Self.mostLines
        if more > 0 { Console.show("  ... and \(more) more: --json has them") }
        if summary.notRestored > 0 {
            Console.complain(
                "\(summary.notRestored) of them did not fit any more: give the mount a larger --size"
            )
        }
    }
}
