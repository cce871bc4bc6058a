import ArgumentParser
import MayflyTestSupport

/// `MayflyFuzz images`
struct ImagesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "images",
        abstract: "Open, check and export images that were changed at random.",
        discussion: """
            Under the address sanitizer:
              swift run --sanitize=address --scratch-path .build-asan MayflyFuzz images

            EXIT STATUS:
              0    all were refused, found unsound, or could be read; otherwise the process crashes
            """)

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many mutated images.") var count = 10_000

    func run() throws {
        var totals = (refused: 0, unsound: 0, sound: 0)
        var left = count
        var seed = seed
        while left > 0 {
            let fuzz = try ImageFuzz(seed: seed)
            for _ in 0..<min(left, 250) {
                left -= 1
                do { try fuzz.step() } catch is ImageFuzz.Restart { break }
            }
            totals.refused += fuzz.refused
            totals.unsound += fuzz.unsound
            totals.sound += fuzz.sound
            seed += 1
        }
        print(
            "\(count) mutated images: \(totals.refused) refused, \(totals.unsound) unsound, "
                + "\(totals.sound) sound")
    }
}
