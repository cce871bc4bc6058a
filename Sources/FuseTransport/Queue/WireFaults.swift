// WireFaults: what a healthy session has none of.

/// What went wrong on the wire, counted.
package struct WireFaults: Equatable, Sendable {
    /// A healthy session's.
    package static let none = WireFaults()
    /// Ring entries given up after an error of one command.
    package var droppedEntries = 0
    /// Replies that write(2) on /dev/fuse refused.
    package var rejectedReplies = 0
    /// Completions that named no entry the kernel had.
    package var strayCompletions = 0
    /// Requests answered by the transport because their sizes did not fit together.
    package var malformedRequests = 0
}
