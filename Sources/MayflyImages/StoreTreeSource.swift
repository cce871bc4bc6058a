// StoreTreeSource: a part of a mounted store as entries, for a copy within it.

package import InodeStore
internal import MayflyHost
package import SystemPackage

/// Whether somebody may look at an inode, or change a directory, as its mode says.
package struct TreeCaller: Sendable {
    package let userID: UInt32
    package let groupIDs: [UInt32]

    package init(userID: UInt32, groupIDs: [UInt32]) {
        self.userID = userID
        self.groupIDs = groupIDs
    }

    /// - Parameter bits: 4 to read, 2 to write, 1 to search.
    package func may(_ bits: UInt32, _ attributes: Attributes) -> Bool {
        if userID == 0 { return true }
        let shift: UInt32 =
            if attributes.userID == userID { 6 } else if groupIDs.contains(attributes.groupID) {
                3
            } else { 0 }
        return attributes.mode >> shift & bits == bits
    }
}

extension StoreWorker {
    /// Proves that somebody may remove a name and all that lies below it, as rm(1) would.
    ///
    /// - Precondition: entered.
    /// - Throws: `EPERM` where chattr(1) forbids it, `EACCES` where a directory may not be listed or
    ///   written.
    /// - Complexity: for root O(1), for others O(directories, and names beside directories), as long as
    ///   no inode of the store is immutable or append-only; O(names below) else. In memory O(depth).
    /// - Source: fs/namei.c, `may_delete()`.
    package func checkRemoval(
        of node: NodeID, from parent: NodeID, by caller: TreeCaller
    ) throws(Errno) {
        let mayHoldFixed = mayHoldFixed
        if caller.userID == 0, !mayHoldFixed { return }
        var waiting: [(node: NodeID, attributes: Attributes, cookie: UInt64)] = []
        func check(
            _ node: NodeID, in directory: Attributes, needing bits: UInt32
        ) throws(Errno) {
            let attributes = try attributes(node)
            if (attributes.flags | directory.flags) & InodeFlags.fixed != 0 { throw .notPermitted }
            let isOthers =
                caller.userID != 0 && caller.userID != attributes.userID
                && caller.userID != directory.userID
            if !caller.may(bits, directory) || directory.mode & FileMode.sticky != 0 && isOthers {
                throw .permissionDenied
            }
            if attributes.isDirectory { waiting.append((node, attributes, 0)) }
        }
        try check(node, in: try attributes(parent), needing: 3)
        while let (directory, attributes, cookie) = waiting.last {
            guard let handle = peekDirectory(directory),
                let entry = nextEntry(handle, from: cookie)
            else {
                waiting.removeLast()
                continue
            }
            let index = waiting.count - 1
            waiting[index].cookie = entry.nextCookie
            do throws(Errno) {
                try check(NodeID(rawValue: entry.nodeID), in: attributes, needing: 7)
            } catch .staleNFSFileHandle { continue }
            // One answer for all: there is no directory in it, and no name of it is protected by itself.
            let areAlike =
                attributes.links == 2 && !mayHoldFixed
                && (attributes.mode & FileMode.sticky == 0 || attributes.userID == caller.userID)
            if areAlike { waiting.remove(at: index) }
        }
    }
}

