// RequestHooks: what looks at requests before and after they are answered, when anything does.

internal import Synchronization

/// A word that every request reads. Trivial to copy.
@safe package struct HookSwitch: @unchecked Sendable {
    // Sendable: points to an atomic that lives as long as the mount.
    private let word: UnsafeMutablePointer<Atomic<UInt32>>

    package init() {
        unsafe word = .allocate(capacity: 1)
        unsafe word.initialize(to: Atomic(0))
    }

    package func deallocate() { unsafe word.deallocate() }

    private static var faults: UInt32 { @_noLocks get { 1 } }
    private static var durability: UInt32 { @_noLocks get { 2 } }

    /// Whether a request takes the long way.
    ///
    /// Relaxed: it changes while the store is frozen, and entering a worker orders the rest.
    package var isOn: Bool { @_noLocks get { unsafe word.pointee.load(ordering: .relaxed) != 0 } }

    /// Whether there are rules.
    package var hasFaults: Bool {
        get { unsafe word.pointee.load(ordering: .relaxed) & Self.faults != 0 }
        nonmutating set { set(Self.faults, newValue) }
    }

    /// Has every request looked at, from the beginning.
    package func enableDurability() { set(Self.durability, true) }

    private func set(_ bit: UInt32, _ isOn: Bool) {
        if isOn {
            unsafe _ = word.pointee.bitwiseOr(bit, ordering: .relaxed)
        } else {
            unsafe _ = word.pointee.bitwiseAnd(~bit, ordering: .relaxed)
        }
    }
}

/// Everything that stands behind the switch.
package final class RequestHooks: Sendable {
    package let isOn: HookSwitch
    package let faults: FaultEngine
    /// nil where nobody asks what was synced.
    package let durability: DurabilityLog?

    package init(answersAll: Bool, isDurable: Bool) {
        isOn = HookSwitch()
        faults = FaultEngine(answersAll: answersAll)
        durability = isDurable ? DurabilityLog() : nil
        if isDurable { isOn.enableDurability() }
    }
}
