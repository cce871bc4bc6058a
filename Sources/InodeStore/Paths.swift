// Paths: where inodes are, from the names that they know (Names.swift). Nothing here walks the tree, and
// no lock is taken: a path that others change meanwhile is one of the moments in between, or none.

internal import MayflyArena
internal import MayflyHost

extension StoreWorker {
    // MARK: names; entered

    /// Names that an inode has: 1 for the root, 0 for what is gone or was removed.
    package func names(of node: NodeID) -> UInt64 {
        guard let inode = try? inode(node) else { return 0 }
        return inode == store.root ? 1 : nameTotal(inode)
    }

    /// The directory and the bytes of a name; nil for the root and for a name that is not there.
    package func place(
        of node: NodeID, name index: UInt64
    ) -> (directory: NodeID, name: [UInt8])? {
        guard let inode = try? inode(node), let found = findName(inode, index) else { return nil }
        return (NodeID(rawValue: nodeID(found.directory)), nameBytes(found.dentry))
    }

    /// Appends the components of a path, the last one first; none for the root.
    ///
    /// - Parameters:
    ///   - index: which of the inode's names.
    ///   - components: valid until the worker leaves.
    ///   - limit: of components.
    /// - Returns: false when there is no such path, or it has more components.
    /// - Complexity: O(depth), at most O(limit).
    package func appendComponents(
        of node: NodeID, name index: UInt64 = 0, to components: inout [Name],
        atMost limit: Int = .max
    ) -> Bool {
        guard var at = try? inode(node) else { return false }
        var index = index
        var left = limit
        while at != store.root {
            guard left > 0, let found = findName(at, index) else { return false }
            left -= 1
            components.append(name(found.dentry))
            at = found.directory
            index = 0
        }
        return true
    }

    private func name(_ dentry: DentryOffset) -> Name {
        unsafe Name(region.pointer(dentry + Dentry.name), nameCount(dentry))
    }

    // MARK: paths; not entered

    /// The first path of an inode as text, from the root, which is "/"; nil without a name.
    ///
    /// - Parameter limit: bytes. Of a longer path the last components are told, after ".../".
    /// - Complexity: O(limit).
    package func path(of node: NodeID, atMost limit: Int) -> String? {
        enter()
        defer { leave() }
        guard let target = try? inode(node) else { return nil }
        var names: [Name] = []
        var bytes = 0
        var at = target
        while at != store.root {
            guard let found = findName(at, 0) else { return nil }
            let name = name(found.dentry)
            bytes += Int(name.count) + 1
            if bytes > limit, !names.isEmpty { return ".../" + Self.text(names) }
            names.append(name)
            at = found.directory
        }
        return "/" + Self.text(names)
    }

    /// The text of components, the last of which comes first.
    private static func text(_ names: [Name]) -> String {
        names.reversed().map { name in
            unsafe ByteText.text(
                of: UnsafeRawBufferPointer(start: name.bytes, count: Int(name.count)))
        }.joined(separator: "/")
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

    /// Every inode that the kernel has a reference to, and the root.
    ///
    /// - Precondition: the worker is not entered. Others may work; what is looked up or forgotten
    ///   meanwhile may be there or not.
    /// - Complexity: O(inodes), in the order of memory.
    package func referredNodes() -> [UInt64] {
        enter()
        defer { leave() }
        var found: [UInt64] = [NodeID.root.rawValue]
        for chunk in 0..<region.load(Superblock.freshChunk) where store.arena.holdsInodes(chunk) {
            store.arena.forEachUsedUnit(ofInodes: chunk) {
                let inode = InodeOffset($0)
                if inode == store.root || region.load32(inode + Inode.mode) == 0 { return }
                let lookups = sideTable.load(side(inode) + Side.lookups)
                if lookups != 0, lookups & Side.dead == 0 { found.append(nodeID(inode)) }
            }
        }
        return found
    }
}
