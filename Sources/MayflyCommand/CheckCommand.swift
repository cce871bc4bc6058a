import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly check DIR`
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Prove that everything a mount holds is as it must be.",
        discussion: """
            The server looks at every file, directory and piece of memory, between two requests. \
            Those that come meanwhile wait: about a second for a million files.

            EXAMPLE:
              mayfly check /mnt/fast

            EXIT STATUS:
              0    everything is as it must be
              1    something is not, and is named; or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
        let control = try MountControl(directory)
        let summary = try control.check()
        try Self.tell(summary, of: control.mountpoint, json: json)
    }

    /// Prints what a check has found; exit status 1 where that is anything.
    static func tell(_ summary: CheckSummary, of name: String, json: Bool) throws {
        if json {
            Console.write(ControlJSON.encoded(summary, isPretty: true))
        } else {
            for problem in summary.problems { Console.show(problem) }
            let count = summary.problems.count
            let verdict = count == 0 ? "sound" : "\(count) problem\(count == 1 ? "" : "s")"
            Console.show(
                "\(ShellQuote.quoted(name)): \(verdict); \(summary.inodes) inodes, "
                    + "\(summary.directories) of them directories, \(summary.orphans) without a "
                    + "name; \(summary.entries) entries, \(Numbers.bytes(summary.contentBytes)); "
                    + "looked at in \(Numbers.time(summary.nanoseconds))")
        }
        if !summary.problems.isEmpty { throw ExitCode(1) }
    }
}
