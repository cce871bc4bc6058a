// TreeWalk: everything in a store that nobody else uses, directories before what is in them.

internal import CMemory
package import InodeStore
internal import SystemPackage

/// One name in a tree.
package struct TreeEntry: Sendable {
    /// Bytes of the path from the root, which itself is the empty path; no slash at either end.
    package let path: [UInt8]
    package let node: NodeID
    package let attributes: Attributes

    package var type: UInt32 { attributes.mode & FileMode.typeMask }
    package var text: String { String(decoding: path, as: UTF8.self) }
}

extension StoreWorker {
    /// Calls `body` with the root and all that is below it, in the order of their cookies.
    ///
    /// - Precondition: the worker is not entered; it is while `body` runs.
    /// - Complexity: O(entries), in memory O(depth and the entries of the directories on the way).
    package func walk<Failure>(
        _ body: (TreeEntry) throws(Failure) -> Void
    ) throws(Failure) where Failure: Error {
        enter()
        defer { leave() }
        guard let attributes = try? attributes(.root) else { return }
        // No recursion: a tree may be deeper than a stack.
        var waiting = [TreeEntry(path: [], node: .root, attributes: attributes)]
        while let entry = waiting.popLast() {
            try body(entry)
            guard entry.type == FileMode.directory else { continue }
            waiting.append(contentsOf: children(of: entry).reversed())
        }
    }

    /// The entries of a directory in the order of their cookies.
    package func children(of entry: TreeEntry) -> [TreeEntry] {
        guard let handle = peekDirectory(entry.node) else { return [] }
        var found: [TreeEntry] = []
        var cookie: UInt64 = 0
        while let next = nextEntry(handle, from: cookie) {
            cookie = next.nextCookie
            let name = unsafe UnsafeRawBufferPointer(start: next.name, count: Int(next.nameCount))
            let path = unsafe entry.path.isEmpty ? [UInt8](name) : entry.path + [0x2F] + name
            let node = NodeID(rawValue: next.nodeID)
            guard let attributes = try? attributes(node) else { continue }
            found.append(TreeEntry(path: path, node: node, attributes: attributes))
        }
        return found
    }
}
