// Faults of a mount: adding, listing and clearing rules, on a thread that answers no request. Each is
// in force, for every process, when the call returns.

internal import FuseTransport
internal import InodeStore
internal import MayflyHost
internal import MayflyServing
internal import Synchronization
internal import SystemPackage

extension MountedFileSystem {
    /// Has requests go wrong.
    ///
    /// When it returns, no request is answered any more without a look at the rule, and the kernel
    /// has forgotten what it would have answered itself.
    ///
    /// - Returns: the rule with the number that it is cleared by.
    /// - Throws: `.usage` for what is no rule, and for one that needs a mount with `faults`.
    @discardableResult
    public func addFault(_ rule: FaultRule) throws(MountError) -> FaultRecord {
        let record = try whileHooked { parts throws(MountError) in
            let checked = try RequestRule(
                rule, answersAll: hooks.faults.answersAll, isDurable: hooks.durability != nil)
            if rule.crash != nil {
                hooks.faults.setWhenPowerFails { [weak self] seed in self?.crashApart(seed) }
            }
            let number = hooks.faults.add(checked)
            faultRules.withLock { $0[number] = rule }
            // Requests that began before it are over when everybody has stopped once.
            parts.store.whileFrozen { hooks.isOn.hasFaults = true }
            let walk = FaultWalk(checked.pattern, parts.observer)
            parts.session.forget(walk.referredNodes())
            if checked.operations.contains(.lookup) { expireNames(parts, rule.path) }
            return FaultRecord(number: number, rule: rule, matched: 0, fired: 0)
        }
        note(.fault) { $0.fault = record }
        return record
    }

    /// The rules in force, in the order in which they were added, with what they have counted.
    public func faults() throws(MountError) -> [FaultRecord] {
        try whileHooked { _ throws(MountError) in
            let rules = faultRules.withLock { $0 }
            return hooks.faults.counts.compactMap { count in
                rules[count.number].map {
                    FaultRecord(
                        number: count.number, rule: $0, matched: count.matched, fired: count.fired)
                }
            }
        }
    }

    /// Takes rules back.
    ///
    /// - Parameter numbers: nil for all.
    /// - Throws: `.usage` for a number that there is not.
    public func clearFaults(_ numbers: [Int]? = nil) throws(MountError) {
        // What they did until now, for listeners that look at the rules in force.
        let before = events.isHeard ? look() : nil
        try whileHooked { parts throws(MountError) in
            let hasRules: Bool
            do throws(UnknownRule) { hasRules = try hooks.faults.clear(numbers) } catch {
                throw MountError(
                    .usage, code: .noSuchFault,
                    "there is no fault \(error.number): `mayfly fault list` shows them")
            }
            faultRules.withLock { rules in
                for number in numbers ?? Array(rules.keys) { rules[number] = nil }
            }
            if hasRules { return }
            hooks.isOn.hasFaults = false
            parts.store.whileFrozen {}
        }
        guard let before else { return }
        for number in numbers ?? before.fired.keys.sorted() {
            guard let record = before.fired[number] else { continue }
            note(.fault) { ($0.fault, $0.count) = (record, record.fired) }
        }
    }

    /// Loses what was not synced, on a thread of its own: who asks for it is answering a request.
    private func crashApart(_ seed: UInt64?) {
        let faults = hooks.faults
        do throws(Errno) {
            try HostThread.start(name: "mayfly-crash") { [weak self] in
                _ = try? self?.crash(seed: seed)
                faults.powerIsBack()
            }.detach()
        } catch { faults.powerIsBack() }
    }

    /// Has the kernel look names up again that a rule is about.
    ///
    /// Names that carry a mount, or that lie above one, are left alone: where their lookup fails the
    /// kernel takes the mount away (fs/fuse/dir.c, `fuse_dentry_revalidate()`).
    ///
    /// - Parameter path: a pattern; also a path at which there may be nothing, as the kernel may know.
    private func expireNames(_ parts: Parts, _ path: String?) {
        var tree = PatternTree()
        if let path { tree.insert(PathPattern(path), rule: 1) }
        func isMeant(_ names: [UInt8]) -> Bool {
            if path == nil { return true }
            var places = tree.start()
            for name in names.split(separator: UInt8(ascii: "/")) {
                places = unsafe name.withUnsafeBytes { tree.advance(places, unsafe Name($0)) }
            }
            return tree.hasRules(at: places)
        }
        var names: [CachedName] = []
        var missingName: (parent: UInt64, name: [UInt8])?
        let inside = connection.map(MountsInside.find(connection:)) ?? []
        parts.store.whileFrozen {
            let worker = parts.store.worker(0)
            let carriers = MountVerdict.carriers(inside, worker)
            worker.forEachCachedNameFrozen { name, path in
                if isMeant(path), !carriers.contains(name.node) { names.append(name) }
            }
            if let path { missingName = worker.missingName(at: PathBytes(path).bytes) }
        }
        if let (parent, name) = missingName {
            try? parts.session.notifyInvalidEntry(parent: parent, name: name)
        }
        for name in names {
            do throws(Errno) {
                try parts.session.notifyExpiredEntry(parent: name.parent, name: name.name)
            } catch .noFunction {
                try? parts.session.notifyInvalidEntry(parent: name.parent, name: name.name)
            } catch {}
        }
    }

    func whileHooked<Result: Sendable>(
        _ body: (Parts) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        let result: Swift.Result<Result, MountError>? = whileMounted { parts in
            // What it changes may leave memory to be given back.
            defer { parts.maintenance.bell.ring() }
            do throws(MountError) { return .success(try body(parts)) } catch {
                return .failure(error)
            }
        }
        guard let result else { throw MountError(.mount, code: .notMounted, "the mount is gone") }
        return try result.get()
    }
}
