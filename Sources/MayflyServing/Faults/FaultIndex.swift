// FaultIndex: which rules a request may be about: by its operation first, then by its paths.

internal import FuseTransport
internal import InodeStore

/// Opcodes as bits.
struct OpcodeMask: Hashable, Sendable {
    private(set) var bits: UInt64 = 0

    init(_ opcodes: Set<Opcode>) { for opcode in opcodes { bits |= Self.bit(opcode) } }

    func contains(_ opcode: Opcode) -> Bool { bits & Self.bit(opcode) != 0 }

    mutating func formUnion(_ other: OpcodeMask) { bits |= other.bits }

    /// FUSE's opcodes end far below 64; CUSE's are none of ours.
    private static func bit(_ opcode: Opcode) -> UInt64 {
        opcode.rawValue < 64 ? 1 << UInt64(opcode.rawValue) : 0
    }
}

/// Rules by operations and path. A value, guarded by its owner.
struct FaultIndex: Sendable {
    /// Rules of the same operations.
    private struct Group: Sendable {
        let operations: OpcodeMask
        /// Those without a pattern.
        var always: Set<Int> = []
        var patterns = PatternTree()
        var patternCount = 0
    }

    private var groups: [Group] = []
    private var removedCount = 0

    /// Whether so many rules have gone that the index is to be made anew.
    func isStale(ruleCount: Int) -> Bool { removedCount > ruleCount + 64 }

    mutating func insert(_ rule: ArmedRule) {
        let mask = rule.operations
        let index = groups.firstIndex { $0.operations == mask } ?? groups.endIndex
        if index == groups.endIndex { groups.append(Group(operations: mask)) }
        guard let pattern = rule.pattern else {
            groups[index].always.insert(rule.number)
            return
        }
        groups[index].patterns.insert(pattern, rule: rule.number)
        groups[index].patternCount += 1
    }

    mutating func remove(_ rule: ArmedRule) {
        removedCount += 1
        guard let index = groups.firstIndex(where: { $0.operations == rule.operations }) else {
            return
        }
        guard let pattern = rule.pattern else {
            groups[index].always.remove(rule.number)
            return
        }
        groups[index].patterns.remove(pattern, rule: rule.number)
        groups[index].patternCount -= 1
    }

    /// Components of the longest path that a rule of an operation may match; nil where no rule asks
    /// for a path.
    func longestPath(_ operation: Opcode) -> Int? {
        var longest: Int?
        for group in groups where group.patternCount > 0 && group.operations.contains(operation) {
            longest = max(longest ?? 0, group.patterns.longest)
        }
        return longest
    }

    /// Appends the rules of an operation that have no pattern.
    func addAlways(_ operation: Opcode, _ found: inout [Int]) {
        for group in groups where !group.always.isEmpty && group.operations.contains(operation) {
            found.append(contentsOf: group.always)
        }
    }

    /// Appends the rules of an operation that match a path, the last component of which comes first.
    mutating func match(_ operation: Opcode, _ components: [Name], _ found: inout [Int]) {
        for index in groups.indices
        where groups[index].patternCount > 0 && groups[index].operations.contains(operation) {
            groups[index].patterns.match(components, &found)
        }
    }
}
