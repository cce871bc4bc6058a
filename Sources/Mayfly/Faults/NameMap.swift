// NameMap: where inodes are, kept by the names that pass by.
//
// Inodes do not know their names, and no request pays for that somebody may want to know. So the map
// is filled by one walk between two requests, and follows every change of a name from then on.

/// A name in a directory.
struct NamePlace: Hashable, Sendable {
    var parent: UInt64
    var name: [UInt8]
}

/// Names of nodeids and nodeids of names. A value, guarded by its owner.
struct NameMap: Sendable {
    private var places: [UInt64: Set<NamePlace>] = [:]
    private var nodes: [NamePlace: UInt64] = [:]

    static let root: UInt64 = 1
    /// Deeper than any path that can be named in one call.
    private static let depthLimit = 8192

    /// Every nodeid that has a name, and the root.
    var named: [UInt64] { [Self.root] + places.keys }

    func node(_ place: NamePlace) -> UInt64? { nodes[place] }

    /// Takes note that a name leads to an inode.
    ///
    /// - Parameter isNew: the inode was made this moment: what is known of its number was another's.
    mutating func set(_ place: NamePlace, to node: UInt64, isNew: Bool = false) {
        if isNew { for old in places[node] ?? [] { remove(old) } }
        remove(place)
        nodes[place] = node
        places[node, default: []].insert(place)
    }

    mutating func remove(_ place: NamePlace) {
        guard let node = nodes.removeValue(forKey: place) else { return }
        places[node]?.remove(place)
        if places[node]?.isEmpty == true { places[node] = nil }
    }

    mutating func rename(_ old: NamePlace, to new: NamePlace, isExchange: Bool) {
        let moving = nodes[old]
        let replaced = nodes[new]
        // Two names of one inode stay as they are: rename(2).
        if let moving, moving == replaced { return }
        remove(old)
        remove(new)
        if let moving { set(new, to: moving) }
        if isExchange, let replaced { set(old, to: replaced) }
    }

    /// All paths of an inode, without a slash at the beginning; the root's is empty.
    func paths(of node: UInt64) -> [[UInt8]] {
        if node == Self.root { return [[]] }
        return (places[node] ?? []).compactMap(path)
    }

    /// The path of a name; nil where its directory has been removed.
    func path(_ place: NamePlace) -> [UInt8]? {
        var parts = [place.name]
        var at = place.parent
        while at != Self.root {
            // A directory has one name.
            guard parts.count < Self.depthLimit, let up = places[at]?.first else { return nil }
            parts.append(up.name)
            at = up.parent
        }
        return Array(parts.reversed().joined(separator: [UInt8(ascii: "/")]))
    }
}
