/// A way in which requests are saved or shortened that a mount can be made without, to measure what it
/// gives: `-o without=NAME[:NAME...]`. The tables in Docs/Benchmarks.md are made so; nobody else needs it.
package enum Shortcut: String, Sendable, CaseIterable {
    /// Names and attributes stay valid without end.
    case timeouts
    /// Names that are not there are kept as well.
    case negative
    /// OPEN and RELEASE are not sent.
    case open
    /// Nor are those of directories, whose listings the kernel keeps.
    case opendir
    /// FLUSH is not sent.
    case flush
    /// A file is made by MKNOD, and CREATE is not sent.
    case mknod
    /// READDIRPLUS in place of READDIR and LOOKUP.
    case readdirplus
    /// The kernel keeps what READLINK says.
    case symlinks
    /// Lookups in a directory go side by side.
    case dirops
    /// The server drops set-id bits: HANDLE_KILLPRIV_V2.
    case killpriv
    /// The region is advised huge pages.
    case hugepages
    /// The reader of /dev/fuse naps while forgets come, and takes what has gathered.
    case naps
    /// The queues' threads are SCHED_IDLE.
    case yielding
}
