// FaultWalk: the inodes that a new rule is about, so that the kernel can be told to forget them. It walks
// only where the pattern leads, while requests are answered, and keeps no paths.

package import InodeStore

package struct FaultWalk {
    private let worker: StoreWorker
    private var tree = PatternTree()
    private let isEverything: Bool
    private var found: [UInt64] = []
    private var folders: [Folder] = []

    /// A directory on the way, and where its listing goes on.
    private struct Folder {
        let node: UInt64
        let places: PatternTree.Places
        var cookie: UInt64 = 0
    }

    /// Entries looked at between two moments in which others may free what they removed.
    private static let entriesPerEpoch = 512

    /// - Parameters:
    ///   - pattern: nil for every inode.
    ///   - worker: nobody else uses it, and it is not entered.
    package init(_ pattern: PathPattern?, _ worker: StoreWorker) {
        self.worker = worker
        isEverything = pattern == nil
        if let pattern { tree.insert(pattern, rule: 1) }
    }

    /// Those that the kernel has references to.
    ///
    /// - Complexity: O(entries of the directories that the pattern leads through), in memory
    ///   O(depth and what is found).
    package consuming func referredNodes() -> [UInt64] {
        if isEverything { return worker.referredNodes() }
        var walk = self
        walk.run()
        return walk.found
    }

    private mutating func run() {
        enter(NodeID.root.rawValue, isDirectory: true, tree.start())
        while !folders.isEmpty {
            worker.enter()
            if !lookUp() { list() }
            worker.leave()
        }
    }

    /// Takes note of an inode that a path of the pattern's beginning leads to.
    private mutating func enter(_ node: UInt64, isDirectory: Bool, _ places: PatternTree.Places) {
        if places.isEmpty { return }
        if tree.hasRules(at: places), worker.isReferred(NodeID(rawValue: node)) {
            found.append(node)
        }
        if isDirectory, tree.goesOn(from: places) {
            folders.append(Folder(node: node, places: places))
        }
    }

    /// Looks names up where the pattern says which; false where the directory is to be listed.
    private mutating func lookUp() -> Bool {
        guard let folder = folders.last, let names = tree.literals(from: folder.places) else {
            return false
        }
        folders.removeLast()
        for name in names {
            guard let node = worker.target(NodeID(rawValue: folder.node), name),
                let state = worker.durableState(node)
            else { continue }
            let places = unsafe name.withUnsafeBytes { bytes in
                tree.advance(folder.places, unsafe Name(bytes))
            }
            enter(node.rawValue, isDirectory: state.isDirectory, places)
        }
        return true
    }

    /// Looks at a few entries of the last directory, up to one that is to be gone into.
    private mutating func list() {
        let index = folders.count - 1
        let folder = folders[index]
        guard let handle = worker.peekDirectory(NodeID(rawValue: folder.node)) else {
            folders.removeLast()
            return
        }
        for _ in 0..<Self.entriesPerEpoch {
            guard let entry = worker.nextEntry(handle, from: folders[index].cookie) else {
                folders.remove(at: index)
                return
            }
            folders[index].cookie = entry.nextCookie
            let name = unsafe Name(entry.name, UInt64(entry.nameCount))
            let isDirectory = entry.mode & FileMode.typeMask == FileMode.directory
            enter(entry.nodeID, isDirectory: isDirectory, tree.advance(folder.places, name))
            if folders.count > index + 1 { return }
        }
    }
}
