// TreeWalk: everything in a store that nobody else uses, directories before what is in them.

package import InodeStore
internal import MayflyHost
internal import SystemPackage

/// One name in a tree.
package struct TreeEntry: Sendable {
    /// Bytes of the path from the root, which itself is the empty path; no slash at either end.
    package let path: [UInt8]
    package let node: NodeID
    package let attributes: Attributes

    package var type: UInt32 { attributes.mode & FileMode.typeMask }
    package var text: String { ByteText.text(of: path) }
}

/// A path that grows and shrinks with a walk, so that the directories on the way share its bytes.
struct WalkedPath {
    private(set) var bytes: [UInt8] = []

    /// Goes down by a name; `bytes.count` before it leads back.
    mutating func append(_ name: some Collection<UInt8>) {
        if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
        bytes.append(contentsOf: name)
    }

    mutating func cut(to count: Int) { bytes.removeLast(bytes.count - count) }
}

extension StoreWorker {
    /// Calls `body` with the root and all that is below it, in the order of their cookies.
    ///
    /// - Precondition: the worker is not entered; it is while `body` runs.
    /// - Complexity: O(entries and bytes of their paths), in memory O(depth).
    package func walk<Failure>(
        _ body: (TreeEntry) throws(Failure) -> Void
    ) throws(Failure) where Failure: Error {
        enter()
        defer { leave() }
        guard let attributes = try? attributes(.root), let root = peekDirectory(.root) else {
            return
        }
        try body(TreeEntry(path: [], node: .root, attributes: attributes))
        var path = WalkedPath()
        // No recursion: a tree may be deeper than a stack.
        var folders: [(handle: DirectoryHandle, cookie: UInt64, pathCount: Int)] = [(root, 0, 0)]
        while let folder = folders.last {
            path.cut(to: folder.pathCount)
            guard let next = nextEntry(folder.handle, from: folder.cookie) else {
                folders.removeLast()
                continue
            }
            folders[folders.count - 1].cookie = next.nextCookie
            let node = NodeID(rawValue: next.nodeID)
            guard let attributes = try? self.attributes(node) else { continue }
            path.append(next.nameBytes)
            try body(TreeEntry(path: path.bytes, node: node, attributes: attributes))
            if attributes.isDirectory, let handle = peekDirectory(node) {
                folders.append((handle, 0, path.bytes.count))
            }
        }
    }
}
