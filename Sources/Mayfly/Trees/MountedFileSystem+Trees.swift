// Whole trees in a mount, without a request for each name: put in at one moment, copied within it, and
// taken out at one moment (Docs/Trees.md). All of it on threads that answer no request.

internal import CMayflyMemory
internal import FuseTransport
internal import Glibc
internal import InodeStore
public import MayflyHost
internal import MayflyImages
internal import MayflyServing
internal import SystemPackage

extension MountedFileSystem {
    /// Puts all that is in an archive into the mount: whole, at one moment, or not at all.
    ///
    /// Owners, modes, links, holes, extended attributes and access lists are the archive's. Directories
    /// that are there already stay, with the archive's attributes; files of the same name are replaced.
    ///
    /// - Parameters:
    ///   - archive: a file in a form that libarchive knows.
    ///   - path: a directory in the mount, from its root on; it is made where its parent is there.
    ///   - options: what is left out, and what stays.
    /// - Throws: `.usage` with what cannot be read, or put in, and why: nothing has changed then.
    /// - Complexity: O(bytes and names of the archive). Requests wait while names change hands: O(names
    ///   that are in both).
    @discardableResult
    public func unpack(
        _ archive: PathBytes, to path: PathBytes = "", options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try unpack(archive, to: path, TreeRights(), options)
    }

    /// Puts a copy of a folder into the mount, as `unpack` does with an archive.
    ///
    /// - Parameters:
    ///   - folder: read by this process.
    ///   - path: what the copy is to be called, from the mount's root on.
    ///   - options: what is left out, and what stays.
    /// - Throws: as `unpack`.
    /// - Complexity: as `unpack`.
    @discardableResult
    public func copyIn(
        _ folder: PathBytes, to path: PathBytes, options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try copyIn(folder, to: path, TreeRights(), options)
    }

    /// Copies a file or a directory within the mount, at one moment.
    ///
    /// - Parameters:
    ///   - source: from the mount's root on.
    ///   - path: what the copy is to be called, from the mount's root on.
    ///   - options: what is left out, and what stays.
    /// - Throws: as `unpack`; `.usage` for a copy of a directory into itself.
    /// - Complexity: O(names and bytes).
    @discardableResult
    public func copy(
        _ source: PathBytes, to path: PathBytes, options: TreeOptions = TreeOptions()
    ) throws(MountError) -> TreeSummary {
        try copy(source, to: path, TreeCaller(userID: 0, groupIDs: []), TreeRights(), options)
    }

    /// Removes what a path names, with all that lies in it: it is gone at one moment.
    ///
    /// Memory comes back afterwards, on a thread of its own. Open files go on, as after unlink(2).
    ///
    /// - Parameter path: from the mount's root on.
    /// - Throws: `.usage` where there is no such name, where chattr(1) forbids it, and where something
    ///   is mounted in it: nothing has changed then.
    /// - Complexity: O(directories) until the name is gone, without a copy.
    @discardableResult
    public func remove(_ path: PathBytes) throws(MountError) -> RemoveSummary {
        try remove(path, TreeCaller(userID: 0, groupIDs: []))
    }
}

// MARK: putting in

extension MountedFileSystem {
    private func put(
        _ source: TreeSource, at place: TreePlace, _ rights: TreeRights, _ options: TreeOptions,
        _ filter: TreeFilter
    ) throws(MountError) -> TreeSummary {
        let reader: TreeReader
        do throws(TreeError) { reader = try TreeReader(source) } catch {
            throw MountError.tree(error)
        }
        return try put(reader, at: place, rights, keepsOld: options.keepsOld, filter)
    }

    func unpack(
        _ archive: PathBytes, to path: PathBytes, _ rights: TreeRights, _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        try put(
            .archive(archive.bytes), at: try place(for: path), rights, options,
            options.filter(isDirectory: false))
    }

    func copyIn(
        _ folder: PathBytes, to path: PathBytes, _ rights: TreeRights, _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        try put(
            .directory(folder.bytes, oneFileSystem: options.oneFileSystem),
            at: try place(for: path), rights, options, options.filter(isDirectory: true))
    }

    func put(
        _ source: some EntrySource, at place: TreePlace, _ rights: TreeRights, keepsOld: Bool,
        _ filter: TreeFilter = TreeFilter()
    ) throws(MountError) -> TreeSummary {
        if configuration.readOnly { throw Self.readOnly }
        guard treeWork.begin() else {
            throw MountError(.mount, code: .notMounted, "the mount is unmounted")
        }
        defer { treeWork.end() }
        let begin = cmem_monotonic_nanoseconds()
        let staging = try stage(for: place)
        defer { takeApart([staging.tree, staging.spare], staging.rollbacks) }
        var builder = TreeBuilder(
            LiveTree(
                root: staging.root, turn: treeTurn, rollbacks: staging.rollbacks, rights: rights))
        do throws(TreeError) {
            let ending = EndingSource(source: source, work: treeWork, filter: filter)
            let path = (place.directory.bytes + [slash] + (place.name?.bytes ?? []))
            try builder.build(
                from: FaultedSource(source: ending, hooks: hooks, directory: path))
        } catch {
            throw MountError.tree(error)
        }
        try attach(
            staging, at: place,
            ownAttributes: place.name == nil && builder.hasRootEntry, keepsOld: keepsOld)
        return TreeSummary(
            entries: builder.entryCount, contentBytes: builder.contentBytes,
            warnings: builder.warnings, nanoseconds: cmem_monotonic_nanoseconds() - begin)
    }

