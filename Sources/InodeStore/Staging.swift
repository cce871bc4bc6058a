// Staging: whole trees, made where nobody can meet them and linked in at one moment, or taken out at one
// moment and taken apart afterwards (Docs/Trees.md).
//
// A directory for this has no name and no links, and is held as by a LOOKUP of the kernel. So all that
// copies a store leaves it out, as it leaves out files that were removed and are open (`endOrphan`).

internal import CMayflyMemory
internal import MayflyArena
package import SystemPackage

/// What linking a tree in, or taking one out, has changed for the kernel.
package struct StagingEffect: Sendable {
    /// Names that lead elsewhere now.
    package var names: [(parent: UInt64, name: [UInt8])] = []
    /// Inodes with other attributes or names than before.
    package var nodes: Set<UInt64> = []
}

/// A name that is gone, of what the kernel still refers to.
///
/// The kernel counts links by itself, and keeps what somebody had open below a directory that has gone,
/// until it is told of that name, too.
package struct RemovedName: Sendable {
    package let parent: UInt64
    package let name: [UInt8]
    package let node: UInt64
}

extension StoreWorker {
    /// Makes a directory that no name leads to. It lives until `endStaging`.
    ///
    /// - Parameter model: the directory whose group what is made in it takes, where its mode says so.
    /// - Precondition: entered.
    /// - Throws: `ENOSPC`; `ESTALE`, `ENOTDIR` for the model.
    package func makeStaging(like model: NodeID) throws(Errno) -> NodeID {
        let model = try directory(model)
        let inode = try allocateInode()
        initialize(
            inode,
            mode: FileMode.directory | 0o700 | region.load32(model + Inode.mode)
                & FileMode.setGroupID,
            caller: Caller(userID: 0, groupID: region.load32(model + Inode.groupID)), device: 0)
        region.store(inode + Inode.parent, inode.rawValue)
        region.store32(inode + Inode.flags, InodeFlags.staging)
        region.store32(inode + Inode.links, 0)
        _ = retain(inode)
        return NodeID(rawValue: nodeID(inode))
    }

    /// Gives an empty directory of `makeStaging` up. Does nothing where a rollback has taken it.
    ///
    /// - Precondition: entered.
    package func endStaging(_ node: NodeID) { forget(node, count: 1) }

    /// How often the store was rolled back. Whoever holds nodeids that the kernel does not know must not
    /// use them after the next time.
    package var rollbacks: UInt64 { sideTable.load(Side.rollbacks) }

    /// Whether the kernel holds references to an inode that has just lost a name.
    ///
    /// - Parameter own: references that are ours.
    private func needsNotice(_ inode: InodeOffset, beside own: UInt64) -> Bool {
        let lookups = sideTable.load(side(inode) + Side.lookups)
        return lookups > own && lookups & Side.dead == 0
    }

    /// Removes some of what lies in a directory of `makeStaging`, the deepest first.
    ///
    /// - Parameters:
    ///   - path: the directories from that one down to where the last call stopped; begins with itself.
    ///   - most: names to remove.
    ///   - told: gets those that the kernel still refers to.
    /// - Returns: whether nothing is left.
    /// - Precondition: entered.
    /// - Complexity: O(names removed), and O(depth) in memory.
    package func takeApart(
        _ path: inout [NodeID], atMost most: Int, _ told: inout [RemovedName]
    ) -> Bool {
        // Who has a directory of it for its working directory may have moved one out.
        if let end = path.indices.dropFirst().first(where: {
            self.parent(of: path[$0]) != path[$0 - 1]
        }) {
            for node in path[end...] { forget(node, count: 1) }
            path.removeSubrange(end...)
        }
        var left = most
        while let node = path.last {
            guard left > 0 else { return false }
            guard let handle = peekDirectory(node), let entry = nextEntry(handle, from: 0) else {
                path.removeLast()
                guard let parent = path.last else { return true }
                if self.parent(of: node) == parent, let name = place(of: node, name: 0)?.name {
                    left -= 1
                    takeName(parent, name, node, isDirectory: true, &told)
                }
                forget(node, count: 1)
                continue
            }
            if entry.mode & FileMode.typeMask == FileMode.directory {
                // Held, so that its slot does not become another's while it is here.
                let child = NodeID(rawValue: entry.nodeID)
                pin(child)
                path.append(child)
                continue
            }
            let name = entry.nameBytes
            left -= 1
            takeName(node, name, NodeID(rawValue: entry.nodeID), isDirectory: false, &told)
        }
        return true
    }

