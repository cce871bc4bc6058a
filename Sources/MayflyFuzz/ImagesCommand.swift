import ArgumentParser
import MayflyTestSupport

/// `MayflyFuzz images`
struct ImagesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "images",
        abstract: "Open, check, export and serve images that were changed at random.",
        discussion: """
            Under the address sanitizer, with optimization and with assertions:
              swift run -c release --sanitize=address -Xswiftc -assert-config -Xswiftc Debug \
                --scratch-path .build-asan MayflyFuzz images

            The seed in the works is told on stderr; --seed with it begins there.

            EXIT STATUS:
              0    all were refused, found unsound, or could be read; otherwise the process crashes, \
            or ends by SIGABRT for one that takes too long
            """)

    @OptionGroup var options: MutationOptions

    func run() throws {
        var (served, changed, requests) = (0, 0, 0)
        try options.mutations(of: "images").run(ImageFuzz.init(seed:), step: { $0.step() }) {
            fuzz in
            served += fuzz.served
            changed += fuzz.changed
            requests += fuzz.requests
            return (fuzz.refused, fuzz.unsound, fuzz.sound)
        }
        print(
            "\(served) were served, \(changed) of them changed meanwhile: \(requests) requests answered"
        )
    }
}
