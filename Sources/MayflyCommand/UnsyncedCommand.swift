import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly unsynced DIR`
struct UnsyncedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unsynced",
        abstract: "List what was not synced: what a power loss now would take a part of.",
        discussion: """
            For mounts with --durability fsync. Each line has a path and what of it was not synced: a name \
            that was made, removed or replaced, the content of a file with its changed pages, or its \
            attributes. "a failed sync" means that no later sync brings it to the disk.

            EXAMPLE:
              mayfly unsynced /mnt/fast

            EXIT STATUS:
              0    told
              1    the mount has no durability, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let paths = try MountControl(directory).unsynced()
        if json { return Console.write(ControlJSON.encoded(paths, isPretty: true)) }
        for path in paths { Console.show("\(ShellQuote.quoted(path.path))  (\(path.described))") }
    }
}

extension UnsyncedPath {
    var described: String {
        var words = change.rawValue
        if change == .content, let pages { words += ", \(pages) \(pages == 1 ? "page" : "pages")" }
        return isDropped == true ? words + ", a failed sync" : words
    }
}
