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

    static let readOnly = MountError(
        .usage, code: .readOnly,
        "the mount is read-only: `mount -o remount,rw` changes that, if it was not made so")
}
