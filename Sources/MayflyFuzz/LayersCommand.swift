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

    /// Layers that are made of one seed.
    private static let stepsOfSeed = 250

    func validate() throws {
        guard count > 0, limit > 0 else { throw ValidationError("give numbers above 0") }
    }

    func run() throws {
        var totals = (refused: 0, unsound: 0, sound: 0)
        let watchdog = Watchdog(seconds: limit)
        for (index, first) in stride(from: 0, to: count, by: Self.stepsOfSeed).enumerated() {
            let seed = seed &+ UInt64(index)
            Watchdog.tell("seed \(seed): \(first) of \(count) layers")
            let fuzz = try LayerFuzz(seed: seed)
            for step in 1...min(count - first, Self.stepsOfSeed) {
                watchdog.begin("seed \(seed), step \(step)")
                fuzz.step()
                watchdog.end()
            }
            totals.refused += fuzz.refused
            totals.unsound += fuzz.unsound
            totals.sound += fuzz.sound
        }
        print(
            "\(count) mutated layers: \(totals.refused) refused, \(totals.unsound) unsound, "
                + "\(totals.sound) sound; the longest took \(watchdog.longest)")
    }
}
