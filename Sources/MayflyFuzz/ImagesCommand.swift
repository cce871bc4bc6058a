import ArgumentParser
import Glibc
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

    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many mutated images.") var count = 10_000
    @Option(help: "Seconds that one of them may take.") var limit = 5

    /// Images that are made of one seed.
    private static let stepsOfSeed = 250

    func validate() throws {
        guard count > 0, limit > 0 else { throw ValidationError("give numbers above 0") }
    }

    func run() throws {
        var totals = (refused: 0, unsound: 0, sound: 0)
        var (served, changed, requests) = (0, 0, 0)
        let watchdog = Watchdog(seconds: limit)
        for (index, first) in stride(from: 0, to: count, by: Self.stepsOfSeed).enumerated() {
            let seed = seed &+ UInt64(index)
            Watchdog.tell("seed \(seed): \(first) of \(count) images")
            let fuzz = try ImageFuzz(seed: seed)
            for step in 1...min(count - first, Self.stepsOfSeed) {
                watchdog.begin("seed \(seed), step \(step)")
                fuzz.step()
                watchdog.end()
            }
            totals.refused += fuzz.refused
            totals.unsound += fuzz.unsound
            totals.sound += fuzz.sound
            served += fuzz.served
            changed += fuzz.changed
            requests += fuzz.requests
        }
        print(
            "\(count) mutated images: \(totals.refused) refused, \(totals.unsound) unsound, "
                + "\(totals.sound) sound; the longest took \(watchdog.longest)")
        print(
            "\(served) were served, \(changed) of them changed meanwhile: \(requests) requests answered"
        )
    }
}

/// Ends the process when one thing takes too long.
final class Watchdog: Sendable {
    private struct State {
        var what: String?
        var since = ContinuousClock.now
        var longest = Duration.zero
    }
    private let state = Guarded(State())

    /// - Parameter seconds: what `begin` to `end` may take.
    init(seconds: Int) {
        let state = state
        let watched = pthread_self()
        startThread {
            while true {
                sleep(1)
                state.withLock { state in
                    guard let what = state.what, .now - state.since > .seconds(seconds)
                    else { return }
                    Self.tell("\(what): not done after \(seconds) s")
                    // To the thread that hangs, so that a debugger or a sanitizer shows where.
                    pthread_kill(watched, SIGABRT)
                    state.what = nil
                }
            }
        }
    }

    func begin(_ what: String) {
        state.withLock {
            $0.what = what
            $0.since = .now
        }
    }

    func end() {
        state.withLock {
            $0.what = nil
            $0.longest = max($0.longest, .now - $0.since)
        }
    }

    var longest: String {
        state.withLock { "\(Int($0.longest / .milliseconds(1))) ms" }
    }

    static func tell(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        unsafe _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
