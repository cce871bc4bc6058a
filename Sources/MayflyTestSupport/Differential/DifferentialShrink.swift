extension DifferentialRun {
    /// Plays this many shortened histories at most.
    static let shrinkLimit = 600

    /// The failure of a history, shrunk.
    func failure(
        seed: UInt64, _ history: [DifferentialOperation], _ divergence: DifferentialDivergence
    ) -> DifferentialFailure {
        let cut = Array(history.prefix(divergence.step + 1))
        var shrinker = Shrinker(run: self, history: cut, divergence: divergence)
        let isReproducible = shrinker.fails(cut)
        if isReproducible {
            shrinker.removeParts()
            shrinker.simplify()
            shrinker.removeParts()
        }
        return DifferentialFailure(
            seed: seed, history: shrinker.history, divergence: shrinker.divergence,
            originalCount: history.count, isReproducible: isReproducible)
    }
}

/// Looks for a shorter history that fails too, by leaving parts out: halves, then quarters, down
/// to single operations (delta debugging), and then for simpler operations.
private struct Shrinker {
    let run: DifferentialRun
    var history: [DifferentialOperation]
    var divergence: DifferentialDivergence
    var attempts = 0

    /// Whether the candidate fails; if so it becomes the history, up to where it fails.
    mutating func fails(_ candidate: [DifferentialOperation]) -> Bool {
        attempts += 1
        guard attempts <= DifferentialRun.shrinkLimit,
            let found = try? run.replay(
                candidate, treeInterval: candidate.count < 60 ? 1 : 50, waits: true)
        else { return false }
        history = Array(candidate.prefix(found.step + 1))
        divergence = found
        return true
    }

    mutating func removeParts() {
        var part = max(1, history.count / 2)
        while true {
            var start = 0
            var removed = false
            while start < history.count {
                var candidate = history
                candidate.removeSubrange(start..<min(start + part, history.count))
                // The last operation shows the failure; without it there is nothing to see.
                if !candidate.isEmpty, fails(candidate) { removed = true } else { start += part }
            }
            if part > 1 {
                part = max(1, part / 2)
            } else if !removed {
                return
            }
        }
    }

    /// Root instead of a user, no umask, short lengths, plain flags.
    mutating func simplify() {
        var index = 0
        while index < history.count {
            let changes: [(inout DifferentialOperation) -> Void] = [
                { $0.identity = 0 }, { $0.capability = 0 }, { $0.umask = 0o022 },
                { $0.length = min($0.length, 1) },
                { $0.offset = 0 }, { $0.flags = 0 },
            ]
            for change in changes where index < history.count {
                var candidate = history
                change(&candidate[index])
                if String(describing: candidate[index]) == String(describing: history[index]) {
                    continue
                }
                _ = fails(candidate)
            }
            index += 1
        }
    }
}
