// What is wrong with a rule, whichever way it was written.

internal import FuseTransport
internal import Glibc
internal import MayflyServing

/// What a field of `FaultRule` is called by whoever wrote the rule.
package typealias FaultNaming = (_ field: String) -> String

/// Why a rule is none.
package struct FaultRuleProblem: Sendable {
    /// One line that says what to do.
    package let message: String
    /// The field of `FaultRule` that is wrong; nil where it is the whole.
    var field: String?
    /// What may stand there.
    var known: [String]?
}

extension FaultRule {
    /// What `operation` may be: groups first, then the operations of the protocol.
    public static var operations: [String] { FaultOperations.all }
    /// The names that `errno` may be.
    public static var errnos: [String] { FaultOperations.errnoNames }

    private static let longestDelay: UInt64 = 60_000_000_000

    /// What is wrong with the rule, whatever the mount; nil where nothing is.
    ///
    /// - Parameter name: of a field; in JSON and in Swift its own.
    package func problem(_ name: FaultNaming = { $0 }) -> FaultRuleProblem? {
        let groups = FaultOperations.names
        guard let operations = FaultOperations.named(operation) else {
            return FaultRuleProblem(
                message:
                    "there is no operation '\(operation)' for \(name("operation")): give one that "
                    + "`mayfly stat` lists, or one of \(groups)",
                field: "operation", known: FaultOperations.all)
        }
        return errnoProblem(name) ?? pathProblem(name) ?? effectProblem(operations, name)
            ?? choiceProblem(name)
    }

    private func errnoProblem(_ name: FaultNaming) -> FaultRuleProblem? {
        guard let errno else { return nil }
        guard let number = FaultOperations.errno(errno) else {
            return FaultRuleProblem(
                message:
                    "bad errno '\(errno)' for \(name("errno")): give a name such as EIO, or 1 to 133",
                field: "errno", known: FaultOperations.errnoNames + ["1 to 133"])
        }
        if number != ENOSYS { return nil }
        return FaultRuleProblem(
            message:
                "ENOSYS would keep the kernel from asking ever again: give another \(name("errno"))",
            field: "errno")
    }

    private func pathProblem(_ name: FaultNaming) -> FaultRuleProblem? {
        guard let path, PathPattern(path).components.contains(Array("..".utf8)) else { return nil }
        return FaultRuleProblem(
            message:
                "'..' in \(name("path")) matches nothing: give a path from the mount's root, without it",
            field: "path")
    }

    private func effectProblem(
        _ operations: Set<Opcode>, _ name: FaultNaming
    ) -> FaultRuleProblem? {
        let isShort = short ?? false
        if errno == nil, delayNanoseconds == nil, !isShort, fullAtBytes == nil, flipBits == nil,
            crash == nil, dropUnsynced != true
        {
            let effects = [
                "errno", "delayNanoseconds", "short", "fullAtBytes", "flipBits", "crash",
                "dropUnsynced",
            ].map { name($0) }
            return FaultRuleProblem(
                message:
                    "the rule does nothing: give \(effects.dropLast().joined(separator: ", ")) or "
                    + effects[effects.count - 1],
                known: effects)
        }
        if let problem = lossProblem(operations, name) { return problem }
        if let delayNanoseconds, delayNanoseconds > Self.longestDelay {
            return FaultRuleProblem(
                message:
                    "\(name("delayNanoseconds")) is too long: give at most 60s (60000000000 ns)",
                field: "delayNanoseconds")
        }
        if isShort, operations.isDisjoint(with: [.read, .write]) {
            return FaultRuleProblem(
                message:
                    "only reads and writes can be \(name("short")): give \(name("operation")) read "
                    + "or write", field: "short")
        }
        if fullAtBytes != nil, operations.isDisjoint(with: FaultOperations.writing) {
            return FaultRuleProblem(
                message: "only writes can find the disk full by \(name("fullAtBytes")): give "
                    + "\(name("operation")) write", field: "fullAtBytes")
        }
        return nil
    }

    private func lossProblem(
        _ operations: Set<Opcode>, _ name: FaultNaming
    ) -> FaultRuleProblem? {
        if flipBits != nil, !operations.contains(.read) {
            return FaultRuleProblem(
                message:
                    "only reads can have bits flipped by \(name("flipBits")): give \(name("operation")) "
                    + "read", field: "flipBits")
        }
        if let flipBits, !(1...Self.mostFlippedBits).contains(flipBits) {
            return FaultRuleProblem(
                message:
                    "bad \(name("flipBits")) \(flipBits): give 1 to \(Self.mostFlippedBits) bits",
                field: "flipBits", known: ["1 to \(Self.mostFlippedBits)"])
        }
        if let crash, !Self.crashTimes.contains(crash) {
            return FaultRuleProblem(
                message: "bad \(name("crash")) '\(crash)': give before or after", field: "crash",
                known: Self.crashTimes)
        }
        if dropUnsynced == true, !operations.contains(.fsync) {
            return FaultRuleProblem(
                message:
                    "only syncs can be lost by \(name("dropUnsynced")): give \(name("operation")) sync",
                field: "dropUnsynced")
        }
        return nil
    }

    private static let mostFlippedBits: UInt64 = 1 << 20
    private static let crashTimes = ["before", "after"]

    private func choiceProblem(_ name: FaultNaming) -> FaultRuleProblem? {
        let choices = [
            ("nth", nth != nil), ("every", every != nil), ("probability", probability != nil),
        ]
        let chosen = choices.filter(\.1).map(\.0)
        if chosen.count > 1 {
            return FaultRuleProblem(
                message:
                    "\(chosen.map { name($0) }.joined(separator: " and ")) exclude each other: give one",
                field: chosen[1])
        }
        for (field, value) in [("nth", nth), ("every", every), ("times", times)] where value == 0 {
            return FaultRuleProblem(
                message: "requests are counted from 1: give \(name(field)) of at least 1",
                field: field)
        }
        if let probability, !(0...1).contains(probability) {
            return FaultRuleProblem(
                message: "bad probability \(probability) for \(name("probability")): give 0 to 1",
                field: "probability", known: ["0 to 1"])
        }
        if seed != nil, probability == nil, flipBits == nil, crash == nil {
            let users = ["probability", "flipBits", "crash"].map { name($0) }
            return FaultRuleProblem(
                message:
                    "a seed goes with \(users[0]), \(users[1]) or \(users[2]): give one, or no seed",
                field: "seed")
        }
        return nil
    }
}
