// PowerLoss: what a log of unsynced changes looks at, keeps alive and puts back.
//
// Names and content are put back while the store is frozen, so that neither locks nor rules of
// permission count: the log knows what was there. Whatever a restored name leads to is alive because
// the log holds a reference to it, as the kernel does with LOOKUP.

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// What of an inode a log can put back.
package struct DurableState: Sendable, Equatable {
    package var mode: UInt32
    package var userID: UInt32
    package var groupID: UInt32
    /// Bytes.
    package var size: UInt64
    package var links: UInt32

    package var isRegular: Bool { mode & FileMode.typeMask == FileMode.regular }
    package var isRemoved: Bool { links == 0 }
    package var isDirectory: Bool { mode & FileMode.typeMask == FileMode.directory }
}

extension StoreWorker {
    // MARK: looking; entered

    /// What a name leads to, without a reference for it; nil when there is none.
    package func target(_ parent: NodeID, _ name: [UInt8]) -> NodeID? {
        guard let directory = try? directory(parent) else { return nil }
        return unsafe name.withUnsafeBytes { bytes in
            let name = unsafe Name(bytes)
            let dentry = findDentry(directory, name, hash: name.hash())
            if dentry == .null { return nil }
            return NodeID(rawValue: nodeID(InodeOffset(region.loadAcquire(dentry + Dentry.inode))))
        }
    }

    /// The directory that ".." of a directory names.
    package func parent(of node: NodeID) -> NodeID? {
        guard let directory = try? directory(node) else { return nil }
        return NodeID(rawValue: nodeID(liveParent(directory)))
    }

    package func durableState(_ node: NodeID) -> DurableState? {
        guard let inode = try? inode(node) else { return nil }
        return DurableState(
            mode: region.load32(inode + Inode.mode), userID: region.load32(inode + Inode.userID),
            groupID: region.load32(inode + Inode.groupID), size: region.load(inode + Inode.size),
            links: region.load32(inode + Inode.links))
    }

