// ArmedRule: a rule in force, with what it has counted.

package import FuseTransport

/// What a rule does to a request that it has been chosen for.
package struct FaultEffect: Sendable {
    /// 0 for none.
    package var errno: Int32 = 0
    package var delayNanoseconds: UInt64 = 0
    /// READ and WRITE carry half of the bytes.
    package var isShort = false
    /// From this byte on a file has no room.
    package var fullAt: UInt64?
    /// So many bits of what a READ carries are the other way round, by `flipSeed`.
    package var flippedBits: UInt64 = 0
    package var flipSeed: UInt64 = 0
    /// The power fails at the request.
    package var powerLoss: PowerLossTime?
    /// Of that; nil for one by chance.
    package var powerLossSeed: UInt64?
    /// What an FSYNC was to sync is lost, whatever later ones say.
    package var dropsUnsynced = false

    package init() {}
}

/// When the power fails, beside a request.
package enum PowerLossTime: Sendable {
    /// The request is not carried out, and answered by `EIO`.
    case before
    /// It is carried out, and perhaps lost.
    case after
}

/// A rule about requests: of which, and what happens to them.
package struct RequestRule: Sendable {
    /// Which of the requests that match are chosen; they are counted from 1.
    package enum Choice: Sendable {
        case all
        case nth(UInt64)
        case every(UInt64)
        case probability(Double, seed: UInt64)
    }

    package var operations: Set<Opcode>
    /// nil for every inode, also those without a name.
    package var pattern: PathPattern?
    package var effect = FaultEffect()
    package var choice = Choice.all
    /// So many of the first that match are not counted for the choice.
    package var skipped: UInt64 = 0
    /// It is carried out so often at most.
    package var mostTimes = UInt64.max

    package init(_ operations: Set<Opcode>, _ pattern: PathPattern?) {
        self.operations = operations
        self.pattern = pattern
    }
}

/// What a rule has counted since it was added.
package struct RuleCount: Sendable {
    /// What it is cleared by.
    package var number: Int
    /// Requests whose operation and path the rule names.
    package var matched: UInt64 = 0
    /// Of those, the ones that it was carried out on.
    package var fired: UInt64 = 0
}

/// A rule in force. A value, guarded by its owner.
struct ArmedRule: Sendable {
    private(set) var count: RuleCount
    let operations: OpcodeMask
    private let rule: RequestRule

    init(_ rule: RequestRule, number: Int) {
        count = RuleCount(number: number)
        operations = OpcodeMask(rule.operations)
        self.rule = rule
    }

    var number: Int { count.number }
    var pattern: PathPattern? { rule.pattern }

    /// Counts a request that matches, and adds what is to happen to it.
    mutating func apply(to effect: inout FaultEffect) {
        count.matched += 1
        guard count.matched > rule.skipped, count.fired < rule.mostTimes,
            isChosen(count.matched - rule.skipped)
        else { return }
        count.fired += 1
        if effect.errno == 0 { effect.errno = rule.effect.errno }
        effect.delayNanoseconds += rule.effect.delayNanoseconds
        if rule.effect.isShort { effect.isShort = true }
        if let byte = rule.effect.fullAt { effect.fullAt = min(byte, effect.fullAt ?? .max) }
        if rule.effect.flippedBits > 0 {
            effect.flippedBits += rule.effect.flippedBits
            // Each time other bits, and the same for the same seed.
            effect.flipSeed = SeededChoice(seed: rule.effect.flipSeed).word(count.fired)
        }
        if rule.effect.dropsUnsynced { effect.dropsUnsynced = true }
        if effect.powerLoss == nil, let loss = rule.effect.powerLoss {
            effect.powerLoss = loss
            effect.powerLossSeed = rule.effect.powerLossSeed
        }
    }

    private func isChosen(_ index: UInt64) -> Bool {
        switch rule.choice {
        case .all: true
        case .nth(let nth): index == nth
        case .every(let every): index % every == 0
        case .probability(let probability, let seed):
            SeededChoice(seed: seed).fraction(index) < probability
        }
    }
}
