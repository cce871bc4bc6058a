// FaultEngine: rules, and what they make of requests. It locks and allocates: it is only asked while
// there are rules.
//
// Lock order: the engine's lock is the innermost. It is taken by threads that have entered a worker,
// so whoever freezes the store holds it only while it is frozen, or not at all.

internal import CFuseKernel
package import FuseTransport
internal import InodeStore
internal import Synchronization
internal import SystemPackage

/// What is known of a request before it is answered, when its names may be written over.
struct FaultedRequest {
    var effect = FaultEffect()
    /// Of OPEN: whether reads and writes must come through.
    var opensDirect = false
}

/// There is no rule of that number.
package struct UnknownRule: Error {
    package let number: Int
}

/// The rules of one mount.
package final class FaultEngine: Sendable {
    /// Whether the mount is asked for OPEN, FLUSH and FSYNC.
    package let answersAll: Bool

    fileprivate struct State: Sendable {
        /// By number: in the order in which they were added.
        var rules: [Int: ArmedRule] = [:]
        var lastNumber = 0
        var index = FaultIndex()
        /// Components of one path, and rules that match: kept for their memory.
        var components: [Name] = []
        var matching: [Int] = []
    }

    private let state = Mutex(State())
    /// Whether the power has failed, and the tree is not yet what is left of it.
    private let powerIsOff = Atomic<Bool>(false)
    private let whenPowerFails = Mutex<(@Sendable (UInt64?) -> Void)?>(nil)
    /// What OPEN tells where reads come through; without it 0.
    static let directHandle: UInt64 = 1

    package init(answersAll: Bool) { self.answersAll = answersAll }

    // MARK: rules

    /// Puts a rule in force.
    ///
    /// - Returns: its number: 1 for the first, and never one that was given before.
    /// - Complexity: O(length of the pattern).
    package func add(_ rule: RequestRule) -> Int {
        state.withLock { state in
            state.lastNumber += 1
            let armed = ArmedRule(rule, number: state.lastNumber)
            state.rules[state.lastNumber] = armed
            state.index.insert(armed)
            return state.lastNumber
        }
    }

    /// What the rules in force have counted, in the order of their numbers.
    package var counts: [RuleCount] {
        state.withLock { $0.rules.values.map(\.count) }.sorted { $0.number < $1.number }
    }

    /// Takes rules back.
    ///
    /// - Parameter numbers: nil for all.
    /// - Returns: whether rules are left.
    /// - Throws: a number that there is not; nothing is cleared then.
    package func clear(_ numbers: [Int]?) throws(UnknownRule) -> Bool {
        let missing = state.withLock { state -> Int? in
            if let missing = (numbers ?? []).first(where: { state.rules[$0] == nil }) {
                return missing
            }
            for number in numbers ?? [] {
                if let rule = state.rules.removeValue(forKey: number) { state.index.remove(rule) }
            }
            if numbers == nil { state.rules = [:] }
            if state.rules.isEmpty || state.index.isStale(ruleCount: state.rules.count) {
                state.index = FaultIndex()
                for rule in state.rules.values { state.index.insert(rule) }
            }
            return nil
        }
        if let missing { throw UnknownRule(number: missing) }
        return state.withLock { !$0.rules.isEmpty }
    }

    // MARK: power

    /// Has `body` called when a rule has the power fail, with the rule's seed. It is to return at once, and
    /// `powerIsBack` to be called when the tree is what is left.
    package func setWhenPowerFails(_ body: @escaping @Sendable (UInt64?) -> Void) {
        whenPowerFails.withLock { $0 = body }
    }

    /// From now on nothing is changed, until the power is back.
    func failPower(_ seed: UInt64?) {
        let wasOff = powerIsOff.exchange(true, ordering: .acquiringAndReleasing)
        if wasOff { return }
        guard let body = whenPowerFails.withLock({ $0 }) else { return powerIsBack() }
        body(seed)
    }

    package func powerIsBack() { powerIsOff.store(false, ordering: .releasing) }

    var isPowerOff: Bool { powerIsOff.load(ordering: .acquiring) }

    // MARK: requests

    /// Looks at a request that is about to be answered.
    ///
    /// - Precondition: the worker is entered.
    func before(_ request: FuseRequest, _ worker: StoreWorker) -> FaultedRequest {
        guard let operation = request.operation else { return FaultedRequest() }
        var faulted = FaultedRequest()
        return state.withLock { state in
            state.find(operation, request, worker)
            for number in state.matching { state.rules[number]?.apply(to: &faulted.effect) }
            if operation == .open && answersAll {
                faulted.opensDirect = state.isRead(request.nodeID, worker)
            }
            return faulted
        }
    }

    /// What the rules make of a change that comes in no request; it counts as one.
    ///
    /// - Parameter path: from the root, without a slash in front.
    package func effect(of operation: Opcode, on path: [UInt8]) -> FaultEffect {
        state.withLock { state in
            var effect = FaultEffect()
            state.matching.removeAll(keepingCapacity: true)
            state.index.addAlways(operation, &state.matching)
            if state.index.longestPath(operation) != nil {
                unsafe path.withUnsafeBytes { bytes in
                    let slash = UInt8(ascii: "/")
                    state.components = unsafe bytes.split(separator: slash).reversed().map {
                        unsafe Name(UnsafeRawBufferPointer(rebasing: $0))
                    }
                    state.index.match(operation, state.components, &state.matching)
                    state.components.removeAll(keepingCapacity: true)
                }
            }
            for number in Set(state.matching).sorted() {
                state.rules[number]?.apply(to: &effect)
            }
            return effect
        }
    }

    /// Has the kernel keep nothing of what a request was answered.
    func after(_ faulted: FaultedRequest, _ request: FuseRequest, _ reply: Reply) {
        guard let operation = request.operation, reply.error == 0 else { return }
        let answer = FaultReply(request: request, reply: reply)
        answer.keepNothing(operation)
        if faulted.effect.flippedBits > 0 {
            answer.flip(faulted.effect.flippedBits, seed: faulted.effect.flipSeed)
        }
        if faulted.opensDirect {
            var open = cfk_open_out()
            open.fh = Self.directHandle
            open.open_flags = UInt32(CFK_FOPEN_DIRECT_IO)
            unsafe request.reply.storeBytes(of: open, as: cfk_open_out.self)
        }
    }

    /// The inode whose content or attributes a request is about.
    fileprivate static func node(_ operation: Opcode, _ request: FuseRequest) -> UInt64 {
        switch operation {
        case .copyFileRange, .copyFileRange64:
            request.argument(as: cfk_copy_file_range_in.self).nodeid_out
        default: request.nodeID
        }
    }
}

