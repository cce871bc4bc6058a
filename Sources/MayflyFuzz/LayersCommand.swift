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

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many mutated layers.") var count = 10_000
    @Option(help: "Seconds that one of them may take.") var limit = 5

    func validate() throws {
        guard count > 0, limit > 0 else { throw ValidationError("give numbers above 0") }
    }

    func run() throws {
        let mutations = Mutations(of: "layers", seed: seed, count: count, limit: limit)
        try mutations.run(LayerFuzz.init(seed:), step: { $0.step() }) {
            ($0.refused, $0.unsound, $0.sound)
        }
    }
}
