import ArgumentParser
import Glibc
import Mayfly
import MayflyHost
import MayflyRegistry

/// The options that all commands share which speak to a registry.
struct TransferArguments: ParsableArguments {
    @Flag(
        help:
            "Speak to a registry on another machine without TLS. To this machine it is not needed.")
    var plainHttp = false

    @Option(
        help: ArgumentHelp(
            "Trust the authorities in this file (PEM) beside the system's.", valueName: "file"),
        completion: .file())
    var ca: PathBytes?

    @Option(
        help: ArgumentHelp(
            """
            Take credentials from this file. Default: $REGISTRY_AUTH_FILE, or where podman and docker keep \
            theirs.
            """, valueName: "file"), completion: .file())
    var authFile: PathBytes?

    @Option(help: "Blobs that go at a time, 1 to 64. Default: 4.")
    var jobs: String?

    @Option(
        help: ArgumentHelp(
            "Give up a connection that is silent for so long, 1 to 3600. Default: 30.",
            valueName: "seconds"))
    var timeout: String?

    func options() throws(MountError) -> TransferOptions {
        var options = TransferOptions()
        options.plainHTTP = plainHttp
        options.authorities = ca
        options.authFile = authFile
        if let jobs { options.jobs = try Self.number(jobs, "--jobs", 1...64) }
        if let timeout { options.patienceSeconds = try Self.number(timeout, "--timeout", 1...3600) }
        return options
    }

    private static func number(
        _ text: String, _ option: String, _ range: ClosedRange<Int>
    ) throws(MountError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw MountError(
                .usage,
                "bad \(option) '\(text)': give a number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return number
    }
}

/// Says on a terminal how far a transfer is.
struct TransferLine {
    private let line: ProgressLine?

    init(isShown: Bool) { line = isShown ? ProgressLine() : nil }

    func show(_ progress: TransferProgress) {
        guard let line else { return }
        let (all, done) = (progress.totalBytes, progress.doneBytes)
        var bar = ""
        if all > 0 {
            let share = min(1, Double(done) / Double(all))
            let full = String(repeating: "#", count: Int(share * 30))
            bar =
                "[\(full)\(String(repeating: " ", count: 30 - full.count))] \(Numbers.percent(share))  "
        }
        line.show("\(bar)\(Numbers.bytes(progress.carriedBytes)) carried, \(progress.text)")
    }

    func clear() { line?.clear() }
}
