// TreeDiff: what two trees have differently.

internal import CMemory
package import InodeStore
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
    /// From the root, without a slash in front; "." is the root. Bytes that are no UTF-8 are repaired.
    public var path: String
    /// What differs, for a path that is in both; empty otherwise.
    public var aspects: [Aspect]
}

/// A comparison of two stores that nobody else uses.
package struct TreeDiff {
    private let old: StoreWorker
    private let new: StoreWorker
    private let report: (TreeDifference) -> Void
    private var bufferOld = [UInt8](repeating: 0, count: 1 << 20)
    private var bufferNew = [UInt8](repeating: 0, count: 1 << 20)

    /// Compares two trees; reports in the order of paths within each directory.
    ///
    /// - Complexity: O(entries), and content of files that have the same size. Of two states of one
    ///   tree, files whose inode and times are the same are taken for the same.
    package static func compare(
        _ old: InodeStore, _ new: InodeStore, isSameTree: Bool = false,
        report: (TreeDifference) -> Void
    ) {
        withoutActuallyEscaping(report) { report in
            var diff = TreeDiff(old: old.worker(0), new: new.worker(0), report: report)
            diff.old.enter()
            diff.new.enter()
            defer {
                diff.old.leave()
                diff.new.leave()
            }
            guard let oldRoot = try? diff.old.attributes(.root),
                let newRoot = try? diff.new.attributes(.root)
            else { return }
            diff.compare(
                TreeEntry(path: [], node: .root, attributes: oldRoot),
                TreeEntry(path: [], node: .root, attributes: newRoot), isSameTree)
        }
    }

    private init(
        old: StoreWorker, new: StoreWorker, report: @escaping (TreeDifference) -> Void
    ) {
        self.old = old
        self.new = new
        self.report = report
    }

    /// What is still to be looked at: a path of both trees, or one that only one of them has.
    private enum Step {
        case both(TreeEntry, TreeEntry)
        case one(TreeDifference.Kind, TreeEntry)
    }

    /// No recursion: a tree may be deeper than a stack.
    private mutating func compare(_ a: TreeEntry, _ b: TreeEntry, _ isSameTree: Bool) {
        var waiting = [Step.both(a, b)]
        while let step = waiting.popLast() {
            switch step {
            case .both(let a, let b):
                let aspects = aspects(a, b, isSameTree)
                if !aspects.isEmpty { tell(.changed, a, aspects) }
                waiting.append(contentsOf: below(a, b).reversed())
            case .one(let kind, let entry):
                tell(kind, entry, [])
                waiting.append(contentsOf: all(kind, entry).reversed())
            }
        }
    }

    private func below(_ a: TreeEntry, _ b: TreeEntry) -> [Step] {
        guard a.type == FileMode.directory, b.type == FileMode.directory else {
            return all(.removed, a) + all(.added, b)
        }
        let left = old.children(of: a).sorted { $0.path.lexicographicallyPrecedes($1.path) }
        let right = new.children(of: b).sorted { $0.path.lexicographicallyPrecedes($1.path) }
        var steps: [Step] = []
        var i = 0
        var j = 0
        while i < left.count || j < right.count {
            if j == right.count || i < left.count && precedes(left[i], right[j]) {
                steps.append(.one(.removed, left[i]))
                i += 1
            } else if i == left.count || precedes(right[j], left[i]) {
                steps.append(.one(.added, right[j]))
                j += 1
            } else {
                steps.append(.both(left[i], right[j]))
                i += 1
                j += 1
            }
        }
        return steps
    }

    /// What is in a directory that is in one tree only.
    private func all(_ kind: TreeDifference.Kind, _ entry: TreeEntry) -> [Step] {
        guard entry.type == FileMode.directory else { return [] }
        let worker = kind == .removed ? old : new
        return worker.children(of: entry).map { .one(kind, $0) }
    }

    private func precedes(_ a: TreeEntry, _ b: TreeEntry) -> Bool {
        a.path.lexicographicallyPrecedes(b.path)
    }

    private func tell(
        _ kind: TreeDifference.Kind, _ entry: TreeEntry, _ aspects: [TreeDifference.Aspect]
    ) {
        report(
            TreeDifference(
                kind: kind, path: entry.path.isEmpty ? "." : entry.text, aspects: aspects))
    }

    // MARK: one path

    private mutating func aspects(
        _ a: TreeEntry, _ b: TreeEntry, _ isSameTree: Bool
    ) -> [TreeDifference.Aspect] {
        let (x, y) = (a.attributes, b.attributes)
        if a.type != b.type { return [.type] }
        if isSameTree, x.nodeID == y.nodeID, x.generation == y.generation,
            same(x.changeTime, y.changeTime), same(x.modificationTime, y.modificationTime)
        {
            return []
        }
        var found: [TreeDifference.Aspect] = []
        if a.type == FileMode.regular {
            if x.size != y.size {
                found.append(.size)
            } else if !sameContent(a, b) {
                found.append(.content)
            }
        }
        if x.mode != y.mode { found.append(.mode) }
        if x.userID != y.userID || x.groupID != y.groupID { found.append(.owner) }
        // A directory's time tells of its names, which are told of themselves.
        if a.type != FileMode.directory, !same(x.modificationTime, y.modificationTime) {
            found.append(.time)
        }
        if !sameXattrs(a, b) { found.append(.attributes) }
        if a.type == FileMode.symlink, target(a, old) != target(b, new) { found.append(.target) }
        if x.device != y.device { found.append(.device) }
        if x.flags & InodeFlags.settable != y.flags & InodeFlags.settable { found.append(.flags) }
        return found
    }

    private func same(_ a: cmem_time, _ b: cmem_time) -> Bool {
        a.seconds == b.seconds && a.nanoseconds == b.nanoseconds
    }

    private func target(_ entry: TreeEntry, _ worker: StoreWorker) -> [UInt8]? {
        unsafe (try? worker.readLink(entry.node)).map { unsafe [UInt8]($0) }
    }

    private func sameXattrs(_ a: TreeEntry, _ b: TreeEntry) -> Bool {
        guard let x = try? old.allXattrs(a.node), let y = try? new.allXattrs(b.node) else {
            return false
        }
        return x.count == y.count && zip(x, y).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }

    private mutating func sameContent(_ a: TreeEntry, _ b: TreeEntry) -> Bool {
        let size = a.attributes.size
        guard let x = try? old.dataExtents(a.node, size: size),
            let y = try? new.dataExtents(b.node, size: size)
        else { return false }
        // Where both have holes there is nothing to compare.
        for extent in x + y where !sameBytes(a, b, extent.offset, extent.offset + extent.bytes) {
            return false
        }
        return true
    }

    private mutating func sameBytes(
        _ a: TreeEntry, _ b: TreeEntry, _ start: UInt64, _ end: UInt64
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
