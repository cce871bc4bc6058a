import ArgumentParser
import MayflyTestSupport

/// `MayflyFuzz layers`
struct LayersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "layers",
        abstract: "Open, check and export layers that were changed at random.",
        discussion: """
            As `MayflyFuzz images`, for the files that `mayfly save --on` writes.

            EXIT STATUS:
              0    all were refused, found unsound, or could be read; otherwise the process crashes, \
            or ends by SIGABRT for one that takes too long
            """)

    @OptionGroup var options: MutationOptions

    func run() throws {
        try options.mutations(of: "layers").run(LayerFuzz.init(seed:), step: { $0.step() }) {
            ($0.refused, $0.unsound, $0.sound)
        }
    }
}
