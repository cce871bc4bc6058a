import ArgumentParser
import MayflyTestSupport

/// `MayflyFuzz requests`
struct RequestsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "requests",
        abstract: "Hand the decoder and the operations requests that no kernel would send.",
        discussion: """
            After each input everything in the file system is checked. Inputs come from a seed; \
            Coverage.swift has the form that coverage guides.

            EXIT STATUS:
              0    nothing found; otherwise the process ends by a trap and names the input
            """)

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many inputs.") var inputs = 10_000

    func run() throws {
        for index in 0..<UInt64(inputs) {
            let input = RequestFuzz.input(seed: seed &+ index)
            var fuzz = RequestFuzz(input)
            let problems = fuzz.run()
            if !problems.isEmpty {
                print("seed \(seed &+ index): \(problems)")
                throw ExitCode(1)
            }
        }
        print("\(inputs) inputs from seed \(seed): nothing found")
    }
}
