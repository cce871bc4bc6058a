// Where a tree grows before it is put in at one moment, and where it is taken apart (Docs/Trees.md).

internal import FuseTransport
internal import InodeStore
internal import MayflyHost
internal import MayflyImages
internal import MayflyServing
internal import SystemPackage

extension MountedFileSystem {
    /// Where a tree grows.
    struct Staging: Sendable {
        /// Where it will lie in.
        let target: NodeID
        let tree: NodeID
        /// For what it replaces.
        let spare: NodeID
        /// Where its own root is.
        let root: NodeID
        let rollbacks: UInt64
    }

    func stage(for place: TreePlace) throws(MountError) -> Staging {
        try entered { worker throws(Errno) in
            guard let target = node(place.directory, worker) else {
                throw Errno.noSuchFileOrDirectory
            }
            let tree = try worker.makeStaging(like: target)
            let spare: NodeID
            var root = tree
            do throws(Errno) { spare = try worker.makeStaging(like: target) } catch {
                worker.endStaging(tree)
                throw error
            }
            if let name = place.name {
                do throws(Errno) {
                    root = try worker.makeDirectory(in: tree, name.bytes)
                } catch {
                    worker.endStaging(tree)
                    worker.endStaging(spare)
                    throw error
                }
            }
            return Staging(
                target: target, tree: tree, spare: spare, root: root, rollbacks: worker.rollbacks)
        } failing: { error in
            switch error {
            case .noSuchFileOrDirectory, .notDirectory, .staleNFSFileHandle:
                MountError(
                    .usage, code: .noSuchPath,
                    "there is no directory /\(place.directory) in the mount: make it with mkdir(1)")
            default:
                MountError(
                    .usage, "nothing can be put into the mount (\(error)): \(Self.advice(error))")
            }
        }
    }

    private static func advice(_ error: Errno) -> String {
        switch error {
        case .noSpace: "give it more with `mayfly resize`, or remove something"
        case .isDirectory, .notDirectory:
            "a directory is in the way of a file, or a file in that of a directory; remove it first"
        case .notPermitted: "chattr(1) forbids it"
        case .canceled: "the mount was rolled back meanwhile; do it again"
        case .noSuchFileOrDirectory, .staleNFSFileHandle: "its directory was removed meanwhile"
        default: "nothing was changed"
        }
    }

    func attach(
        _ staging: Staging, at place: TreePlace, ownAttributes: Bool, keepsOld: Bool
    ) throws(MountError) {
        let outcome: (effect: StagingEffect?, failure: Errno?, session: FuseSession) =
            try whileHooked { parts throws(MountError) in
                func link(
                    around: ([(parent: NodeID, name: [UInt8])], StoreWorker, () -> Bool) -> Void
                ) -> (StagingEffect?, Errno?, FuseSession) {
                    do throws(Errno) {
                        let effect = try parts.store.attach(
                            staging.tree, to: staging.target, spare: staging.spare,
                            ownAttributes: ownAttributes, keepsOld: keepsOld,
                            since: staging.rollbacks, around: around)
                        return (effect, nil, parts.session)
                    } catch { return (nil, error, parts.session) }
                }
                guard let log = hooks.durability else { return link { _, _, body in _ = body() } }
                return log.whileHeld { state in
                    link { names, worker, body in
                        state.aroundNames(
                            .mkdir,
                            names.map { NamePlace(parent: $0.parent.rawValue, name: $0.name) },
                            worker, body)
                    }
                }
            }
        guard let effect = outcome.effect else {
            let error = outcome.failure ?? .ioError
            throw MountError(
                .usage,
                "the tree cannot be put into /\(place.directory) (\(error)): \(Self.advice(error))")
        }
        tell(effect, outcome.session)
    }

    private func tell(_ effect: StagingEffect, _ session: FuseSession) {
        for (parent, name) in effect.names {
            try? session.notifyInvalidEntry(parent: parent, name: name)
        }
        session.forget(effect.nodes.sorted())
    }

    // MARK: taking apart

    /// Frees trees that nobody can meet any more.
    func takeApart(_ nodes: [NodeID], _ rollbacks: UInt64) {
        let session = whileMounted { $0.session }
        for node in nodes {
            var path = [node]
            var isEmpty = false
            while !isEmpty, !treeWork.isOver {
                var told: [RemovedName] = []
                do throws(Errno) {
                    (isEmpty, path, told) = try treeTurn.entered {
                        worker throws(Errno) -> (Bool, [NodeID], [RemovedName]) in
                        // A rollback has taken it.
                        guard worker.rollbacks == rollbacks else { throw Errno.canceled }
                        var (path, told) = (path, [RemovedName]())
                        let isEmpty = worker.takeApart(&path, atMost: 256, &told)
                        if isEmpty { worker.endStaging(node) }
                        return (isEmpty, path, told)
                    }
                } catch {
                    _ = try? treeTurn.entered { worker throws(Errno) in
                        // What is another's by now has another nodeid.
                        for held in path.dropFirst() { worker.forget(held, count: 1) }
                    }
                    return
                }
                for gone in told {
                    try? session?.notifyInvalidEntry(parent: gone.parent, name: gone.name)
                }
                session?.forget([], attributes: told.map(\.node))
            }
        }
        _ = whileMounted { $0.maintenance.bell.ring() }
    }
}
