// TreeDiff: what two trees have differently.

package import InodeStore
internal import MayflyHost
internal import SystemPackage

/// One path that is not the same in two trees.
public struct TreeDifference: Codable, Sendable, Equatable {
    /// What became of a path.
    public enum Kind: String, Codable, Sendable {
        case added, removed, changed
    }

    /// Everything that can differ in one path.
    public enum Aspect: String, Codable, Sendable, CaseIterable {
        case type, content, size, mode, owner, time, attributes, target, device, flags
    }

    /// What became of it.
    public var kind: Kind
    /// From the root, without a slash in front; "." is the root. What is not UTF-8 is as `PathBytes` has it.
    public var path: String
    /// What differs, for a path that is in both; empty otherwise.
    public var aspects: [Aspect]
}

/// A comparison of two stores that nobody else uses.
package struct TreeDiff {
    private let report: (TreeDifference) -> Bool
    private var pair: TreePair
    /// nil where the whole trees are compared.
    private let changes: ChangedNames?
    private var path = WalkedPath()
    private var folders: [Folder] = []

    /// Compares two trees; reports in the order of paths within each directory.
    ///
    /// - Parameter report: gets one path after the other; false ends the comparison.
    /// - Complexity: O(entries), and content of files that have the same size; in memory O(depth and
    ///   the names of the directories on the way).
    package static func compare(
        _ old: InodeStore, _ new: InodeStore, report: (TreeDifference) -> Bool
    ) {
        run(old, new, nil, report)
    }

    /// Compares two states of one tree, by the inodes that differ.
    ///
    /// - Parameter changed: inodes that are not the same in both: `InodeStore.changedInodes`.
    /// - Complexity: O(changed inodes, the directories above them and what lies in directories that
    ///   were moved, added or removed), and their content.
    package static func compare(
        _ old: InodeStore, _ new: InodeStore, changed: [NodeID],
        report: (TreeDifference) -> Bool
    ) {
        run(old, new, changed, report)
    }

    private static func run(
        _ old: InodeStore, _ new: InodeStore, _ changed: [NodeID]?,
        _ report: (TreeDifference) -> Bool
    ) {
        let pair = TreePair(old: old.worker(0), new: new.worker(0), isSameTree: changed != nil)
        pair.old.enter()
        pair.new.enter()
        defer {
            pair.old.leave()
            pair.new.leave()
        }
        withoutActuallyEscaping(report) { report in
            let names = changed.map { ChangedNames(pair.old, pair.new, $0) }
            var diff = TreeDiff(report: report, pair: pair, changes: names)
            diff.walk()
        }
    }

    private init(
        report: @escaping (TreeDifference) -> Bool, pair: TreePair, changes: ChangedNames?
    ) {
        self.report = report
        self.pair = pair
        self.changes = changes
    }

    /// A directory on the way, and what of it is still to be looked at.
    private struct Folder {
        enum Rest {
            /// Names of either directory in their order, and which is next.
            case both([Child], next: Int)
            /// A directory that only one tree has, and where its listing goes on.
            case one(TreeDifference.Kind, DirectoryHandle, cookie: UInt64)
        }
        var rest: Rest
        let pathCount: Int
    }

    private struct Child {
        let name: [UInt8]
        var old: NodeID?
        var new: NodeID?
    }

    // MARK: the walk

    /// No recursion: a tree may be deeper than a stack.
    private mutating func walk() {
        guard look(Child(name: [], old: .root, new: .root)) else { return }
        while var folder = folders.popLast() {
            path.cut(to: folder.pathCount)
            switch folder.rest {
            case .both(let children, let next):
                guard next < children.count else { continue }
                folder.rest = .both(children, next: next + 1)
                folders.append(folder)
                guard look(children[next]) else { return }
            case .one(let kind, let handle, let cookie):
                let worker = kind == .removed ? pair.old : pair.new
                guard let entry = worker.nextEntry(handle, from: cookie) else { continue }
                folder.rest = .one(kind, handle, cookie: entry.nextCookie)
                folders.append(folder)
                path.append(entry.nameBytes)
                guard tell(kind, NodeID(rawValue: entry.nodeID)) else { return }
            }
        }
    }

    /// Looks at a name; false when nobody wants to know more.
    private mutating func look(_ child: Child) -> Bool {
        if !child.name.isEmpty { path.append(child.name) }
        guard let oldNode = child.old else { return child.new.map { tell(.added, $0) } ?? true }
        guard let newNode = child.new else { return tell(.removed, oldNode) }
        guard let a = try? pair.old.attributes(oldNode), let b = try? pair.new.attributes(newNode)
        else { return true }
        let aspects = pair.aspects(a, b)
        if !aspects.isEmpty, !tell(.changed, aspects) { return false }
        if a.isDirectory && b.isDirectory {
            goInto(oldNode, newNode, isSame: pair.isSameInode(a, b))
            return true
        }
        // Of a directory that became something else, or the other way round, all names go or come.
        if b.isDirectory { goInto(.added, newNode) }
        if a.isDirectory { goInto(.removed, oldNode) }
        return true
    }

    /// Tells of a name that one tree has, and goes on below it.
    private mutating func tell(_ kind: TreeDifference.Kind, _ node: NodeID) -> Bool {
        guard tell(kind, []) else { return false }
        goInto(kind, node)
        return true
    }

    private func tell(_ kind: TreeDifference.Kind, _ aspects: [TreeDifference.Aspect]) -> Bool {
        let text = path.bytes.isEmpty ? "." : ByteText.text(of: path.bytes)
        return report(TreeDifference(kind: kind, path: text, aspects: aspects))
    }

    private mutating func goInto(_ kind: TreeDifference.Kind, _ node: NodeID) {
        guard let handle = (kind == .removed ? pair.old : pair.new).peekDirectory(node) else {
            return
        }
        folders.append(
            Folder(rest: .one(kind, handle, cookie: 0), pathCount: path.bytes.count))
    }

    private mutating func goInto(_ old: NodeID, _ new: NodeID, isSame: Bool) {
        var children: [[UInt8]: Child] = [:]
        if isSame, let changes {
            for name in changes.names(old, new) {
                children[name] = Child(
                    name: name, old: pair.old.target(old, name), new: pair.new.target(new, name))
            }
        } else {
            Self.list(pair.old, old) { children[$0] = Child(name: $0, old: $1) }
            Self.list(pair.new, new) { children[$0, default: Child(name: $0)].new = $1 }
        }
        if children.isEmpty { return }
        let sorted = children.values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        folders.append(Folder(rest: .both(sorted, next: 0), pathCount: path.bytes.count))
    }

    private static func list(
        _ worker: StoreWorker, _ node: NodeID, _ body: ([UInt8], NodeID) -> Void
    ) {
        guard let handle = worker.peekDirectory(node) else { return }
        var cookie: UInt64 = 0
        while let entry = worker.nextEntry(handle, from: cookie) {
            cookie = entry.nextCookie
            body(entry.nameBytes, NodeID(rawValue: entry.nodeID))
        }
    }
}

/// The names by which one gets to changed inodes, in each directory above them.
private struct ChangedNames {
    private var old: [NodeID: Set<[UInt8]>] = [:]
    private var new: [NodeID: Set<[UInt8]>] = [:]

    init(_ oldTree: StoreWorker, _ newTree: StoreWorker, _ nodes: [NodeID]) {
        Self.collect(oldTree, nodes, &old)
        Self.collect(newTree, nodes, &new)
    }

    private static func collect(
        _ worker: StoreWorker, _ nodes: [NodeID], _ found: inout [NodeID: Set<[UInt8]>]
    ) {
        var waiting = nodes
        while let node = waiting.popLast() {
            for index in 0..<worker.names(of: node) {
                guard let place = worker.place(of: node, name: index) else { continue }
                let isFirst = found[place.directory] == nil
                found[place.directory, default: []].insert(place.name)
                if isFirst { waiting.append(place.directory) }
            }
        }
    }

    /// Names that may lead to something else than before in a directory that is in both trees.
    func names(_ oldNode: NodeID, _ newNode: NodeID) -> Set<[UInt8]> {
        (old[oldNode] ?? []).union(new[newNode] ?? [])
    }
}
