// ArmedRule: a rule that has been checked, with what it has counted.

internal import FuseTransport
internal import Glibc

/// What a rule does to a request that it has been chosen for.
struct FaultEffect {
    var errno: Int32 = 0
    var delayNanoseconds: UInt64 = 0
    var isShort = false
    var fullAt: UInt64?
}

/// A rule in force. A value, guarded by its owner.
struct ArmedRule: Sendable {
    private(set) var record: FaultRecord
    let operations: OpcodeMask
    let pattern: PathPattern?
    private let errno: Int32

    /// - Parameter answersAll: whether the mount is asked for OPEN, FLUSH and FSYNC.
    /// - Throws: `.usage` for what is no rule, or cannot come about on this mount.
    init(_ rule: FaultRule, number: Int, answersAll: Bool) throws(MountError) {
        if let problem = rule.problem(.fields) { throw MountError(.usage, problem.message) }
        let operations = FaultOperations.named(rule.operation) ?? []
        let needsAll = operations.isSubset(of: FaultOperations.onlyWhereAnswered)
            || rule.short == true && operations == [.read]
        if needsAll && !answersAll {
            throw MountError(
                .usage,
                "the kernel does not ask for '\(rule.operation)' in this way: mount with --faults")
        }
        record = FaultRecord(number: number, rule: rule, matched: 0, fired: 0)
        self.operations = OpcodeMask(operations)
        pattern = rule.path.map(PathPattern.init)
        errno = rule.errno.flatMap(FaultOperations.errno) ?? 0
    }

    /// Counts a request that matches, and adds what is to happen to it.
    mutating func count(_ effect: inout FaultEffect) {
        record.matched += 1
        guard isChosen(record.matched) else { return }
        record.fired += 1
        if effect.errno == 0 { effect.errno = errno }
        effect.delayNanoseconds += record.rule.delayNanoseconds ?? 0
        if record.rule.short == true { effect.isShort = true }
        if let byte = record.rule.fullAtBytes { effect.fullAt = min(byte, effect.fullAt ?? .max) }
    }

    private func isChosen(_ index: UInt64) -> Bool {
        let rule = record.rule
        if let nth = rule.nth { return index == nth }
        if let every = rule.every { return index % every == 0 }
        if let probability = rule.probability {
            return SeededChoice(seed: rule.seed ?? 0).fraction(index) < probability
        }
        return true
    }
}
