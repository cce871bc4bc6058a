// ModelNameCache: the names that the kernel of a history has cached, as it caches them without end.

/// What names led to when they were last asked for.
struct ModelNameCache {
    struct Place: Hashable {
        /// The directory's nodeid.
        let parent: UInt64
        let name: String

        init(_ parent: ModelInode, _ name: String) {
            self.parent = parent.node
            self.name = name
        }

        init(parent: UInt64, name: [UInt8]) {
            self.parent = parent
            self.name = String(decoding: name, as: UTF8.self)
        }
    }

    /// Nodeids; 0 for a name that is known not to be there.
    private(set) var nodes: [Place: UInt64] = [:]

    mutating func note(_ place: Place, _ node: UInt64) {
        if place.name != ".", place.name != ".." { nodes[place] = node }
    }

    mutating func drop(_ place: Place) { nodes[place] = nil }

    mutating func rename(_ old: Place, _ new: Place, isExchange: Bool) {
        let moving = nodes[old]
        nodes[old] = isExchange ? nodes[new] : nil
        nodes[new] = moving
    }

    /// The kernel has dropped an inode, with every name of it and in it.
    mutating func forget(_ node: UInt64) {
        nodes = nodes.filter { $0.key.parent != node && $0.value != node }
    }
}
