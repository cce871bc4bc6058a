// PowerModel: a tree with what of it is synced, as Docs/Fixtures.md says it, apart from the server.

/// An inode of the model.
final class PowerNode {
    enum Kind { case file, directory, link }
    let kind: Kind
    let number: Int
    var inode: UInt64 = 0
    var content: PowerContent
    /// A directory's names as they are.
    var names: [String: PowerNode] = [:]
    /// Whether somebody has removed a name of it.
    var wasRemoved = false

    init(_ kind: Kind, number: Int, owner: PowerOwner) {
        self.kind = kind
        self.number = number
        content = PowerContent(owner: owner)
    }
}

/// A name in a directory.
struct PowerPlace: Hashable {
    let directory: Int
    let name: String
}

/// A name that has changed since its directory was synced.
struct PowerChange {
    let synced: PowerNode?
    var current: PowerNode?
    var group: Int
}

/// The tree.
final class PowerModel {
    private(set) var nodes: [Int: PowerNode] = [:]
    let root: PowerNode
    private(set) var changes: [PowerPlace: PowerChange] = [:]
    private var nextNumber = 0
    private var nextGroup = 0

    init(rootOwner: PowerOwner) {
        root = PowerNode(.directory, number: 0, owner: rootOwner)
        nodes[0] = root
        nextNumber = 1
    }

    func make(_ kind: PowerNode.Kind, owner: PowerOwner) -> PowerNode {
        let node = PowerNode(kind, number: nextNumber, owner: owner)
        nodes[nextNumber] = node
        nextNumber += 1
        return node
    }

    // MARK: names

    /// What a request makes of one name.
    private func set(_ directory: PowerNode, _ name: String, _ node: PowerNode?) {
        let place = PowerPlace(directory: directory.number, name: name)
        let old = directory.names[name]
        if old === node { return }
        directory.names[name] = node
        if changes[place] == nil {
            nextGroup += 1
            changes[place] = PowerChange(synced: old, current: node, group: nextGroup)
        } else {
            changes[place]?.current = node
        }
    }

    func add(_ directory: PowerNode, _ name: String, _ node: PowerNode) {
        set(directory, name, node)
        dropIfIdle(directory, name)
    }

    func remove(_ directory: PowerNode, _ name: String) {
        let victim = directory.names[name]
        victim?.wasRemoved = true
        set(directory, name, nil)
        if let victim, victim.kind == .directory { joinRemoved(victim, directory, name) }
        dropIfIdle(directory, name)
    }

    func rename(
        _ source: PowerNode, _ sourceName: String, _ target: PowerNode, _ targetName: String,
        isExchange: Bool
    ) {
        let moved = source.names[sourceName]
        let other = target.names[targetName]
        if moved === other { return }
        if !isExchange { other?.wasRemoved = true }
        set(source, sourceName, isExchange ? other : nil)
        set(target, targetName, moved)
        if !isExchange, let other, other.kind == .directory {
            joinRemoved(other, target, targetName)
        }
        join(place(source, sourceName), place(target, targetName))
        joinAbove(target, with: place(target, targetName))
        if isExchange { joinAbove(source, with: place(source, sourceName)) }
        dropIfIdle(source, sourceName)
        dropIfIdle(target, targetName)
    }

    private func place(_ directory: PowerNode, _ name: String) -> PowerPlace {
        PowerPlace(directory: directory.number, name: name)
    }

    /// A removed directory goes together with what was removed from it.
    private func joinRemoved(_ victim: PowerNode, _ directory: PowerNode, _ name: String) {
        for inner in changes.keys where inner.directory == victim.number {
            dropIfIdle(victim, inner.name)
            join(place(directory, name), inner)
        }
    }

    /// What moves into a directory goes together with the new names of directories above it.
    private func joinAbove(_ directory: PowerNode, with place: PowerPlace) {
        var at = directory
        while at !== root {
            guard let (above, name) = self.place(of: at) else { return }
            join(place, self.place(above, name))
            at = above
        }
    }

    /// Where a directory lies.
    func place(of directory: PowerNode) -> (above: PowerNode, name: String)? {
        for node in nodes.values where node.kind == .directory {
            for (name, target) in node.names where target === directory { return (node, name) }
        }
        return nil
    }

    private func join(_ one: PowerPlace, _ other: PowerPlace) {
        guard let a = changes[one]?.group, let b = changes[other]?.group, a != b else { return }
        for place in changes.keys where changes[place]?.group == b { changes[place]?.group = a }
    }

    private func dropIfIdle(_ directory: PowerNode, _ name: String) {
        let place = place(directory, name)
        guard let change = changes[place], change.synced === change.current,
            changes.values.filter({ $0.group == change.group }).count == 1
        else { return }
        changes[place] = nil
    }

    // MARK: syncing

    /// fsync(2) of a directory.
    func synchronize(directory: PowerNode) {
        directory.content.synchronize(pages: 0..<PowerContent.pageCount)
        let groups = Set(changes.filter { $0.key.directory == directory.number }.map(\.value.group))
        changes = changes.filter { !groups.contains($0.value.group) }
    }

    /// Everything is synced.
    func synchronizeAll() {
        changes = [:]
        for node in nodes.values { node.content.synchronize(pages: 0..<PowerContent.pageCount) }
    }

    // MARK: looking

    /// The names that a directory had when it was synced.
    func syncedNames(of directory: PowerNode) -> [String: PowerNode] {
        var names = directory.names
        for (place, change) in changes where place.directory == directory.number {
            names[place.name] = change.synced
        }
        return names
    }

    /// Every inode with a path, directories before what lies in them.
    func reachable() -> [(path: String, parent: PowerNode?, node: PowerNode)] {
        var found: [(path: String, parent: PowerNode?, node: PowerNode)] = [("", nil, root)]
        var at = 0
        while at < found.count {
            let (path, _, node) = found[at]
            at += 1
            guard node.kind == .directory else { continue }
            for (name, child) in node.names.sorted(by: { $0.key < $1.key }) {
                found.append((path.isEmpty ? name : path + "/" + name, node, child))
            }
        }
        return found
    }

    /// Whether one directory is another or lies in it.
    func lies(_ node: PowerNode, in directory: PowerNode) -> Bool {
        var at = node
        while at !== directory {
            guard let (above, _) = place(of: at) else { return false }
            at = above
        }
        return true
    }
}
