// SaveSummary: what `mayfly save` tells.

/// What a save has written.
public struct SaveSummary: Codable, Sendable, Equatable {
    /// The file, absolute.
    public var path: String
    /// Bytes of the file; what was never used of it is holes.
    public var bytes: UInt64
    /// Of a layer: "sha256:" and 64 digits of what it is on.
    public var base: String?
    /// Of a layer: bytes of the pages in it.
    public var pageBytes: UInt64?
}