    private func takeName(
        _ parent: NodeID, _ name: [UInt8], _ node: NodeID, isDirectory: Bool,
        _ told: inout [RemovedName]
    ) {
        let inode = try? inode(node)
        // chattr(1) forbids it for a name in the tree; this has none.
        for inode in [inode, try? directory(parent)] {
            guard let inode else { continue }
            let flags = region.load32(inode + Inode.flags)
            if flags & InodeFlags.fixed != 0 {
                countFixed(from: flags, to: 0)
                region.store32(inode + Inode.flags, flags & ~InodeFlags.fixed)
            }
        }
        if let inode, needsNotice(inode, beside: isDirectory ? 1 : 0) {
            told.append(
                RemovedName(parent: parent.rawValue, name: name, node: node.rawValue))
        }
        _ = removeName(parent, name, isDirectory: isDirectory)
    }
}

// MARK: linking in

extension InodeStore {
    /// Moves all that lies in one directory into another, at one moment: whole or not at all.
    ///
    /// Directories that are in both become one, with the attributes of that which comes. What is no
    /// directory takes the place of what is none.
    ///
    /// - Parameters:
    ///   - staging: of `makeStaging`; what stays behind is in it.
    ///   - target: a directory of the tree.
    ///   - spare: another of `makeStaging`, empty: it gets what is replaced.
    ///   - ownAttributes: whether the target gets the attributes of `staging`, too.
    ///   - keepsOld: whether what has a name already keeps it.
    ///   - around: called while the store is frozen with the names that will change, and with what
    ///     changes them.
    /// - Throws: `EISDIR`, `ENOTDIR` where one is a directory and the other is none; `EPERM` where chattr(1)
    ///   forbids it; `ENOSPC`; `ESTALE` and `ENOENT` where the target is gone; `ECANCELED` where the
    ///   store was rolled back since.
    /// - Complexity: O(names that are in both, and names beside them).
    package func attach(
        _ staging: NodeID, to target: NodeID, spare: NodeID, ownAttributes: Bool, keepsOld: Bool,
        since rollbacks: UInt64,
        around: (_ names: [(parent: NodeID, name: [UInt8])], StoreWorker, () -> Bool) -> Void
    ) throws(Errno) -> StagingEffect {
        let result: Result<StagingEffect, Errno> = whileFrozen {
            let worker = worker(0)
            guard worker.rollbacks == rollbacks else { return .failure(.canceled) }
            var merge = Merge(worker: worker, spare: spare, keepsOld: keepsOld)
            do throws(Errno) {
                try merge.plan(staging, target, ownAttributes: ownAttributes)
            } catch { return .failure(error) }
            var failure: Errno?
            around(merge.moves.map { ($0.to, $0.name) }, worker) {
                do throws(Errno) {
                    try merge.carryOut()
                } catch {
                    failure = error
                    settle()
                    merge.undo()
                }
                return failure == nil
            }
            if let failure { return .failure(failure) }
            return .success(merge.effect)
        }
        return try result.get()
    }
}

/// Two trees that become one, while the store is frozen.
private struct Merge {
    struct Move {
        let from: NodeID
        let to: NodeID
        let name: [UInt8]
        /// What has the name and gives it up.
        let replaced: NodeID?
    }

    let worker: StoreWorker
    let spare: NodeID
    let keepsOld: Bool
    private(set) var moves: [Move] = []
    private(set) var effect = StagingEffect()
    /// Directories that are in both: what comes has these attributes before names leave it.
    private var merged: [(new: RestoredAttributes, old: NodeID)] = []
    private var done: [Move] = []

    init(worker: StoreWorker, spare: NodeID, keepsOld: Bool) {
        self.worker = worker
        self.spare = spare
        self.keepsOld = keepsOld
    }

    /// Looks at all names before anything is changed.
    mutating func plan(
        _ staging: NodeID, _ target: NodeID, ownAttributes: Bool
    ) throws(Errno) {
        var waiting = [(new: staging, old: target)]
        if ownAttributes { merged.append((try worker.restorable(staging), target)) }
        while let (new, old) = waiting.popLast() {
            guard let handle = worker.peekDirectory(new) else { throw .staleNFSFileHandle }
            try worker.checkInsertion(try worker.directory(old))
            var cookie: UInt64 = 0
            while let entry = worker.nextEntry(handle, from: cookie) {
                cookie = entry.nextCookie
                let name = entry.nameBytes
                guard let found = worker.target(old, name) else {
                    moves.append(Move(from: new, to: old, name: name, replaced: nil))
                    continue
                }
                let isDirectory = entry.mode & FileMode.typeMask == FileMode.directory
                let wasDirectory = worker.durableState(found)?.isDirectory == true
                if isDirectory, wasDirectory {
                    let node = NodeID(rawValue: entry.nodeID)
                    if !keepsOld { merged.append((try worker.restorable(node), found)) }
                    waiting.append((node, found))
                    continue
                }
                if keepsOld { continue }
                if wasDirectory { throw .isDirectory }
                if isDirectory { throw .notDirectory }
                moves.append(Move(from: new, to: old, name: name, replaced: found))
            }
        }
    }

