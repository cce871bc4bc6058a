// A tree that is put into a mounted store: by whom, where, and in turns with others.

package import InodeStore
internal import Synchronization
package import SystemPackage

/// What whoever puts a tree in may set of it, and wants to.
package struct TreeRights: Codable, Sendable, Equatable {
    /// Whose everything is to be; nil: as the source says.
    package var userID: UInt32?
    package var groupID: UInt32?
    /// Permission bits that are taken away.
    package var umask: UInt32 = 0
    /// Whether there may be device nodes, and extended attributes of all namespaces.
    package var isPrivileged = true

    package init() {}

    var owner: Caller {
        Caller(userID: userID ?? 0, groupID: groupID ?? 0)
    }
}

/// How a tree is put into a store that is mounted.
package struct LiveTree: Sendable {
    /// A directory of `makeStaging`, or one that lies in it.
    package var root: NodeID
    /// The worker, for this builder and others in turns.
    package var turn: TreeTurn
    /// `StoreWorker.rollbacks` when the root was made.
    package var rollbacks: UInt64
    /// What the caller may set.
    package var rights: TreeRights

    package init(root: NodeID, turn: TreeTurn, rollbacks: UInt64, rights: TreeRights) {
        self.root = root
        self.turn = turn
        self.rollbacks = rollbacks
        self.rights = rights
    }
}

/// A worker that several threads use, one at a time.
package final class TreeTurn: Sendable {
    package let worker: StoreWorker
    private let lock = Mutex(())

    package init(_ worker: StoreWorker) { self.worker = worker }

    /// Calls `body` with the worker entered.
    package func entered<Result: Sendable>(
        _ body: (StoreWorker) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try lock.withLock { _ throws(Errno) in
            worker.enter()
            defer { worker.leave() }
            return try body(worker)
        }
    }
}
