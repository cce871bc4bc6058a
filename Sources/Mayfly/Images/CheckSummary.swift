/// What a check of everything that a mount holds has found.
public struct CheckSummary: Codable, Sendable, Equatable {
    /// One line for each thing that is not as it must be, at most a hundred.
    public var problems: [String]
    /// All that were found.
    public var inodes: UInt64
    /// Inodes without names among them: removed or unnamed files that somebody has open.
    public var orphans: UInt64
    /// Directories among them.
    public var directories: UInt64
    /// Names in directories.
    public var entries: UInt64
    /// Pages of content, in bytes.
    public var contentBytes: UInt64
    /// For so long no request was answered.
    public var nanoseconds: UInt64
}
