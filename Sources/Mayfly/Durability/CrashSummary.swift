internal import MayflyServing

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