    /// A page of a file, zeros behind its end; empty for a hole and for what lies behind the end.
    package func page(_ node: NodeID, _ index: UInt64) -> [UInt8] {
        guard let inode = try? regular(node) else { return [] }
        let size = region.load(inode + Inode.size)
        let start = index << 12
        guard start < size else { return [] }
        let map = MapWord(region.loadAcquire(inode + Inode.content))
        let end = min(start + 4096, size)
        if extent(map, at: start, atMost: end - start) == (0, end - start) { return [] }
        var bytes = [UInt8](repeating: 0, count: 4096)
        unsafe bytes.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            var position = start
            while position < end {
                let extent = extent(map, at: position, atMost: end - position)
                if store.arena.isGuarded, isInPages(map, extent) {
                    // Of a changed image: zeros, which nobody can read as long as it is changed.
                    _ = try? unsafe copyGuarded(base + Int(position - start), extent)
                } else if extent.memory != 0 {
                    unsafe cmem_copy(
                        base + Int(position - start), region.pointer(extent.memory),
                        Int(extent.bytes))
                }
                position += extent.bytes
            }
        }
        return bytes
    }

    /// The first page from `index` on that is no hole; nil when there is none.
    package func nextPage(_ node: NodeID, from index: UInt64) -> UInt64? {
        guard let inode = try? regular(node) else { return nil }
        let map = MapWord(region.loadAcquire(inode + Inode.content))
        if map.form <= MapWord.blobForm { return map != .empty && index == 0 ? 0 : nil }
        return mapNext(map, from: index)?.index
    }

    /// Keeps an inode alive whatever becomes of its names, until `forget` gives the reference back.
    package func pin(_ node: NodeID) {
        guard node.rawValue != 1, let inode = try? inode(node) else { return }
        _ = retain(inode)
    }

    /// Whether the kernel, or a log, holds a reference.
    package func isReferred(_ node: NodeID) -> Bool {
        guard let inode = try? inode(node) else { return false }
        return inode == store.root || sideTable.load(side(inode) + Side.lookups) & ~Side.dead > 0
    }

    // MARK: putting back; frozen

    /// Takes a name away. What it leads to must be held, if it is to live on.
    package func dropNameFrozen(_ parent: NodeID, _ name: [UInt8]) {
        guard let directory = try? directory(parent) else { return }
        unsafe name.withUnsafeBytes { bytes in
            let name = unsafe Name(bytes)
            let dentry = findDentry(directory, name, hash: name.hash())
            if dentry == .null { return }
            let victim = InodeOffset(region.load(dentry + Dentry.inode))
            removeDentry(directory, dentry)
            let index = nameIndex(dentry)
            if type(victim) == FileMode.directory { addLinks(directory, -1) }
            let now = cmem_now()
            touchDirectory(directory, now)
            dropLink(victim, index, now)
        }
    }

    /// Gives an inode that is held a name that is not there.
    ///
    /// - Throws: `ENOSPC`, `ESTALE`.
    package func restoreNameFrozen(
        _ parent: NodeID, _ name: [UInt8], to node: NodeID
    ) throws(Errno) {
        let directory = try directory(parent)
        let inode = try inode(node)
        let isDirectory = type(inode) == FileMode.directory
        let links = region.load32(inode + Inode.links)
        let space = links == 0 || isDirectory ? 0 : InodeStore.inodeSpaceUnit
        guard store.arena.inodeSpace.reserve(space, shard: shard) else { throw .noSpace }
        let result: Result<Void, Errno> = unsafe name.withUnsafeBytes { bytes in
            let name = unsafe Name(bytes)
            do throws(Errno) {
                // A directory's links are not its names.
                let index = isDirectory ? 0 : UInt64(links)
                try reserveName(inode, index)
                try insertDentry(directory, name, hash: name.hash(), inode: inode, index: index)
                return .success(())
            } catch {
                if links == 1, !isDirectory { dropNameMap(inode) }
                return .failure(error)
            }
        }
        if case .failure(let error) = result {
            store.arena.inodeSpace.release(space, shard: shard)
            throw error
        }
        if isDirectory {
            region.store32(inode + Inode.links, 2 + subdirectories(inode))
            addLinks(directory, 1)
        } else {
            region.store32(inode + Inode.links, links + 1)
        }
        touchDirectory(directory, cmem_now())
    }

    /// Removes what lies in a directory that has no name any more.
    ///
    /// - Returns: the names that were removed, with the nodeids of their directories.
    package func emptyFrozen(_ node: NodeID) -> [(parent: UInt64, name: [UInt8])] {
        var removed: [(parent: UInt64, name: [UInt8])] = []
        var waiting = [node]
        while let next = waiting.popLast() {
            guard let inode = try? directory(next) else { continue }
            let handle = DirectoryHandle(inode: inode, nodeID: next.rawValue, parentNodeID: 1)
            while let entry = nextEntry(handle, from: 0) {
                let name = entry.nameBytes
                let child = NodeID(rawValue: entry.nodeID)
                // Held, so that what lies in it can be removed after it.
                let isDirectory = entry.mode & FileMode.typeMask == FileMode.directory
                if isDirectory { pin(child) }
                dropNameFrozen(next, name)
                removed.append((next.rawValue, name))
                if isDirectory { waiting.append(child) }
            }
            if next != node { forget(next, count: 1) }
        }
        return removed
    }

    /// Gives a directory another nodeid: requests about the old one answer ESTALE.
    ///
    /// The kernel lets nobody make a name in a directory whose removal it has seen, whatever it is
    /// told later (fs/namei.c, `vfs_rmdir()`: S_DEAD).
    package func renumberFrozen(_ node: NodeID) {
        guard let inode = try? directory(node), region.load32(inode + Inode.links) > 0 else {
            return
        }
        store.renumber(inode)
    }

    /// Sets size and pages of a file.
    ///
    /// - Parameter pages: of 4,096 bytes each; what lies behind the size is left out.
    /// - Throws: `ENOSPC`.
    package func restoreContentFrozen(
        _ node: NodeID, size: UInt64, pages: [(index: UInt64, bytes: [UInt8])]
    ) throws(Errno) {
        let inode = try regular(node)
        try ownPage(inode, at: size)
        resizeLocked(inode, to: size)
        for page in pages where page.index << 12 < size {
            let start = page.index << 12
            let count = min(4096, size - start)
            // A hole that stays one costs nothing.
            if page.bytes.allSatisfy({ $0 == 0 }) {
                try ownPages(inode, from: start, to: start + count)
                zeroLocked(inode, from: start, to: start + count)
                continue
            }
            let result: Result<UInt64, Errno> = unsafe page.bytes.withUnsafeBytes { bytes in
                guard let base = bytes.baseAddress else { return .success(count) }
                do throws(Errno) {
                    return .success(
                        try unsafe writeLocked(inode, offset: start, from: base, count: count))
                } catch { return .failure(error) }
            }
            guard try result.get() == count else { throw .noSpace }
        }
    }

    /// Sets permissions and owner.
    package func restoreOwnerFrozen(_ node: NodeID, _ state: DurableState) {
        guard let inode = try? inode(node) else { return }
        region.store32(inode + Inode.mode, type(inode) | state.mode & FileMode.permissions)
        region.store32(inode + Inode.userID, state.userID)
        region.store32(inode + Inode.groupID, state.groupID)
    }

    private func subdirectories(_ directory: InodeOffset) -> UInt32 {
        let handle = DirectoryHandle(inode: directory, nodeID: 0, parentNodeID: 0)
        var count: UInt32 = 0
        var cookie: UInt64 = 0
        while let entry = nextEntry(handle, from: cookie) {
            cookie = entry.nextCookie
            if entry.mode & FileMode.typeMask == FileMode.directory { count += 1 }
        }
        return count
    }
}
