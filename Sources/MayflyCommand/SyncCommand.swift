import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly sync DIR`
struct SyncCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Sync everything, so that it outlives `mayfly crash`.",
        discussion: """
            For mounts with --durability fsync. The kernel tells the mount of fsync(2), fdatasync(2), \
            msync(2) and writes through O_SYNC, but not of sync(2) and syncfs(2), which sync nothing \
            there. A test that needs one of these runs this command in its place.

            EXAMPLE:
              mayfly mount /mnt/fast --durability fsync
              ./setup /mnt/fast && mayfly sync /mnt/fast
              mayfly crash /mnt/fast

            EXIT STATUS:
              0    synced
              1    the mount has no durability, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let summary = try control.sync()
        if json { return Console.write(ControlJSON.encoded(summary, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(control.mountpoint)) is synced: \(summary.names) names and "
                + "\(summary.files) files had changed")
    }
}
