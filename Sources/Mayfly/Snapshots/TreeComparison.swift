// TreeComparison: what has changed in a mount since a snapshot. The mount is held up for another snapshot
// alone; the two are compared beside it.

internal import InodeStore
public import MayflyImages
internal import SystemPackage

/// Two moments of a mount that are to be compared, alive as long as this.
final class TreeComparison: Sendable {
    private let then: StoreSnapshot
    private let now: StoreSnapshot
    private let old: InodeStore
    private let new: InodeStore

    /// - Throws: `.system` when there is no memory.
    init(_ then: StoreSnapshot, _ now: StoreSnapshot) throws(MountError) {
        self.then = then
        self.now = now
        func store(_ snapshot: StoreSnapshot) throws(Errno) -> InodeStore {
            try InodeStore(snapshot: snapshot, pageLimit: 1, inodeLimit: 1, workerCount: 1)
        }
        do throws(Errno) {
            let old = try store(then)
            do throws(Errno) { new = try store(now) } catch {
                old.unmap()
                throw error
            }
            self.old = old
        } catch {
            throw MountedFileSystem.shortage("a comparison", then.privateBytes + now.privateBytes)
        }
    }

    deinit {
        old.unmap()
        new.unmap()
    }

    /// Calls `report` for each path that was added, removed or changed, until it returns false.
    ///
    /// - Complexity: O(pages that have changed, and the paths that are told).
    func run(_ report: (TreeDifference) -> Bool) {
        guard then.base === now.base else { return TreeDiff.compare(old, new, report: report) }
        TreeDiff.compare(
            old, new, changed: InodeStore.changedInodes(then, old, now, new), report: report)
    }
}

extension MountedFileSystem {
    /// What is different now from what a snapshot was of.
    ///
    /// - Parameter name: nil for the newest.
    /// - Complexity: O(changes), and their paths. Requests wait as for a snapshot, not for the
    ///   comparison.
    public func differences(since name: String? = nil) throws(MountError) -> [TreeDifference] {
        var found: [TreeDifference] = []
        try comparison(since: name).run {
            found.append($0)
            return true
        }
        return found
    }

    /// Takes a snapshot of this moment and gives it up after the comparison.
    ///
    /// - Throws: `.usage` for a name that there is not; `.system` when there is no memory.
    func comparison(since name: String?) throws(MountError) -> TreeComparison {
        let (then, now) = try snapshotPair(name)
        return try TreeComparison(then, now)
    }
}
