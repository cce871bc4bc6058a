import ArgumentParser
import MayflyTestSupport

/// `MayflyFuzz artifacts`
struct ArtifactsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "artifacts",
        abstract:
            "Read manifests, configs, indices, archives and packed runs that were changed at random.",
        discussion: """
            As `MayflyFuzz images`, for what comes from registries and OCI image layouts (Docs/Registry.md).

            EXIT STATUS:
              0    all were refused or could be read; otherwise the process crashes, or ends by SIGABRT for \
            one that takes too long
            """)

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many mutated documents and frames.") var count = 100_000
    @Option(help: "Seconds that one of them may take.") var limit = 5

    func validate() throws {
        guard count > 0, limit > 0 else { throw ValidationError("give numbers above 0") }
    }

    func run() throws {
        let mutations = Mutations(of: "artifacts", seed: seed, count: count, limit: limit)
        try mutations.run(ArtifactFuzz.init(seed:), step: { $0.step() }) {
            ($0.refused, $0.unsound, $0.sound)
        }
    }
}
