// TreePair: what one inode of each of two trees have differently.

internal import CMayflyMemory
internal import InodeStore
internal import SystemPackage

struct TreePair {
    let old: StoreWorker
    let new: StoreWorker
    /// Whether both are states of one tree.
    let isSameTree: Bool
    private var bufferOld = [UInt8](repeating: 0, count: 1 << 20)
    private var bufferNew = [UInt8](repeating: 0, count: 1 << 20)

    init(old: StoreWorker, new: StoreWorker, isSameTree: Bool) {
        self.old = old
        self.new = new
        self.isSameTree = isSameTree
    }

    func isSameInode(_ a: Attributes, _ b: Attributes) -> Bool {
        isSameTree && a.nodeID == b.nodeID && a.generation == b.generation
    }

    /// Of two states of one tree, files whose inode and times are the same are taken for the same.
    mutating func aspects(_ a: Attributes, _ b: Attributes) -> [TreeDifference.Aspect] {
        let type = a.mode & FileMode.typeMask
        if type != b.mode & FileMode.typeMask { return [.type] }
        if isSameInode(a, b), same(a.changeTime, b.changeTime),
            same(a.modificationTime, b.modificationTime)
        {
            return []
        }
        var found: [TreeDifference.Aspect] = []
        if type == FileMode.regular {
            if a.size != b.size {
                found.append(.size)
            } else if !hasSameContent(a, b) {
                found.append(.content)
            }
        }
        if a.mode != b.mode { found.append(.mode) }
        if a.userID != b.userID || a.groupID != b.groupID { found.append(.owner) }
        // A directory's time tells of its names, which are told of themselves.
        if !a.isDirectory, !same(a.modificationTime, b.modificationTime) { found.append(.time) }
        if !hasSameXattrs(a, b) { found.append(.attributes) }
        if type == FileMode.symlink, target(a, old) != target(b, new) { found.append(.target) }
        if a.device != b.device { found.append(.device) }
        if a.flags & InodeFlags.settable != b.flags & InodeFlags.settable { found.append(.flags) }
        return found
    }

    private func same(_ a: cmem_time, _ b: cmem_time) -> Bool {
        a.seconds == b.seconds && a.nanoseconds == b.nanoseconds
    }

    private func target(_ a: Attributes, _ worker: StoreWorker) -> [UInt8]? {
        unsafe (try? worker.readLink(a.node)).map { unsafe [UInt8]($0) }
    }

    private func hasSameXattrs(_ a: Attributes, _ b: Attributes) -> Bool {
        guard let x = try? old.allXattrs(a.node), let y = try? new.allXattrs(b.node) else {
            return false
        }
        return x.count == y.count
            && zip(x, y).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }

    private mutating func hasSameContent(_ a: Attributes, _ b: Attributes) -> Bool {
        guard let x = try? old.dataExtents(a.node, size: a.size),
            let y = try? new.dataExtents(b.node, size: a.size)
        else { return false }
        // Where both have holes there is nothing to compare.
        for extent in x + y
        where !hasSameBytes(a, b, extent.offset, extent.offset + extent.bytes) {
            return false
        }
        return true
    }

    private mutating func hasSameBytes(
        _ a: Attributes, _ b: Attributes, _ start: UInt64, _ end: UInt64
    ) -> Bool {
        var at = start
        while at < end {
            guard let x = try? old.read(a.node, offset: at, into: &bufferOld, atMost: end - at),
                let y = try? new.read(b.node, offset: at, into: &bufferNew, atMost: end - at)
            else { return false }
            let count = min(x, y)
            guard count > 0 else { return x == y }
            let isSame = unsafe bufferOld.withUnsafeBytes { x in
                unsafe bufferNew.withUnsafeBytes { y in
                    unsafe cmem_compare(x.baseAddress!, y.baseAddress!, count) == 0
                }
            }
            guard isSame else { return false }
            at += UInt64(count)
        }
        return true
    }
}

extension Attributes {
    fileprivate var node: NodeID { NodeID(rawValue: nodeID) }
}
