// TreeWork: the work on whole trees that goes on beside the requests of a mount, and its end with the mount.

internal import Glibc
internal import MayflyImages
internal import Synchronization

/// Who builds trees in a mount or takes them apart.
final class TreeWork: Sendable {
    private struct State: Sendable {
        var isOver = false
        var workers = 0
    }

    private let state = Mutex(State())

    /// Whether the mount ends, and whoever works is to stop.
    var isOver: Bool { state.withLock { $0.isOver } }

    /// Takes part: the store stays until `end`.
    ///
    /// - Returns: false where the mount ends.
    func begin() -> Bool {
        state.withLock { state in
            if !state.isOver { state.workers += 1 }
            return !state.isOver
        }
    }

    func end() { state.withLock { $0.workers -= 1 } }

    /// Has everybody stop, and returns when all have.
    func finish() {
        state.withLock { $0.isOver = true }
        while state.withLock({ $0.workers > 0 }) { usleep(1000) }
    }
}

/// A source that ends with the mount.
struct EndingSource<Source: EntrySource>: EntrySource {
    let source: Source
    let work: TreeWork
    /// Leaves out and renames.
    let filter: TreeFilter

    func next() throws(TreeError) -> SourceEntry? {
        while true {
            if work.isOver { throw TreeError("the mount is unmounted") }
            guard let entry = try source.next() else { return nil }
            if let wanted = filter.wanted(entry) { return wanted }
        }
    }

    func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        try unsafe source.forEachPiece { offset, bytes throws(TreeError) in
            if work.isOver { throw TreeError("the mount is unmounted") }
            try unsafe body(offset, bytes)
        }
    }

    func xattrs() -> [(name: [UInt8], value: [UInt8])] { source.xattrs() }
    func takeUnknownNames() -> Bool { source.takeUnknownNames() }
}
