// PowerExamination: one look at the tree after a power loss.

import Glibc

/// Walks from the root, decides for each group of names whether it was kept, and holds every inode against
/// the model.
struct PowerExamination {
    private let oracle: PowerOracle
    private let model: PowerModel
    private let isAllLost: Bool
    /// Whether a group of names was kept.
    private var verdicts: [Int: Bool] = [:]
    /// What the nodes that were found became; by their old numbers.
    private var found: [Int: PowerNode] = [:]
    private var links: [Int: (expected: Int, told: Int, path: String)] = [:]
    /// What is left, all of it synced.
    private(set) var next: PowerModel
    private(set) var sizesKept = 0
    private(set) var sizesLost = 0

    init(oracle: PowerOracle, isAllLost: Bool) {
        self.oracle = oracle
        self.isAllLost = isAllLost
        model = oracle.model
        next = PowerModel(rootOwner: oracle.model.root.content.owner)
    }

    mutating func run() throws {
        try checkOwner(model.root, oracle.root.status(), "")
        next.root.content = PowerContent(owner: oracle.owner(try oracle.root.status()))
        found[model.root.number] = next.root
        var waiting: [(node: PowerNode, path: String)] = [(model.root, "")]
        while let (node, path) = waiting.popLast() {
            waiting += try examine(directory: node, path)
        }
        for (_, link) in links where link.expected != link.told {
            throw PowerFailure(
                description: "\(link.path) has \(link.expected) names and says \(link.told)")
        }
        try checkNothingIsMissing()
    }

    private mutating func examine(
        directory: PowerNode, _ path: String
    ) throws -> [(node: PowerNode, path: String)] {
        let place = path.isEmpty ? oracle.root : oracle.root / path
        var seen: [String: UInt64] = [:]
        for entry in try place.entries() where !entry.isDot { seen[entry.text] = entry.inode }
        let changed = model.changes.keys.filter { $0.directory == directory.number }.map(\.name)
        var directories: [(node: PowerNode, path: String)] = []
        for name in Set(seen.keys).union(directory.names.keys).union(changed).sorted() {
            let whole = path.isEmpty ? name : path + "/" + name
            guard let node = try decide(directory, name, seen[name], whole) else { continue }
            if try examine(node, whole, in: directory, name) { directories.append((node, whole)) }
        }
        return directories
    }

    /// What a name leads to.
    private mutating func decide(
        _ directory: PowerNode, _ name: String, _ inode: UInt64?, _ path: String
    ) throws -> PowerNode? {
        let present = directory.names[name]
        let place = PowerPlace(directory: directory.number, name: name)
        let shown = inode.map { "inode \($0)" } ?? "nothing"
        guard let change = model.changes[place], change.synced !== change.current else {
            if inode == present?.inode { return present }
            throw PowerFailure(description: "the synced name \(path) leads to \(shown)")
        }
        let isNew = inode == change.current?.inode
        guard isNew || inode == change.synced?.inode else {
            throw PowerFailure(
                description: "\(path) leads to \(shown), neither what it did nor what it does")
        }
        if isNew && isAllLost {
            throw PowerFailure(description: "\(path) is kept, where all is lost")
        }
        if let other = verdicts[change.group], other != isNew {
            throw PowerFailure(
                description:
                    "\(path) is \(isNew ? "new" : "old"), and another name of its group is not")
        }
        verdicts[change.group] = isNew
        return isNew ? change.current : change.synced
    }

    /// - Returns: whether it is a directory, to look into.
    private mutating func examine(
        _ node: PowerNode, _ path: String, in directory: PowerNode, _ name: String
    ) throws -> Bool {
        let place = oracle.root / path
        let parent = found[directory.number]
        if let known = found[node.number] {
            if node.kind == .directory {
                throw PowerFailure(description: "the directory \(path) lies in two places")
            }
            links[node.number]?.expected += 1
            parent?.names[name] = known
            return false
        }
        let status = try place.status()
        try checkOwner(node, status, path)
        let made = next.make(node.kind, owner: oracle.owner(status))
        made.inode = status.inode
        if node.kind == .file {
            let bytes = try place.readBytes()
            if let objection = node.content.objection(bytes, isAllLost: isAllLost) {
                throw PowerFailure(description: "\(path): \(objection)")
            }
            if node.content.size != node.content.syncedSize {
                if bytes.count == node.content.size { sizesKept += 1 } else { sizesLost += 1 }
            }
            made.content = PowerContent(owner: oracle.owner(status), bytes: bytes)
        }
        found[node.number] = made
        parent?.names[name] = made
        if node.kind != .directory { links[node.number] = (1, status.links, path) }
        return node.kind == .directory
    }

    private func checkOwner(_ node: PowerNode, _ status: PosixStatus, _ path: String) throws {
        if node.kind == .link { return }
        let owner = oracle.owner(status)
        let content = node.content
        if owner == content.syncedOwner || owner == content.owner && !isAllLost { return }
        throw PowerFailure(
            description: "'\(path)' has \(owner), not \(content.syncedOwner) or \(content.owner)")
    }

    /// No power loss takes a synced file or directory that nobody removed.
    private func checkNothingIsMissing() throws {
        let present = Set(model.reachable().map(\.node.number))
        var durable: [(node: PowerNode, path: String)] = [(model.root, "")]
        while let (node, path) = durable.popLast() {
            if present.contains(node.number), !node.wasRemoved, found[node.number] == nil {
                throw PowerFailure(
                    description: "\(path) was synced, nobody removed it, and it is gone")
            }
            guard node.kind == .directory else { continue }
            for (name, child) in model.syncedNames(of: node) {
                durable.append((child, path + "/" + name))
            }
        }
    }
}
