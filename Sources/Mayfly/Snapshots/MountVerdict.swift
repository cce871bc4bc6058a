// MountVerdict: what becomes of the mounts in a tree when names change.

internal import InodeStore

/// What a rollback does to the mounts in a tree.
struct MountVerdict: Sendable {
    /// Mountpoints that go with a folder or file that is removed, or cannot be moved.
    private(set) var lost: [String] = []
    /// Folders that carry a mount, or lie above one, and get another name or place: nodeids.
    private(set) var moved: Set<UInt64> = []
    private var waiting: Set<Link> = []

    private struct Link: Hashable {
        let parent: UInt64
        let inode: InodeIdentity
    }

    /// One name on the way to a mountpoint.
    private struct Step {
        let mount: Int
        /// How many names lie above it.
        let depth: Int
        let link: Link
        let node: NodeID
        /// nil for a folder, which has one name.
        let name: [UInt8]?
    }

    init() {}

    /// - Parameters:
    ///   - canMove: whether the kernel can be had to move folders that get another name.
    ///   - worker: of the store as it is before the change, frozen.
    /// - Complexity: O(changes), and a step for each name on the way to a mountpoint.
    init(_ mounts: [MountInside], _ changes: [ChangedName], canMove: Bool, _ worker: StoreWorker) {
        if mounts.isEmpty { return }
        var steps: [Link: [Step]] = [:]
        for step in mounts.enumerated().flatMap({ Self.steps(of: $1, $0, worker) }) {
            steps[step.link, default: []].append(step)
        }
        // Of each mount the lowest name that changes decides: it goes where that one goes.
        var lowest: [Int: (step: Step, change: ChangedName)] = [:]
        var taken: Set<InodeIdentity> = []
        for change in changes {
            guard let now = change.now else { continue }
            for step in steps[Link(parent: change.parent, inode: now)] ?? [] {
                if let name = step.name, name != change.name { continue }
                waiting.insert(step.link)
                if let then = change.then { taken.insert(then) }
                if lowest[step.mount].map({ $0.step.depth < step.depth }) ?? true {
                    lowest[step.mount] = (step, change)
                }
            }
        }
        for (mount, found) in lowest {
            // The names that wait are in the way of what takes their places, and of what is below it.
            if canMove, found.step.name == nil, let above = found.change.foldersThen,
                !taken.contains(found.step.link.inode), taken.isDisjoint(with: above)
            {
                moved.insert(found.step.node.rawValue)
            } else {
                lost.append(mounts[mount].description)
            }
        }
        lost = Set(lost).sorted()
    }

    /// Whether a name must stay until the kernel has met what is moved from there, or below it.
    func mustWait(_ change: ChangedName) -> Bool {
        guard let now = change.now else { return false }
        return waiting.contains(Link(parent: change.parent, inode: now))
    }

    /// The nodeids of the mountpoints and of the folders above them.
    static func carriers(_ mounts: [MountInside], _ worker: StoreWorker) -> Set<UInt64> {
        Set(mounts.flatMap { steps(of: $0, 0, worker) }.map { $0.node.rawValue })
    }

    /// Every folder on the way to a mountpoint, and the mountpoint; none where that is not in the tree
    /// any more.
    private static func steps(
        of mount: MountInside, _ index: Int, _ worker: StoreWorker
    ) -> [Step] {
        guard let start = worker.current(mount.start) else { return [] }
        var links: [(parent: NodeID, node: NodeID, name: [UInt8]?)] = []
        var below = start
        while let parent = worker.parent(of: below), parent != below {
            links.insert((parent, below, nil), at: 0)
            below = parent
        }
        var node = start
        for name in mount.names {
            guard let child = worker.target(node, name) else { return [] }
            let isFolder = worker.durableState(child)?.isDirectory == true
            links.append((node, child, isFolder ? nil : name))
            node = child
        }
        return links.enumerated().compactMap { depth, link in
            worker.identity(of: link.node).map { inode in
                Step(
                    mount: index, depth: depth,
                    link: Link(parent: link.parent.rawValue, inode: inode), node: link.node,
                    name: link.name)
            }
        }
    }
}