    mutating func carryOut() throws(Errno) {
        for move in moves {
            if move.replaced != nil {
                try worker.move(move.to, move.name, to: spare, as: aside(done.count))
            }
            do throws(Errno) {
                try worker.move(move.from, move.name, to: move.to, as: move.name)
            } catch {
                if move.replaced != nil {
                    try? worker.move(spare, aside(done.count), to: move.to, as: move.name)
                }
                throw error
            }
            done.append(move)
            effect.names.append((move.to.rawValue, move.name))
            effect.nodes.insert(move.to.rawValue)
            if let replaced = move.replaced { effect.nodes.insert(replaced.rawValue) }
        }
        for (new, old) in merged {
            worker.giveAttributes(new, to: old)
            effect.nodes.insert(old.rawValue)
        }
        // Nothing can fail any more.
        for (index, move) in done.enumerated() where move.replaced != nil {
            unsafe aside(index).withUnsafeBytes { bytes in
                try? worker.unlink(spare, unsafe Name(bytes))
            }
        }
    }

    /// - Precondition: what was retired since has been freed, so that there is room for all as it was.
    mutating func undo() {
        while let move = done.popLast() {
            try? worker.move(move.to, move.name, to: move.from, as: move.name)
            if move.replaced != nil {
                try? worker.move(spare, aside(done.count), to: move.to, as: move.name)
            }
        }
        effect = StagingEffect()
    }

    private func aside(_ index: Int) -> [UInt8] { Array("\(index)".utf8) }
}

extension StoreWorker {
    /// Moves a name, which replaces nothing.
    ///
    /// - Precondition: entered, or frozen.
    /// - Throws: as rename(2) with RENAME_NOREPLACE.
    package func move(
        _ parent: NodeID, _ name: [UInt8], to newParent: NodeID, as newName: [UInt8]
    ) throws(Errno) {
        let result: Result<Void, Errno> = unsafe name.withUnsafeBytes { old in
            unsafe newName.withUnsafeBytes { new in
                do throws(Errno) {
                    return .success(
                        try rename(
                            parent, unsafe Name(old), newParent, unsafe Name(new),
                            flags: RenameFlags.noReplace, caller: Caller(userID: 0, groupID: 0)))
                } catch { return .failure(error) }
            }
        }
        try result.get()
    }

    /// Gives a directory that is in use mode, owner and time of another.
    fileprivate func giveAttributes(_ attributes: RestoredAttributes, to directory: NodeID) {
        guard let to = try? self.directory(directory) else { return }
        beginUpdate(to)
        changes.store32(
            to + Inode.mode, FileMode.directory | attributes.permissions & FileMode.permissions)
        changes.store32(to + Inode.userID, attributes.userID)
        changes.store32(to + Inode.groupID, attributes.groupID)
        setTime(to, TimeField.modification, attributes.time)
        setTime(to, TimeField.change, cmem_now())
        endUpdate(to)
        changes.commit()
    }
}

// MARK: names as bytes

extension StoreWorker {
    /// Makes an empty directory where nobody sees it.
    ///
    /// - Precondition: entered.
    /// - Throws: as `make`.
    package func makeDirectory(in parent: NodeID, _ name: [UInt8]) throws(Errno) -> NodeID {
        let result: Result<NodeID, Errno> = unsafe name.withUnsafeBytes { bytes in
            do throws(Errno) {
                let made = try make(
                    parent, unsafe Name(bytes), mode: FileMode.directory | 0o700,
                    caller: Caller(userID: 0, groupID: 0))
                let node = NodeID(rawValue: made.nodeID)
                forget(node, count: 1)
                return .success(node)
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Removes a name.
    ///
    /// - Precondition: entered.
    /// - Returns: whether it is gone.
    package func removeName(_ parent: NodeID, _ name: [UInt8], isDirectory: Bool) -> Bool {
        unsafe name.withUnsafeBytes { bytes in
            do throws(Errno) {
                if isDirectory {
                    try removeDirectory(parent, unsafe Name(bytes))
                } else {
                    try unlink(parent, unsafe Name(bytes))
                }
                return true
            } catch { return false }
        }
    }
}
