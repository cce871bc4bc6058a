// CachedNames: the names that the kernel may have cached, found from what it refers to. A name in a
// directory that it does not refer to is not cached, nor one of an inode that it does not refer to.

internal import MayflyArena

/// A name that the kernel may have cached.
package struct CachedName: Sendable {
    /// The directory's nodeid.
    package let parent: UInt64
    package let name: [UInt8]
    package let node: UInt64
}

extension StoreWorker {
    /// Calls `body` with the names that the kernel may have cached and their paths, which begin
    /// without a slash.
    ///
    /// - Precondition: the store is frozen.
    /// - Complexity: O(names in directories that the kernel refers to).
    package func forEachCachedNameFrozen(_ body: (CachedName, [UInt8]) -> Void) {
        var folders: [(node: NodeID, path: [UInt8])] = [(.root, [])]
        while let folder = folders.popLast() {
            guard let handle = peekDirectory(folder.node) else { continue }
            var cookie: UInt64 = 0
            while let entry = nextEntry(handle, from: cookie) {
                cookie = entry.nextCookie
                guard isReferred(NodeID(rawValue: entry.nodeID)) else { continue }
                let name = entry.nameBytes
                let path = folder.path.isEmpty ? name : folder.path + [UInt8(ascii: "/")] + name
                body(CachedName(parent: folder.node.rawValue, name: name, node: entry.nodeID), path)
                if entry.mode & FileMode.typeMask == FileMode.directory {
                    folders.append((NodeID(rawValue: entry.nodeID), path))
                }
            }
        }
    }

    /// The directory's nodeid and the name at a path at which there is nothing, in a directory that
    /// there is; nil otherwise.
    ///
    /// - Precondition: entered.
    package func missingName(at path: [UInt8]) -> (parent: UInt64, name: [UInt8])? {
        var names = path.split(separator: UInt8(ascii: "/")).map(Array.init)
        guard let last = names.popLast() else { return nil }
        var parent = NodeID.root
        for name in names {
            guard let next = target(parent, name) else { return nil }
            parent = next
        }
        guard (try? directory(parent)) != nil, target(parent, last) == nil else { return nil }
        return (parent.rawValue, last)
    }

    /// The path of a directory, without a slash at the beginning; nil for one that was removed.
    ///
    /// - Precondition: the worker is not entered, and nobody else uses it.
    package func pathOfDirectory(_ node: NodeID) -> [UInt8]? {
        enter()
        defer { leave() }
        guard var at = try? directory(node) else { return nil }
        var path: [UInt8] = []
        while at != store.root {
            guard let (above, dentry) = findName(at, 0) else { return nil }
            path = nameBytes(dentry) + (path.isEmpty ? [] : [UInt8(ascii: "/")] + path)
            at = above
        }
        return path
    }

    /// Paths of a few regular files, without a slash at the beginning; breadth first.
    ///
    /// - Precondition: the worker is not entered, and nobody else uses it.
    /// - Complexity: O(names before the last of them).
    package func someFiles(limit: Int) -> [[UInt8]] {
        enter()
        defer { leave() }
        var found: [[UInt8]] = []
        var folders: [(node: NodeID, path: [UInt8])] = [(.root, [])]
        var next = 0
        while next < folders.count, found.count < limit {
            let folder = folders[next]
            next += 1
            guard let handle = peekDirectory(folder.node) else { continue }
            var cookie: UInt64 = 0
            while found.count < limit, let entry = nextEntry(handle, from: cookie) {
                cookie = entry.nextCookie
                let type = entry.mode & FileMode.typeMask
                guard type == FileMode.regular || type == FileMode.directory else { continue }
                let name = entry.nameBytes
                let path = folder.path.isEmpty ? name : folder.path + [UInt8(ascii: "/")] + name
                if type == FileMode.regular {
                    found.append(path)
                } else {
                    folders.append((NodeID(rawValue: entry.nodeID), path))
                }
            }
        }
        return found
    }
}