extension FaultEngine.State {
    /// Puts the numbers of the rules that a request matches into `matching`, in ascending order.
    ///
    /// A request about a name is of that name's path, of RENAME of both; any other is of each path
    /// of its inode. No path is built where no rule of the operation asks for one.
    mutating func find(_ operation: Opcode, _ request: FuseRequest, _ worker: StoreWorker) {
        matching.removeAll(keepingCapacity: true)
        index.addAlways(operation, &matching)
        if let longest = index.longestPath(operation) {
            var isNaming = false
            NamePlace.forEach(of: operation, request) { parent, name in
                isNaming = true
                components.removeAll(keepingCapacity: true)
                components.append(name)
                let directory = NodeID(rawValue: parent)
                if longest > 0,
                    worker.appendComponents(of: directory, to: &components, atMost: longest - 1)
                {
                    index.match(operation, components, &matching)
                }
            }
            if !isNaming {
                match(operation, FaultEngine.node(operation, request), worker, atMost: longest)
            }
        }
        if matching.count < 2 { return }
        matching.sort()
        var last = 0
        // A rule counts a request once, whichever of its paths it matches.
        matching.removeAll { number in
            defer { last = number }
            return number == last
        }
    }

    private mutating func match(
        _ operation: Opcode, _ node: UInt64, _ worker: StoreWorker, atMost longest: Int
    ) {
        let node = NodeID(rawValue: node)
        for name in 0..<worker.names(of: node) {
            components.removeAll(keepingCapacity: true)
            if worker.appendComponents(of: node, name: name, to: &components, atMost: longest) {
                index.match(operation, components, &matching)
            }
        }
    }

    /// Whether a rule is about reading or writing an inode.
    mutating func isRead(_ node: UInt64, _ worker: StoreWorker) -> Bool {
        matching.removeAll(keepingCapacity: true)
        for operation in [Opcode.read, .write] {
            index.addAlways(operation, &matching)
            if let longest = index.longestPath(operation) {
                match(operation, node, worker, atMost: longest)
            }
        }
        return !matching.isEmpty
    }
}
