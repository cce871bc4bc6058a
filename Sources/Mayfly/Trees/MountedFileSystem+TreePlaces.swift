// Paths of a mount, found in its store without a request, for those who work on whole trees.

internal import InodeStore
internal import MayflyHost
internal import MayflyImages
internal import SystemPackage

extension MountedFileSystem {
    var slash: UInt8 { UInt8(ascii: "/") }

    /// The inode of a path from the root on, which is held by nobody.
    func node(_ path: PathBytes, _ worker: StoreWorker) -> NodeID? {
        path.names.reduce(NodeID.root as NodeID?) { node, name in
            if Array(name) == [0x2E] { return node }
            return node.flatMap { worker.target($0, Array(name)) }
        }
    }

    func found(_ path: PathBytes) throws(MountError) -> (NodeID, isDirectory: Bool) {
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
    func place(for path: PathBytes) throws(MountError) -> TreePlace {
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

    func rollbacks() throws(MountError) -> UInt64 {
        try entered {
            $0.rollbacks
        } failing: {
            MountError(.mount, "\($0)")
        }
    }

    func entered<Result: Sendable>(
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
}
