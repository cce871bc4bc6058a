// FaultEngine: rules, and what they make of requests. It locks and allocates: it is only asked while
// there are rules.
//
// Lock order: the engine's lock is the innermost. It is taken by threads that have entered a worker,
// so whoever freezes the store holds it only while it is frozen, or not at all.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import Synchronization
internal import SystemPackage

/// What is known of a request before it is answered, when its names may be written over.
struct FaultedRequest {
    var effect = FaultEffect()
    var places: [NamePlace] = []
    /// Of OPEN: whether reads and writes must come through.
    var opensDirect = false
}

/// The rules of one mount.
final class FaultEngine: Sendable {
    /// Whether the mount is asked for OPEN, FLUSH and FSYNC.
    let answersAll: Bool

    private struct State: Sendable {
        var rules: [ArmedRule] = []
        var lastNumber = 0
        var names = NameMap()
    }

    private let state = Mutex(State())
    /// What OPEN tells where reads come through; without it 0.
    static let directHandle: UInt64 = 1

    init(answersAll: Bool) { self.answersAll = answersAll }

    // MARK: rules

    /// - Throws: `.usage`.
    func add(_ rule: FaultRule) throws(MountError) -> FaultRecord {
        let added: Result<FaultRecord, MountError> = state.withLock { state in
            do throws(MountError) {
                let armed = try ArmedRule(
                    rule, number: state.lastNumber + 1, answersAll: answersAll)
                state.lastNumber += 1
                state.rules.append(armed)
                return .success(armed.record)
            } catch { return .failure(error) }
        }
        return try added.get()
    }

    var records: [FaultRecord] { state.withLock { $0.rules.map(\.record) } }

    /// - Parameter numbers: nil for all.
    /// - Returns: whether rules are left.
    /// - Throws: `.usage` for a number that there is not; nothing is cleared then.
    func clear(_ numbers: [Int]?) throws(MountError) -> Bool {
        let missing = state.withLock { state -> Int? in
            let known = state.rules.map(\.record.number)
            if let missing = (numbers ?? []).first(where: { !known.contains($0) }) { return missing }
            state.rules.removeAll { numbers?.contains($0.record.number) ?? true }
            if state.rules.isEmpty { state.names = NameMap() }
            return nil
        }
        if let missing {
            throw MountError(.usage, "there is no fault \(missing): `mayfly fault list` shows them")
        }
        return state.withLock { !$0.rules.isEmpty }
    }

    /// Learns every name anew.
    ///
    /// - Precondition: the store is frozen.
    func learn(_ worker: StoreWorker) {
        var names = NameMap()
        worker.forEachNameFrozen { parent, name, node in
            names.set(NamePlace(parent: parent, name: name), to: node)
        }
        state.withLock { $0.names = names }
    }

    /// Inodes that a rule is about.
    func nodes(of number: Int) -> [UInt64] {
        state.withLock { state in
            guard let rule = state.rules.first(where: { $0.record.number == number }) else {
                return []
            }
            return state.names.named.filter { rule.covers(state.names.paths(of: $0)) }
        }
    }

    // MARK: requests

    /// Looks at a request that is about to be answered.
    func before(_ request: FuseRequest) -> FaultedRequest {
        guard let operation = request.operation else { return FaultedRequest() }
        var faulted = FaultedRequest()
        faulted.places = Self.places(operation, request)
        let node = Self.node(operation, request)
        let places = faulted.places
        return state.withLock { state in
            for index in state.rules.indices where state.rules[index].operations.contains(operation) {
                if state.rules[index].covers(Self.paths(node, places, state.names)) {
                    state.rules[index].count(&faulted.effect)
                }
            }
            if operation == .open && answersAll {
                faulted.opensDirect = state.rules.contains { rule in
                    !rule.operations.isDisjoint(with: [.read, .write])
                        && rule.covers(state.names.paths(of: node))
                }
            }
            return faulted
        }
    }

    /// Takes note of what a request that was answered has done to names, and has the kernel keep
    /// nothing.
    func after(_ faulted: FaultedRequest, _ request: FuseRequest, _ reply: Reply) {
        guard let operation = request.operation, reply.error == 0 else { return }
        FaultReply(request: request, reply: reply).keepNothing(operation)
        if faulted.opensDirect {
            var open = cfk_open_out()
            open.fh = Self.directHandle
            open.open_flags = UInt32(CFK_FOPEN_DIRECT_IO)
            unsafe request.reply.storeBytes(of: open, as: cfk_open_out.self)
        }
        guard let place = faulted.places.first else { return }
        let made = reply.bytes >= 8 ? unsafe request.reply.load(as: UInt64.self) : 0
        state.withLock { state in
            switch operation {
            case .unlink, .rmdir: state.names.remove(place)
            case .rename, .rename2:
                let flags = operation == .rename ? 0
                    : unsafe request.argument.load(as: cfk_rename2_in.self).flags
                state.names.rename(
                    place, to: faulted.places[1], isExchange: flags & RenameFlags.exchange != 0)
            case .mknod, .mkdir, .symlink, .create:
                state.names.set(place, to: made, isNew: true)
            case .link: state.names.set(place, to: made)
            case .lookup:
                let isDots = place.name == [0x2E] || place.name == [0x2E, 0x2E]
                if made != 0, !isDots, state.names.node(place) != made {
                    state.names.set(place, to: made)
                }
            default: break
            }
        }
    }

    /// The inode whose content or attributes a request is about.
    private static func node(_ operation: Opcode, _ request: FuseRequest) -> UInt64 {
        switch operation {
        case .copyFileRange, .copyFileRange64:
            unsafe request.argument.load(as: cfk_copy_file_range_in.self).nodeid_out
        default: request.nodeID
        }
    }

    private static func paths(
        _ node: UInt64, _ places: [NamePlace], _ names: NameMap
    ) -> [[UInt8]] {
        places.isEmpty ? names.paths(of: node) : places.compactMap(names.path)
    }

    /// The names that a request is about; of RENAME the old one and the new one.
    static func places(_ operation: Opcode, _ request: FuseRequest) -> [NamePlace] {
        guard FaultOperations.naming.contains(operation), let first = unsafe request.name() else {
            return []
        }
        let place = unsafe NamePlace(parent: request.nodeID, name: Array(first))
        guard operation == .rename || operation == .rename2 else { return [place] }
        guard let second = unsafe request.name(at: place.name.count + 1) else { return [] }
        let directory = unsafe request.argument.load(as: cfk_rename_in.self).newdir
        return unsafe [place, NamePlace(parent: directory, name: Array(second))]
    }
}
