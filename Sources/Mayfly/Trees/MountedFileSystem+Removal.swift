// A whole tree is removed: its name at one moment, and its memory on a thread of its own.

internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import MayflyHost
internal import MayflyImages
internal import MayflyServing
internal import SystemPackage

extension MountedFileSystem {
    func remove(_ path: PathBytes, _ caller: TreeCaller) throws(MountError) -> RemoveSummary {
        if configuration.readOnly { throw Self.readOnly }
        let names = path.names.map(Array.init)
        guard let last = names.last, last != Array(".".utf8), last != Array("..".utf8) else {
            throw MountError(
                .usage, "the root of a mount cannot be removed: `mayfly umount` ends the mount")
        }
        guard treeWork.begin() else {
            throw MountError(.mount, code: .notMounted, "the mount is unmounted")
        }
        var handsOver = false
        defer { if !handsOver { treeWork.end() } }
        let begin = cmem_monotonic_nanoseconds()
        let (_, isDirectory) = try found(path)
        try checkNothingIsMounted(in: names)
        let effect = hooks.faultEffect(of: isDirectory ? .rmdir : .unlink, on: path.bytes)
        if effect.errno != 0 {
            throw MountError(
                .usage, "\(path) cannot be removed (\(Errno(rawValue: effect.errno))): a fault rule"
            )
        }
        if let log = hooks.durability {
            try removeOneByOne(path, log, caller)
        } else if let rest = try takeOut(path, caller) {
            handsOver = true
            let started = try? HostThread.start(name: "mayfly-remove") { [self] in
                takeApart([rest.staging], rest.rollbacks)
                treeWork.end()
            }
            if let started {
                started.detach()
            } else {
                takeApart([rest.staging], rest.rollbacks)
                treeWork.end()
            }
        }
        return RemoveSummary(names: 1, nanoseconds: cmem_monotonic_nanoseconds() - begin)
    }

    private func checkNothingIsMounted(in names: [[UInt8]]) throws(MountError) {
        let inside = connection.map(MountsInside.find(connection:)) ?? []
        let found = inside.first { $0.start == .root && $0.names.starts(with: names) }
        if let found {
            throw MountError(
                .busy, code: .mountInside,
                "\(found.description) carries a mount: unmount it there, and remove it then")
        }
    }

    /// The directory of a path and the last name, for a removal that is allowed.
    private func removable(
        _ path: PathBytes, _ caller: TreeCaller, _ worker: StoreWorker
    ) throws(Errno) -> (parent: NodeID, name: [UInt8], node: NodeID) {
        let names = path.names.map(Array.init)
        let above = PathBytes(bytes: Array(names.dropLast().joined(separator: [slash])))
        guard let parent = node(above, worker), let name = names.last,
            let node = worker.target(parent, name)
        else { throw .noSuchFileOrDirectory }
        try worker.checkRemoval(of: node, from: parent, by: caller)
        return (parent, name, node)
    }

    /// Moves a name to where nobody meets it, and removes what is no directory at once.
    private func takeOut(
        _ path: PathBytes, _ caller: TreeCaller
    ) throws(MountError) -> (staging: NodeID, rollbacks: UInt64)? {
        let outcome = try entered { worker throws(Errno) in
            let (parent, name, node) = try removable(path, caller, worker)
            let staging = try worker.makeStaging(like: parent)
            do throws(Errno) {
                try worker.move(parent, name, to: staging, as: name)
            } catch {
                worker.endStaging(staging)
                throw error
            }
            return (parent, name, node, staging, worker.rollbacks)
        } failing: {
            Self.cannotRemove(path, $0)
        }
        let (parent, name, node, staging, rollbacks) = outcome
        if let session = whileMounted({ $0.session }) {
            try? session.notifyInvalidEntry(parent: parent.rawValue, name: name)
            session.forget([parent.rawValue], attributes: [node.rawValue])
        }
        return (staging, rollbacks)
    }

    static func cannotRemove(_ path: PathBytes, _ error: Errno) -> MountError {
        let advice =
            switch error {
            case .notPermitted: "chattr(1) forbids it for something in it; nothing was removed"
            case .permissionDenied:
                "you may not write a directory in it; nothing was removed"
            case .noSpace: "give it more with `mayfly resize`"
            default: "look at its spelling"
            }
        return MountError(.usage, "\(path) cannot be removed (\(error)): \(advice)")
    }

    /// Where a log takes note of every name, so that a power loss can bring it back.
    private func removeOneByOne(
        _ path: PathBytes, _ log: DurabilityLog, _ caller: TreeCaller
    ) throws(MountError) {
        let start = try entered { worker throws(Errno) in
            try removable(path, caller, worker)
        } failing: {
            Self.cannotRemove(path, $0)
        }
        guard let session = whileMounted({ $0.session }) else { return }
        var path = [(parent: start.parent, name: start.name, node: start.node)]
        var told: [UInt64] = [start.parent.rawValue]
        defer {
            try? session.notifyInvalidEntry(parent: start.parent.rawValue, name: start.name)
            session.forget(told)
        }
        while let (parent, name, node) = path.last, !treeWork.isOver {
            let step: (next: [UInt8], NodeID)? = log.whileHeld { state in
                let inner = try? treeTurn.entered { worker throws(Errno) -> ([UInt8], NodeID)? in
                    if let handle = worker.peekDirectory(node),
                        let entry = worker.nextEntry(handle, from: 0)
                    {
                        return (
                            entry.nameBytes,
                            NodeID(rawValue: entry.nodeID)
                        )
                    }
                    let isDirectory = worker.durableState(node)?.isDirectory == true
                    state.aroundNames(
                        isDirectory ? .rmdir : .unlink,
                        [NamePlace(parent: parent.rawValue, name: name)], worker
                    ) { worker.removeName(parent, name, isDirectory: isDirectory) }
                    return nil
                }
                return inner.flatMap(\.self)
            }
            if let step {
                path.append((node, step.next, step.1))
            } else {
                told.append(node.rawValue)
                path.removeLast()
            }
        }
    }
}
