import ArgumentParser
import Mayfly
import MayflyHost
import MayflyRunning

/// `mayfly resize DIR`
struct ResizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resize",
        abstract: "Change the limits of a mount while it is in use.",
        discussion: """
            A limit is never set below what is in use, nor above what the mount has reserved \
            address space for: the memory of the machine, or what it was mounted with where that \
            is more.

            EXAMPLE:
              mayfly resize /mnt/fast --size 8g
              mayfly resize /mnt/fast --size 50% --inodes 2m

            EXIT STATUS:
              0    changed
              1    more is in use, there is no room, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Option(
        help: """
            Most bytes of content from now on: a number with k, m, g or t, or a share \
            of memory such as 25%.
            """)
    var size: String?

    @Option(help: "Most files, directories and links from now on, with k, m or g.")
    var inodes: String?

    @Flag(help: "Print the mount's report afterwards as JSON, as `mayfly stat --json` does.")
    var json = false

    func run() throws {
        var change = LimitChange()
        if let size {
            change.sizeBytes = try SizeText.bytes(size, option: "--size", memory: .current())
        }
        if let inodes { change.inodes = try SizeText.count(inodes, option: "--inodes") }
        guard change != LimitChange() else {
            throw MountError(.usage, "nothing to change: give --size, --inodes or both")
        }
        let report = try MountControl(directory).resize(change)
        if json { return Console.write(ControlJSON.encoded(report, isPretty: true)) }
        Console.say(
            "\(ShellQuote.quoted(report.mountpoint)) has \(Numbers.bytes(report.bytes.limit)) "
                + "and \(report.inodes.limit) inodes now; it takes "
                + "\(Numbers.bytes(report.memory.maximumBytes)) of memory at most")
    }
}
