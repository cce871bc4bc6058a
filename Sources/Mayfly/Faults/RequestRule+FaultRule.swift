// What a fault rule means to the engine, and what is no rule.

internal import FuseTransport
internal import Glibc
internal import MayflyServing

extension RequestRule {
    /// - Parameters:
    ///   - answersAll: whether the mount is asked for OPEN, FLUSH and FSYNC.
    ///   - isDurable: whether it knows what was synced.
    /// - Throws: `.usage` for what is no rule, or cannot come about on this mount.
    init(_ rule: FaultRule, answersAll: Bool, isDurable: Bool) throws(MountError) {
        if let problem = rule.problem() { throw MountError(.usage, problem.message) }
        let operations = FaultOperations.named(rule.operation) ?? []
        let needsAll =
            operations.isSubset(of: FaultOperations.onlyWhereAnswered)
            || rule.short == true && operations == [.read]
        if needsAll && !answersAll {
            throw MountError(
                .usage, code: .unsupported,
                "the kernel does not ask for '\(rule.operation)' in this way: mount with \(setting: .faults)"
            )
        }
        if !isDurable, rule.crash != nil || rule.dropUnsynced == true {
            throw MountError(
                .usage, code: .unsupported,
                "the mount does not know what was synced, and so cannot lose the rest: mount with "
                    + "\(setting: .durability) fsync")
        }
        self.init(operations, rule.path.map(PathPattern.init))
        effect.errno = rule.errno.flatMap(FaultOperations.errno) ?? 0
        effect.delayNanoseconds = rule.delayNanoseconds ?? 0
        effect.isShort = rule.short ?? false
        effect.fullAt = rule.fullAtBytes
        effect.flippedBits = rule.flipBits ?? 0
        effect.flipSeed = rule.seed ?? 0
        effect.powerLoss = rule.crash.map { $0 == "before" ? .before : .after }
        effect.powerLossSeed = rule.seed
        effect.dropsUnsynced = rule.dropUnsynced ?? false
        skipped = rule.after ?? 0
        mostTimes = rule.times ?? .max
        if let nth = rule.nth { choice = .nth(nth) }
        if let every = rule.every { choice = .every(every) }
        if let probability = rule.probability {
            choice = .probability(probability, seed: rule.seed ?? 0)
        }
    }
}
