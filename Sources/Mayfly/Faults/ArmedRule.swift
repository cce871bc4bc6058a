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

    private static let longestDelay: UInt64 = 60_000_000_000

    /// - Parameter answersAll: whether the mount is asked for OPEN, FLUSH and FSYNC.
    /// - Throws: `.usage` for what is no rule, or cannot come about on this mount.
    init(_ rule: FaultRule, number: Int, answersAll: Bool) throws(MountError) {
        guard let operations = FaultOperations.named(rule.operation) else {
            throw Self.wrong(
                "there is no operation '\(rule.operation)': give one that `mayfly stat` lists, or one "
                    + "of \(FaultOperations.names)")
        }
        var errno: Int32 = 0
        if let text = rule.errno {
            guard let number = FaultOperations.errno(text) else {
                throw Self.wrong("bad errno '\(text)': give a name such as EIO, or 1 to 133")
            }
            if number == ENOSYS {
                throw Self.wrong("ENOSYS would keep the kernel from asking ever again: give another")
            }
            errno = number
        }
        try Self.check(rule, operations, answersAll: answersAll)
        record = FaultRecord(number: number, rule: rule, matched: 0, fired: 0)
        self.operations = OpcodeMask(operations)
        pattern = rule.path.map(PathPattern.init)
        self.errno = errno
    }

    private static func wrong(_ text: String) -> MountError { MountError(.usage, text) }

    private static func check(
        _ rule: FaultRule, _ operations: Set<Opcode>, answersAll: Bool
    ) throws(MountError) {
        let isShort = rule.short ?? false
        if rule.errno == nil, rule.delayNanoseconds == nil, !isShort, rule.fullAtBytes == nil {
            throw wrong("the rule does nothing: give --errno, --delay, --short or --full-at")
        }
        if let delay = rule.delayNanoseconds, delay > longestDelay {
            throw wrong("the delay is too long: give at most 60s")
        }
        if isShort, operations.isDisjoint(with: [.read, .write]) {
            throw wrong("only reads and writes can be short: give --op read or --op write")
        }
        if rule.fullAtBytes != nil, operations.isDisjoint(with: FaultOperations.writing) {
            throw wrong("only writes can find the disk full: give --op write")
        }
        let chosen = [rule.nth != nil, rule.every != nil, rule.probability != nil]
        if chosen.count(where: { $0 }) > 1 {
            throw wrong("--nth, --every and --probability exclude each other: give one")
        }
        if rule.nth == 0 || rule.every == 0 {
            throw wrong("requests are counted from 1: give --nth or --every of at least 1")
        }
        if let probability = rule.probability, !(0...1).contains(probability) {
            throw wrong("bad probability \(probability): give 0 to 1")
        }
        if rule.seed != nil, rule.probability == nil {
            throw wrong("a seed goes with --probability: give both or none")
        }
        let needsAll = operations.isSubset(of: FaultOperations.onlyWhereAnswered)
            || isShort && operations == [.read]
        if needsAll && !answersAll {
            throw wrong(
                "the kernel does not ask for '\(rule.operation)' in this way: mount with --faults")
        }
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
