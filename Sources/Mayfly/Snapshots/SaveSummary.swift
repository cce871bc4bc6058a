// SaveSummary: what `mayfly save` tells.

/// What a save has written.
public struct SaveSummary: Codable, Sendable, Equatable {
    /// The file, absolute.
    public var path: String
    /// Bytes of the file; what was never used of it is holes.
    public var bytes: UInt64
}
