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

    @OptionGroup var options: MutationOptions

    func run() throws {
        try options.mutations(of: "artifacts", usual: 100_000).run(
            ArtifactFuzz.init(seed:), step: { $0.step() }
        ) {
            ($0.refused, $0.unsound, $0.sound)
        }
    }
}
