/// What a mount holds and has done, at one moment.
public struct MountStatistics: Sendable, Equatable {
    /// Content in whole pages, in bytes.
    public var usedBytes: UInt64
    /// The most `usedBytes` has been.
    public var peakBytes: UInt64
    /// Files, directories and further links.
    public var usedInodes: UInt64
    /// The most `usedInodes` has been.
    public var peakInodes: UInt64
    /// Requests answered since mounting.
    public var requests: UInt64

    /// Counts as they are given.
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

/// Bytes of content, since mounting.
package struct ContentTraffic: Sendable, Equatable {
    /// In replies to READ.
    package var read: UInt64 = 0
    /// Taken from WRITE.
    package var written: UInt64 = 0
    /// Copied from or to the arena, or within it.
    package var copied: UInt64 = 0
    /// Given out as the zeros of holes.
    package var zeroed: UInt64 = 0
}