/// Entries at and below a directory or file of a store. One thread.
package final class StoreTreeSource: EntrySource {
    private let turn: TreeTurn
    private let rollbacks: UInt64
    private let caller: TreeCaller
    private let isWanted: ([UInt8]) -> Bool
    /// Content is read by whoever has the source; else it is copied within the store.
    private let readsContent: Bool
    private var buffer: [UInt8] = []
    /// What is still to be listed, the deepest last.
    private var folders: [(node: NodeID, cookie: UInt64, pathCount: Int)] = []
    private var path = WalkedPath()
    private var start: NodeID?
    private var current: NodeID?
    /// By generation, which no two inodes share.
    private var links: [UInt32: [UInt8]] = [:]

    /// - Parameters:
    ///   - name: what a source that is no directory is called.
    ///   - readsContent: whether `forEachPiece` tells content, for another store.
    ///   - isWanted: whether a path is to be there, with all that is below it.
    package init(
        _ node: NodeID, turn: TreeTurn, rollbacks: UInt64, caller: TreeCaller, name: [UInt8] = [],
        readsContent: Bool = false, isWanted: @escaping ([UInt8]) -> Bool = { _ in true }
    ) {
        self.turn = turn
        self.rollbacks = rollbacks
        self.caller = caller
        self.isWanted = isWanted
        self.readsContent = readsContent
        start = node
        path.append(name)
    }

    deinit {
        // After a rollback, too: what is another's by then has another nodeid.
        _ = try? turn.entered { worker throws(Errno) in
            release(worker)
            for folder in folders { worker.forget(folder.node, count: 1) }
        }
    }

    /// Lets go of the last entry; directories are held until they are listed.
    private func release(_ worker: StoreWorker) {
        if let current { worker.forget(current, count: 1) }
        current = nil
    }

    package func next() throws(TreeError) -> SourceEntry? {
        do throws(Errno) {
            return try turn.entered { worker throws(Errno) in
                guard worker.rollbacks == rollbacks else { throw Errno.canceled }
                return try next(worker)
            }
        } catch {
            let name = path.bytes.isEmpty ? "the source" : ByteText.shortened(path.bytes)
            throw error == .canceled
                ? TreeError("the mount was rolled back meanwhile")
                : TreeError("\(name) cannot be read (\(error))")
        }
    }

    private func next(_ worker: StoreWorker) throws(Errno) -> SourceEntry? {
        release(worker)
        if let start {
            self.start = nil
            return try entry(start, worker)
        }
        while let folder = folders.last {
            path.cut(to: folder.pathCount)
            // One that was removed meanwhile holds nothing.
            guard let handle = worker.peekDirectory(folder.node),
                let next = worker.nextEntry(handle, from: folder.cookie)
            else {
                worker.forget(folders.removeLast().node, count: 1)
                continue
            }
            folders[folders.count - 1].cookie = next.nextCookie
            path.append(next.nameBytes)
            if !isWanted(path.bytes) { continue }
            return try entry(NodeID(rawValue: next.nodeID), worker)
        }
        return nil
    }

    private func entry(_ node: NodeID, _ worker: StoreWorker) throws(Errno) -> SourceEntry {
        let attributes = try worker.attributes(node)
        let type = attributes.mode & FileMode.typeMask
        // Held, so that its slot does not become another's.
        worker.pin(node)
        current = node
        var entry = SourceEntry(
            path: path.bytes, mode: attributes.mode, attributes: try worker.restorable(node),
            hardLink: nil, target: nil, device: attributes.device,
            size: type == FileMode.regular ? attributes.size : 0, original: nil)
        if type == FileMode.directory {
            guard caller.may(5, attributes) else { throw .permissionDenied }
            worker.pin(node)
            folders.append((node, 0, path.bytes.count))
            return entry
        }
        if attributes.links > 1 {
            if let earlier = links[attributes.generation] {
                entry.hardLink = earlier
                entry.size = 0
                return entry
            }
            links[attributes.generation] = path.bytes
        }
        if type == FileMode.symlink { entry.target = unsafe [UInt8](try worker.readLink(node)) }
        if type == FileMode.regular {
            guard caller.may(4, attributes) else { throw .permissionDenied }
            if !readsContent { entry.original = node }
        }
        return entry
    }

    package func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        guard readsContent, let current else { return }
        if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: 256 << 10) }
        var at: UInt64 = 0
        while true {
            let start = at
            let piece: (offset: UInt64, count: Int)?
            do throws(Errno) {
                piece = try turn.entered { worker throws(Errno) in
                    guard worker.rollbacks == rollbacks else { throw Errno.canceled }
                    return try readPiece(of: current, from: start, worker)
                }
            } catch {
                throw TreeError("\(ByteText.shortened(path.bytes)) cannot be read (\(error))")
            }
            guard let piece else { return }
            try unsafe buffer[..<piece.count].withUnsafeBufferPointer { bytes throws(TreeError) in
                try unsafe body(piece.offset, UnsafeRawBufferPointer(bytes))
            }
            at = piece.offset + UInt64(piece.count)
        }
    }

    /// Reads what is no hole; nil at the end.
    private func readPiece(
        of node: NodeID, from start: UInt64, _ worker: StoreWorker
    ) throws(Errno) -> (offset: UInt64, count: Int)? {
        let data: UInt64
        do throws(Errno) {
            data = try worker.seek(node, offset: start, hole: false)
        } catch .noSuchAddressOrDevice { return nil }
        let end = try worker.seek(node, offset: data, hole: true)
        let count = try worker.read(node, offset: data, into: &buffer, atMost: end - data)
        return count == 0 ? nil : (data, count)
    }

    package func xattrs() -> [(name: [UInt8], value: [UInt8])] {
        guard let current else { return [] }
        let found = try? turn.entered { worker throws(Errno) in
            guard worker.rollbacks == rollbacks else { throw Errno.canceled }
            return try worker.allXattrs(current)
        }
        return found ?? []
    }

    package func takeUnknownNames() -> Bool { false }
}
