// Faults of a mount: adding, listing and clearing rules, on a thread that answers no request. Each is
// in force, for every process, when the call returns.

internal import FuseTransport
internal import InodeStore

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
        try whileHooked { parts throws(MountError) in
            let record = try hooks.faults.add(rule)
            // Requests that began before it are over when everybody has stopped once.
            parts.store.whileFrozen { hooks.isOn.hasFaults = true }
            let walk = FaultWalk(rule.path.map(PathPattern.init), parts.observer)
            parts.session.forget(walk.referredNodes())
            return record
        }
    }

    /// The rules in force, in the order in which they were added, with what they have counted.
    public func faults() throws(MountError) -> [FaultRecord] {
        try whileHooked { _ throws(MountError) in hooks.faults.records }
    }

    /// Takes rules back.
    ///
    /// - Parameter numbers: nil for all.
    /// - Throws: `.usage` for a number that there is not.
    public func clearFaults(_ numbers: [Int]? = nil) throws(MountError) {
        try whileHooked { parts throws(MountError) in
            if try hooks.faults.clear(numbers) { return }
            hooks.isOn.hasFaults = false
            parts.store.whileFrozen {}
        }
    }

    func whileHooked<Result: Sendable>(
        _ body: (Parts) throws(MountError) -> Result
    ) throws(MountError) -> Result {
        let result: Swift.Result<Result, MountError>? = whileMounted { parts in
            do throws(MountError) { return .success(try body(parts)) } catch {
                return .failure(error)
            }
        }
        guard let result else { throw MountError(.mount, "the mount is gone") }
        return try result.get()
    }
}
