// FolderSource: a folder on disk as entries, without what is left out, and with what tells later whether
// anybody else has changed it.

internal import InodeStore

/// Reads a folder once. One thread.
package final class FolderSource: EntrySource {
    private let reader: TreeReader
    private let patterns: IgnorePatterns
    private let owner: (user: UInt32, group: UInt32)?
    private let isCancelled: @Sendable () -> Bool
    private let note: @Sendable ([UInt8], SourceStamp) -> Void
    /// Files of several names whose first was left out, and the name that stands for it.
    private var firstNames: [[UInt8]: [UInt8]] = [:]

    /// - Parameters:
    ///   - path: absolute; everything that is mounted in it is read as well.
    ///   - patterns: what is left out.
    ///   - owner: whose everything is to be; nil: as it is.
    ///   - isCancelled: asked now and then; true ends the reading with an error.
    ///   - note: gets the path and the stamp of each entry, and the empty path for the folder itself.
    package init(
        _ path: [UInt8], leavingOut patterns: IgnorePatterns,
        owner: (user: UInt32, group: UInt32)? = nil,
        isCancelled: @escaping @Sendable () -> Bool = { false },
        note: @escaping @Sendable ([UInt8], SourceStamp) -> Void
    ) throws(TreeError) {
        reader = try TreeReader(.directory(path, oneFileSystem: false))
        reader.tellUnreadable()
        self.patterns = patterns
        self.owner = owner
        self.isCancelled = isCancelled
        self.note = note
    }

    package func next() throws(TreeError) -> SourceEntry? {
        while var entry = try reader.next() {
            try goOn()
            let isFolder = entry.mode & 0o170000 == 0o040000
            if patterns.leavesOut(entry.path, isFolder: isFolder) {
                if isFolder { reader.passOver() }
                continue
            }
            if entry.isUnreadable { throw reader.failure }
            if let link = entry.hardLink, patterns.leavesOutWithAbove(link, isFolder: false) {
                entry.hardLink = firstNames[link]
                if entry.hardLink == nil { firstNames[link] = entry.path }
            }
            if entry.hardLink != nil { entry.size = 0 }
            if let owner {
                entry.attributes.userID = owner.user
                entry.attributes.groupID = owner.group
            }
            note(entry.path, entry.stamp)
            return entry
        }
        return nil
    }

    package func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        try unsafe reader.forEachPiece { offset, bytes throws(TreeError) in
            try goOn()
            try unsafe body(offset, bytes)
        }
    }

    private func goOn() throws(TreeError) {
        if isCancelled() { throw TreeError("it was interrupted") }
    }

    package func xattrs() -> [(name: [UInt8], value: [UInt8])] { reader.xattrs() }

    package func takeUnknownNames() -> Bool { reader.takeUnknownNames() }
}
