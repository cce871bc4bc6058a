import ArgumentParser
import Glibc
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
    @Option(help: "Only write the inputs to this folder, for libFuzzer to begin with.")
    var corpus: String?

    func run() throws {
        for index in 0..<UInt64(inputs) {
            let input = RequestFuzz.input(seed: seed &+ index)
            if let corpus {
                let path = "\(corpus)/\(seed &+ index)"
                let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
                defer { close(file) }
                guard unsafe write(file, input, input.count) == input.count else {
                    throw ValidationError("\(path) cannot be written")
                }
                continue
            }
            var fuzz = RequestFuzz(input)
            let problems = fuzz.run()
            if !problems.isEmpty {
                print("seed \(seed &+ index): \(problems)")
                throw ExitCode(1)
            }
        }
        let outcome = corpus.map { "written to \($0)" } ?? "nothing found"
        print("\(inputs) inputs from seed \(seed): \(outcome)")
    }
}
