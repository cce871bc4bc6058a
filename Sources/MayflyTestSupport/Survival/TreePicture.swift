// TreePicture: all that a client can learn of a tree, to compare two moments of it.

internal import CMayflyMemory
package import InodeStore
internal import MayflyArena
package import SystemPackage

package struct TreePicture: Equatable {
    package struct Node: Equatable {
        /// Attributes, extended attributes, target, place in the listing.
        package var facts: String
        /// 512-byte blocks of a file; what an unfinished write has taken may be more.
        package var blocks: UInt64
        /// Where there is data: beginnings and ends.
        package var extents: [UInt64] = []
        package var content: [UInt8]
    }

    package var nodes: [String: Node] = [:]
    package var pagesFree: UInt64
    package var inodesFree: UInt64

    /// Whether inode numbers, times and places count.
    private var isExact: Bool

    /// - Parameters:
    ///   - worker: of a store that nobody else uses; not entered.
    ///   - isExact: whether it is compared with the same store at another time, not with one that the
    ///     same was done to.
    package init(_ worker: StoreWorker, isExact: Bool = true) throws(Errno) {
        self.isExact = isExact
        let free = worker.statistics
        pagesFree = free.pagesFree
        inodesFree = free.inodesFree
        worker.enter()
        defer { worker.leave() }
        try add(.root, "", cookie: 0, worker)
    }

    private mutating func add(
        _ node: NodeID, _ path: String, cookie: UInt64, _ worker: StoreWorker
    ) throws(Errno) {
        let found = try worker.attributes(node)
        var facts =
            "\(String(found.mode, radix: 8)) links \(found.links) "
            + "owner \(found.userID):\(found.groupID) device \(found.device) "
            + "flags \(found.flags) size \(found.size)"
        if isExact { facts += exactFacts(found, cookie) }
        for name in try worker.xattrNames(node) {
            facts += " \(name)=\(try worker.xattrBytes(node, name))"
        }
        var content: [UInt8] = []
        var extents: [UInt64] = []
        switch found.mode & FileMode.typeMask {
        case FileMode.regular:
            content = try worker.read(
                node, offset: 0, count: Int(found.size), touchesAccess: false)
            extents = try self.extents(node, size: found.size, worker)
        case FileMode.symlink: facts += " target \(try worker.readLinkBytes(node))"
        default: break
        }
        for index in 0..<UInt64(found.isDirectory ? 1 : found.links) where node != .root {
            guard let place = worker.place(of: node, name: index) else {
                throw .noSuchFileOrDirectory
            }
            facts += " name \(isExact ? place.directory.rawValue : 0)/\(place.name)"
        }
        let directory = worker.peekDirectory(node)
        if let directory, isExact { facts += " parent \(directory.parentNodeID)" }
        nodes[path] = Node(
            facts: facts, blocks: found.blocks, extents: extents, content: content)
        guard let directory else { return }
        var next: UInt64 = 0
        while let entry = worker.nextEntry(directory, from: next) {
            next = entry.nextCookie
            let name = String(decoding: entry.nameBytes, as: UTF8.self)
            guard try worker.peek(node, name) == NodeID(rawValue: entry.nodeID) else {
                throw .noSuchFileOrDirectory
            }
            try add(NodeID(rawValue: entry.nodeID), path + "/" + name, cookie: next, worker)
        }
    }

    private func exactFacts(_ found: Attributes, _ cookie: UInt64) -> String {
        var facts = " inode \(found.nodeID) \(found.generation) place \(cookie) times"
        for time in [
            found.accessTime, found.modificationTime, found.changeTime, found.birthTime,
        ] {
            facts += " \(time.seconds).\(time.nanoseconds)"
        }
        return facts
    }

    private func extents(
        _ node: NodeID, size: UInt64, _ worker: StoreWorker
    ) throws(Errno) -> [UInt64] {
        var found: [UInt64] = []
        var at: UInt64 = 0
        while at < size {
            guard let data = try? worker.seek(node, offset: at, hole: false) else { break }
            at = try worker.seek(node, offset: data, hole: true)
            found += [data, at]
        }
        return found
    }

    /// What lies below a folder.
    package func below(_ path: String) -> [String: Node] {
        nodes.filter { $0.key.hasPrefix(path + "/") }
    }

    /// What is not the same in another picture, for people.
    package func differences(from other: TreePicture) -> [String] {
        var found: [String] = []
        for path in Set(nodes.keys).union(other.nodes.keys).sorted() {
            let (one, two) = (nodes[path], other.nodes[path])
            if one == two { continue }
            found.append("\(path): \(one?.facts ?? "none") | \(two?.facts ?? "none")")
            if one?.facts == two?.facts { found.append("\(path): blocks or content") }
        }
        if pagesFree != other.pagesFree || inodesFree != other.inodesFree {
            found.append(
                "free \(pagesFree), \(inodesFree) | \(other.pagesFree), \(other.inodesFree)")
        }
        return found
    }

    /// Whether it is one of two moments, but for the content of one file, of which each byte is as in the
    /// one or the other, and the pages that it takes.
    package func isTorn(_ path: String, between before: TreePicture, and after: TreePicture) -> Bool
    {
        for moment in [before, after] {
            guard let mine = nodes[path], let theirs = moment.nodes[path] else { continue }
            var masked = self
            masked.nodes[path] = theirs
            masked.pagesFree = moment.pagesFree
            guard masked == moment, mine.facts == theirs.facts else { continue }
            let others = [before, after].compactMap { $0.nodes[path]?.content }
            return mine.content.indices.allSatisfy { index in
                others.contains {
                    ($0.indices.contains(index) ? $0[index] : 0) == mine.content[index]
                }
            }
        }
        return false
    }
}
