// Files that are changed at random and opened, seed by seed, and what becomes of them.

import ArgumentParser
import Glibc
import MayflyTestSupport

/// What all commands take that change files at random.
struct MutationOptions: ParsableArguments {
    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(help: "How many are changed. (default: 10000; of artifacts, which are small, 100000)")
    var count: Int?
    @Option(help: "Seconds that one of them may take.") var limit = 5

    func validate() throws {
        guard count ?? 1 > 0, limit > 0 else { throw ValidationError("give numbers above 0") }
    }

    /// - Parameters:
    ///   - what: what the files are, for people.
    ///   - usual: how many, where nobody says it.
    func mutations(of what: String, usual: Int = 10_000) -> Mutations {
        Mutations(of: what, seed: seed, count: count ?? usual, limit: limit)
    }
}

/// One run of a fuzzer that makes and opens files.
struct Mutations {
    /// Files that are made of one seed.
    private static let stepsOfSeed = 250

    private let what: String
    private let seed: UInt64
    private let count: Int
    private let limit: Int

    /// - Parameters:
    ///   - what: what the files are, for people.
    ///   - seed: the first.
    ///   - count: how many files.
    ///   - limit: seconds that one of them may take.
    init(of what: String, seed: UInt64, count: Int, limit: Int) {
        (self.what, self.seed, self.count, self.limit) = (what, seed, count, limit)
    }

    /// Makes a fuzzer of each seed, has it step, and prints what it has counted.
    func run<Fuzz>(
        _ make: (UInt64) throws -> Fuzz, step: (Fuzz) -> Void,
        counted: (Fuzz) -> (refused: Int, unsound: Int, sound: Int)
    ) throws {
        var totals = (refused: 0, unsound: 0, sound: 0)
        let watchdog = Watchdog(seconds: limit)
        for (index, first) in stride(from: 0, to: count, by: Self.stepsOfSeed).enumerated() {
            let seed = seed &+ UInt64(index)
            Watchdog.tell("seed \(seed): \(first) of \(count) \(what)")
            let fuzz = try make(seed)
            for number in 1...min(count - first, Self.stepsOfSeed) {
                watchdog.begin("seed \(seed), step \(number)")
                step(fuzz)
                watchdog.end()
            }
            let own = counted(fuzz)
            totals.refused += own.refused
            totals.unsound += own.unsound
            totals.sound += own.sound
        }
        print(
            "\(count) mutated \(what): \(totals.refused) refused, \(totals.unsound) unsound, "
                + "\(totals.sound) sound; the longest took \(watchdog.longest)")
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
