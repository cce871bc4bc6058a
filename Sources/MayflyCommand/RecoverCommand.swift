import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly recover DIR OUT`
struct RecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Write what is kept of a mount whose servers died to an image.",
        discussion: """
            For a mount with --survive of which no server could be started any more: the system's log says \
            so. The memory is kept until its guardian ends (a process with the name mayfly-guard), so this \
            may be done again.

            EXAMPLE:
              mayfly recover /mnt/fast ~/rescued.mayfly
              mayfly umount /mnt/fast
              mayfly mount /mnt/fast --from ~/rescued.mayfly

            EXIT STATUS:
              0    written
              1    nothing is kept, OUT cannot be made, or wrong arguments
              32   what is kept is damaged
            """)

    @Argument(help: "The directory that was mounted.", completion: .directory)
    var directory: PathBytes

    @Argument(help: "The image to write.", completion: .file())
    var out: PathBytes

    func run() throws {
        let bytes = try KeptContent.save(directory, to: out)
        Console.say(
            "\(ShellQuote.quoted(out)) is written: \(Numbers.bytes(bytes)) with its holes")
    }
}
