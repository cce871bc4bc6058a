internal import MayflyServing

/// A path whose change was not synced, or was lost for it.
public struct UnsyncedPath: Codable, Sendable, Equatable {
    /// What had changed.
    public enum Change: String, Codable, Sendable {
        /// A name that was made; one that was removed; one that leads to something else.
        case made, removed, replaced
        /// Of a file: its content; or its size, permissions or owner alone.
        case content, attributes

        init(_ change: UnsyncedPaths.NameKind) {
            switch change {
            case .made: self = .made
            case .removed: self = .removed
            case .replaced: self = .replaced
            }
        }
    }

    /// From the root, without a slash in front; what is not UTF-8 is as `PathBytes` has it.
    public var path: String
    /// What had changed.
    public var change: Change
    /// Of `content`: pages of 4 KiB.
    public var pages: UInt64?
    /// Whether a sync of it has failed, after which no later one brings it to the disk.
    public var isDropped: Bool?

    static let mostInACrash = 1000
}

/// What a power loss has done.
public struct CrashSummary: Codable, Sendable, Equatable {
    /// Gives the same losses for the same changes.
    public var seed: UInt64
    /// Changed names (of a rename both) that stayed.
    public var namesKept: Int = 0
    /// Those that were undone.
    public var namesLost: Int = 0
    /// Files and directories that had changed since they were synced.
    public var files: Int = 0
    /// Changed pages of 4 KiB that are new.
    public var pagesKept: Int = 0
    /// Those that are old.
    public var pagesLost: Int = 0
    /// Those that are partly each.
    public var pagesTorn: Int = 0
    /// What there was no room for any more: give the mount a larger size where this is not 0.
    public var notRestored: Int = 0
    /// From the call to the last of the kernel's caches.
    public var nanoseconds: UInt64 = 0
    /// What was lost by name: the first 1000.
    public var lost: [UnsyncedPath] = []

    init(seed: UInt64, _ counts: LossCounts) {
        self.seed = seed
        namesKept = counts.namesKept
        namesLost = counts.namesLost
        files = counts.files
        pagesKept = counts.pagesKept
        pagesLost = counts.pagesLost
        pagesTorn = counts.pagesTorn
        notRestored = counts.notRestored
    }
}
