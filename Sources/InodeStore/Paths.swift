// Paths: names for nodeids, found by walking the tree. Inodes do not know their names, and no
// request pays for that somebody may want to know; who asks walks, and not for long.

internal import Arena

extension StoreWorker {
    /// Entries looked at between two moments in which others may free what they removed.
    private static var entriesPerEpoch: Int { 512 }

    /// Where some inodes are, as far as `entryLimit` entries of the tree tell; breadth first, so
    /// that what lies deep in a large tree may stay unnamed. Of several names the first is told.
    ///
    /// - Precondition: the worker is not entered, and nobody else uses it.
    /// - Returns: paths from the root, which is "/", by nodeid.
    package func paths(of nodes: Set<UInt64>, entryLimit: Int) -> [UInt64: String] {
        var wanted = nodes
        var found: [UInt64: String] = [:]
        if wanted.remove(1) != nil { found[1] = "/" }
        var folders: [(node: UInt64, path: String)] = [(1, "/")]
        var next = 0
        var left = entryLimit
        while next < folders.count, left > 0, !wanted.isEmpty {
            let folder = folders[next]
            next += 1
            var cookie: UInt64 = 0
            while let from = walk(folder, from: cookie, &wanted, &found, &folders, &left) {
                cookie = from
            }
        }
        return found
    }

    /// Looks at a few entries of a directory, if it still is one.
    ///
    /// - Returns: the cookie to go on from; nil at the end of the directory or of the walk.
    private func walk(
        _ folder: (node: UInt64, path: String), from cookie: UInt64, _ wanted: inout Set<UInt64>,
        _ found: inout [UInt64: String], _ folders: inout [(node: UInt64, path: String)],
        _ left: inout Int
    ) -> UInt64? {
        enter()
        defer { leave() }
        guard let handle = peekDirectory(NodeID(rawValue: folder.node)) else { return nil }
        var cookie = cookie
        for _ in 0..<Self.entriesPerEpoch {
            guard left > 0, !wanted.isEmpty, let entry = nextEntry(handle, from: cookie) else {
                return nil
            }
            left -= 1
            cookie = entry.nextCookie
            let isDirectory = entry.mode & FileMode.typeMask == FileMode.directory
            let isWanted = wanted.remove(entry.nodeID) != nil
            guard isDirectory || isWanted else { continue }
            let name = unsafe String(
                decoding: UnsafeRawBufferPointer(start: entry.name, count: Int(entry.nameCount)),
                as: UTF8.self)
            let path = folder.path == "/" ? "/\(name)" : "\(folder.path)/\(name)"
            if isWanted { found[entry.nodeID] = path }
            if isDirectory { folders.append((entry.nodeID, path)) }
        }
        return cookie
    }

    /// Calls `body` with every name of the tree: directory, name, and what it leads to.
    ///
    /// - Precondition: the store is frozen.
    /// - Complexity: O(names).
    package func forEachNameFrozen(_ body: (UInt64, [UInt8], UInt64) -> Void) {
        var folders: [UInt64] = [1]
        while let folder = folders.popLast() {
            guard let handle = peekDirectory(NodeID(rawValue: folder)) else { continue }
            var cookie: UInt64 = 0
            while let entry = nextEntry(handle, from: cookie) {
                cookie = entry.nextCookie
                let name = unsafe Array(
                    UnsafeRawBufferPointer(start: entry.name, count: Int(entry.nameCount)))
                body(folder, name, entry.nodeID)
                if entry.mode & FileMode.typeMask == FileMode.directory {
                    folders.append(entry.nodeID)
                }
            }
        }
    }

    /// A directory to list without touching its access time: nobody has read it.
    package func peekDirectory(_ node: NodeID) -> DirectoryHandle? {
        guard let inode = try? directory(node) else { return nil }
        return DirectoryHandle(
            inode: inode, nodeID: nodeID(inode), parentNodeID: nodeID(liveParent(inode)))
    }

    /// The type and permissions of an inode; nil when it is gone.
    package func mode(of node: NodeID) -> UInt32? {
        enter()
        defer { leave() }
        guard let inode = try? inode(node) else { return nil }
        return region.load32(inode + Inode.mode)
    }
}
