// FaultRule: what is to go wrong, where and how often, as a tester writes it (Docs/Fixtures.md).

/// A fault that a mount answers requests with. What is nil is not asked for.
///
/// At least one effect is needed, and at most one of `nth`, `every` and `probability`, which choose
/// among the requests that match; without one every request that matches is chosen.
public struct FaultRule: Codable, Sendable, Equatable {
    /// An operation of the protocol in lower case (`write`, `fsync`, `rename2`, ...), or a group:
    /// `read`, `write`, `create`, `rename`, `unlink`, `open`, `sync`, `stat`, `list`, `xattr`, `any`.
    public var operation: String
    /// A pattern for paths in the mount, without a slash at its beginning: `*` and `?` within one
    /// component, `**` across them; nil for every inode, also those without a name.
    public var path: String?

    /// Effect: the request fails with this, by name ("EIO") or number, and nothing is done.
    public var errno: String?
    /// Effect: the request is answered so much later.
    public var delayNanoseconds: UInt64?
    /// Effect: READ and WRITE carry half of the bytes, at least one.
    public var short: Bool?
    /// Effect: a file has no room from this byte on: what would be written there is ENOSPC.
    public var fullAtBytes: UInt64?

    /// Effect: so many bits of what a READ carries are the other way round, by the seed.
    public var flipBits: UInt64?
    /// Effect: the power fails at the request, "before" it is carried out, which is `EIO` then, or "after": the
    /// mount loses what was not synced, by the seed.
    public var crash: String?
    /// Effect: what an FSYNC was to sync is lost with the next power loss, though later ones succeed.
    public var dropUnsynced: Bool?

    /// Chooses the n-th request that matches, counted from 1.
    public var nth: UInt64?
    /// Chooses the n-th, the 2n-th and so on.
    public var every: UInt64?
    /// Chooses each with this probability, 0 to 1: the same requests for the same seed.
    public var probability: Double?
    /// Of the probability and of flipped bits, where nil is 0; of a power loss, where nil is one by chance.
    public var seed: UInt64?
    /// Leaves so many requests that match alone, before others are chosen among.
    public var after: UInt64?
    /// Is carried out so often at most.
    public var times: UInt64?

    /// A rule without an effect yet.
    public init(operation: String = "any", path: String? = nil) {
        self.operation = operation
        self.path = path
    }
}

/// A rule that is in force.
public struct FaultRecord: Codable, Sendable, Equatable {
    /// What it is cleared by.
    public var number: Int
    /// As it was added.
    public var rule: FaultRule
    /// Requests so far whose operation and path the rule names.
    public var matched: UInt64
    /// Of those, the ones that it was carried out on.
    public var fired: UInt64
}
