/// What a mount holds and has done, at one moment.
public struct MountStatistics: Sendable, Equatable {
    public var usedBytes: UInt64
    /// The most `usedBytes` has been.
    public var peakBytes: UInt64
    public var usedInodes: UInt64
    /// The most `usedInodes` has been.
    public var peakInodes: UInt64
    /// Requests answered since mounting.
    public var requests: UInt64

    public init(
        usedBytes: UInt64 = 0, peakBytes: UInt64 = 0, usedInodes: UInt64 = 0,
        peakInodes: UInt64 = 0, requests: UInt64 = 0
    ) {
        self.usedBytes = usedBytes
        self.peakBytes = peakBytes
        self.usedInodes = usedInodes
        self.peakInodes = peakInodes
        self.requests = requests
    }
}