    func copy(
        _ source: PathBytes, to path: PathBytes, _ caller: TreeCaller, _ rights: TreeRights,
        _ options: TreeOptions
    ) throws(MountError) -> TreeSummary {
        if path.names.starts(with: source.names) {
            throw MountError(
                .usage, "\(source) cannot be copied into itself: name another directory")
        }
        try checkAllHere(for: "a copy of a tree")
        if let session = whileMounted({ $0.session }) { writeBack(session) }
        var place = try place(for: path)
        let filter = options.filter(isDirectory: true)
        let (node, isDirectory) = try found(source)
        let reader = StoreTreeSource(
            node, turn: treeTurn, rollbacks: try rollbacks(), caller: caller,
            name: isDirectory ? [] : place.name?.bytes ?? Array(source.names.last ?? [])
        ) { !filter.isExcluded($0) }
        if !isDirectory { place.name = nil }
        return try put(reader, at: place, rights, keepsOld: options.keepsOld)
    }

    /// Sends what a path names to whoever puts it into another mount.
    ///
    /// - Parameters:
    ///   - name: what a source that is no directory is called there.
    ///   - line: on which it was asked for.
    /// - Throws: `.usage` for what cannot be read: the end of the line without an end of the tree.
    func send(
        _ source: PathBytes, named name: PathBytes, _ caller: TreeCaller, _ options: TreeOptions,
        on line: TreeLine
    ) throws(MountError) {
        guard treeWork.begin() else { throw MountError(.mount, "the mount is unmounted") }
        defer { treeWork.end() }
        try checkAllHere(for: "a copy of a tree")
        if let session = whileMounted({ $0.session }) { writeBack(session) }
        let filter = options.filter(isDirectory: true)
        let (node, isDirectory) = try found(source)
        let reader = StoreTreeSource(
            node, turn: treeTurn, rollbacks: try rollbacks(), caller: caller,
            name: isDirectory ? [] : name.bytes, readsContent: true
        ) { !filter.isExcluded($0) }
        var sender = TreeSender(line)
        do throws(TreeError) {
            try sender.sendAll(
                EndingSource(source: reader, work: treeWork, filter: TreeFilter()))
        } catch { throw MountError.tree(error) }
    }

    private var slash: UInt8 { UInt8(ascii: "/") }

    static let readOnly = MountError(
        .usage, code: .readOnly,
        "the mount is read-only: `mount -o remount,rw` changes that, if it was not made so")

    // MARK: places

    /// The inode of a path from the root on, which is held by nobody.
    private func node(_ path: PathBytes, _ worker: StoreWorker) -> NodeID? {
        path.names.reduce(NodeID.root as NodeID?) { node, name in
            if Array(name) == [0x2E] { return node }
            return node.flatMap { worker.target($0, Array(name)) }
        }
    }

    private func found(_ path: PathBytes) throws(MountError) -> (NodeID, isDirectory: Bool) {
        let found = try entered { worker throws(Errno) in
            guard let node = node(path, worker), let state = worker.durableState(node) else {
                throw Errno.noSuchFileOrDirectory
            }
            return (node, state.isDirectory)
        } failing: {
            MountError(
                .usage, code: .noSuchPath,
                "there is no \(path) in the mount (\($0)): name what is there")
        }
        return (found.0, isDirectory: found.1)
    }

    /// Where a tree of this path goes: into the directory that there is, or under a name that is free.
    private func place(for path: PathBytes) throws(MountError) -> TreePlace {
        let names = path.names.map(Array.init)
        let isThere = try entered { worker throws(Errno) in
            node(path, worker).flatMap { worker.durableState($0) }?.isDirectory == true
        } failing: {
            MountError(.mount, "the mount cannot be looked at (\($0))")
        }
        if isThere || names.isEmpty { return TreePlace(directory: path, name: nil) }
        let parent = PathBytes(bytes: Array(names.dropLast().joined(separator: [slash])))
        return TreePlace(directory: parent, name: PathBytes(bytes: names[names.count - 1]))
    }

    private func rollbacks() throws(MountError) -> UInt64 {
        try entered {
            $0.rollbacks
        } failing: {
            MountError(.mount, "\($0)")
        }
    }

    private func entered<Result: Sendable>(
        _ body: (StoreWorker) throws(Errno) -> Result, failing error: (Errno) -> MountError
    ) throws(MountError) -> Result {
        guard treeWork.begin() else {
            throw MountError(.mount, code: .notMounted, "the mount is unmounted")
        }
        defer { treeWork.end() }
        do throws(Errno) {
            return try treeTurn.entered { worker throws(Errno) in try body(worker) }
        } catch let failure { throw error(failure) }
    }

    // MARK: staging

    /// Where a tree grows.
    private struct Staging: Sendable {
        /// Where it will lie in.
        let target: NodeID
        let tree: NodeID
        /// For what it replaces.
        let spare: NodeID
        /// Where its own root is.
        let root: NodeID
        let rollbacks: UInt64
    }

    private func stage(for place: TreePlace) throws(MountError) -> Staging {
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

    private func attach(
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
    private func takeApart(_ nodes: [NodeID], _ rollbacks: UInt64) {
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

    // MARK: removing

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
