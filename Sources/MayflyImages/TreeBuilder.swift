// TreeBuilder: puts the entries of a source into a store, in the order in which they come.
//
// In a store of its own the same entries give the same bytes, whatever pieces their content comes in: it
// is written in blocks of 1 MiB, nothing of the clock is kept, and one worker does everything. In a
// store that is mounted the tree grows where nobody sees it, and content is written as it comes.

internal import CMayflyMemory
package import InodeStore
internal import MayflyHost
package import SystemPackage

/// Builds a tree in a store: one that nobody else uses, or a place in a mounted one that nobody knows.
package struct TreeBuilder {
    private let worker: StoreWorker
    private let live: LiveTree?
    private let root: NodeID
    /// Whether the source had an entry for the root.
    package private(set) var hasRootEntry = false
    /// Called before something is put in, with the bytes that it may take; nil when there is room.
    private let roomFor: (UInt64) -> Errno?
    private let place: BuildPlace
    /// The directory that the last entry lay in.
    private var lastPath: ArraySlice<UInt8> = []
    private var lastParent: NodeID
    /// What directories get at the end, when nothing is put into them any more.
    private var directories: [(node: NodeID, attributes: RestoredAttributes)] = []
    private var defaultLists: [(node: NodeID, value: [UInt8])] = []
    private var block = BlockWriter()
    /// What was wrong with the source, where that is why something could not be put in.
    private var sourceFailure: TreeError?

    /// What was built so far.
    package private(set) var entryCount: UInt64 = 0
    package private(set) var contentBytes: UInt64 = 0
    /// Things that a file system in memory cannot have, or the source could not tell.
    package private(set) var warnings: [String] = []

    /// - Parameter inMemory: for the advice of errors: whether the store is a mount's, or an image on
    ///   disk.
    package init(
        _ store: InodeStore, inMemory: Bool = false,
        roomFor: @escaping (UInt64) -> Errno? = { _ in nil }
    ) {
        worker = store.worker(0)
        live = nil
        root = .root
        lastParent = .root
        place = inMemory ? .memory : .disk
        self.roomFor = roomFor
    }

    /// Builds in a mounted store.
    package init(_ live: LiveTree) {
        worker = live.turn.worker
        self.live = live
        root = live.root
        lastParent = live.root
        place = .mount
        roomFor = { _ in nil }
    }

    private func makeRoom(_ bytes: UInt64) throws(Errno) {
        if let failure = roomFor(bytes) { throw failure }
    }

    /// What an archive does not say of a directory.
    private var unknown: RestoredAttributes {
        guard let live else {
            return RestoredAttributes(
                permissions: 0o755, userID: 0, groupID: 0,
                time: cmem_time(seconds: 0, nanoseconds: 0))
        }
        return RestoredAttributes(
            permissions: 0o777 & ~live.rights.umask, userID: live.rights.owner.userID,
            groupID: live.rights.owner.groupID, time: cmem_now())
    }

    /// Puts everything of a source into the store.
    ///
    /// - Parameter progress: called now and then.
    package mutating func build(
        from reader: some EntrySource, progress: (TreeBuilder) -> Void = { _ in }
    ) throws(TreeError) {
        directories.append((root, unknown))
        while let entry = try reader.next() {
            try add(entry, reader)
            entryCount += 1
            progress(self)
        }
        try finish()
    }

    /// - Throws: with the path of the entry that could not be put in.
    private mutating func add(
        _ entry: SourceEntry, _ reader: some EntrySource
    ) throws(TreeError) {
        let path = try Self.plain(entry.path)
        let link = try entry.hardLink.map { path throws(TreeError) in try Self.plain(path) }
        do throws(Errno) {
            try makeRoom(1 << 20)
            if path.isEmpty {
                hasRootEntry = true
                directories.append((root, try setXattrs(of: root, entry, reader)))
                return
            }
            let name = path[(path.lastIndex(of: 0x2F).map { $0 + 1 } ?? 0)...]
            let parent = try directory(path[..<max(0, name.startIndex - 1)])
            if let link {
                let node = try addLink(parent, name, to: link, of: path)
                // cpio has the content with the last name; where others have it, it is repeated.
                if let node, entry.size > 0 {
                    let before = try entered { worker throws(Errno) in
                        try worker.attributes(node)
                    }
                    guard before.mode & FileMode.typeMask == FileMode.regular, before.size == 0
                    else { return }
                    try addContent(node, entry, reader)
                    try entered { worker throws(Errno) in
                        try worker.restoreChangeTime(node, before)
                    }
                }
                return
            }
            let node = try make(parent, name, entry)
            if entry.mode & FileMode.typeMask == FileMode.regular {
                try addContent(node, entry, reader)
            }
            let attributes = try setXattrs(of: node, entry, reader)
            if entry.mode & FileMode.typeMask == FileMode.directory {
                directories.append((node, attributes))
            } else {
                try restore(node, attributes)
            }
        } catch {
            throw sourceFailure ?? TreeError.storing(path, error, place)
        }
    }

    // MARK: names

    /// A path without what leads nowhere: leading slashes, "." and doubled slashes.
    ///
    /// - Throws: for "..", which might lead out.
    private static func plain(_ path: [UInt8]) throws(TreeError) -> [UInt8] {
        var parts: [ArraySlice<UInt8>] = []
        for part in path.split(separator: 0x2F) where Array(part) != [0x2E] {
            if Array(part) == [0x2E, 0x2E] {
                throw TreeError("\(ByteText.shortened(path)) leads out of the tree by ..")
            }
            parts.append(part)
        }
        return Array(parts.joined(separator: [0x2F]))
    }

    /// A directory of the tree, made where there is none yet.
    private mutating func directory(_ path: ArraySlice<UInt8>) throws(Errno) -> NodeID {
        if path.elementsEqual(lastPath) { return lastParent }
        var node = root
        for part in path.split(separator: 0x2F) {
            let parent = node
            if let found = try entered({ worker throws(Errno) in try worker.peek(parent, part) }) {
                node = found
                continue
            }
            node = try entered { worker throws(Errno) in
                try worker.add(
                    parent, part, mode: FileMode.directory | 0o755,
                    live?.rights.owner ?? Caller(userID: 0, groupID: 0))
            }
            // It has no entry of its own, or a later one.
            directories.append((node, unknown))
        }
        lastPath = ArraySlice(Array(path))
        lastParent = node
        return node
    }

    /// Makes what an entry is, in place of what has its name; a directory stays, as in tar.
    private mutating func make(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, _ entry: SourceEntry
    ) throws(Errno) -> NodeID {
        let type = entry.mode & FileMode.typeMask
        let isDirectory = type == FileMode.directory
        let isDevice = type == FileMode.characterDevice || type == FileMode.blockDevice
        // The number of a whiteout is nobody's device.
        if isDevice, entry.device != 0, live?.rights.isPrivileged == false { throw .notPermitted }
        let owner = live?.rights.owner ?? Caller(userID: 0, groupID: 0)
        let old = try entered { worker throws(Errno) in try worker.peek(parent, name) }
        if let old {
            let mode = try entered { worker throws(Errno) in try worker.attributes(old).mode }
            let wasDirectory = mode & FileMode.typeMask == FileMode.directory
            if isDirectory && wasDirectory { return old }
            try entered { worker throws(Errno) in
                try worker.remove(parent, name, isDirectory: wasDirectory)
            }
            // Its slot may be another inode's soon.
            if wasDirectory {
                directories.removeAll { $0.node == old }
                defaultLists.removeAll { $0.node == old }
                (lastPath, lastParent) = ([], root)
            }
        }
        return try entered { worker throws(Errno) in
            if let target = entry.target, entry.mode & FileMode.typeMask == FileMode.symlink {
                return try worker.addSymlink(parent, name, target: target, owner)
            }
            return try worker.add(
                parent, name, mode: entry.mode & FileMode.typeMask | 0o600, device: entry.device,
                owner)
        }
    }

    /// - Returns: what got the name; nil where it has it already.
    private mutating func addLink(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, to target: [UInt8], of path: [UInt8]
    ) throws(Errno) -> NodeID? {
        if target == path { return nil }
        var node = root
        for part in target.split(separator: 0x2F) {
            let parent = node
            let found = try entered { worker throws(Errno) in try worker.peek(parent, part) }
            guard let found else { throw .noSuchFileOrDirectory }
            node = found
        }
        try entered { worker throws(Errno) in
            let before = try worker.attributes(node)
            if try worker.peek(parent, name) != nil {
                try worker.remove(parent, name, isDirectory: false)
            }
            try worker.addLink(node, parent, name)
            // The clock's time of the new name is not kept.
            try worker.restoreChangeTime(node, before)
        }
        return node
    }

    // MARK: content and attributes

    private mutating func addContent(
        _ node: NodeID, _ entry: SourceEntry, _ reader: some EntrySource
    ) throws(Errno) {
        if let original = entry.original {
            try copyContent(of: original, to: node)
            return
        }
        if live == nil { block.begin(node) }
        var end: UInt64 = 0
        var failure: Errno?
        do throws(TreeError) {
            try unsafe reader.forEachPiece { offset, bytes throws(TreeError) in
                do throws(Errno) {
                    if live == nil {
                        try unsafe block.write(worker, offset, bytes, roomFor)
                    } else {
                        try unsafe writeLive(node, offset, bytes)
                    }
                } catch {
                    failure = error
                    throw TreeError("")
                }
                end = max(end, offset + UInt64(bytes.count))
                contentBytes += UInt64(bytes.count)
            }
        } catch {
            if let failure { throw failure }
            sourceFailure = error
            throw .ioError
        }
        if live == nil { try block.flush(worker, roomFor) }
        if entry.size > end {
            try entered { worker throws(Errno) in try worker.extend(node, to: entry.size) }
        }
    }

    /// Copies what is no hole, from memory to memory.
    private mutating func copyContent(of original: NodeID, to node: NodeID) throws(Errno) {
        var at: UInt64 = 0
        while true {
            let start = at
            let (next, size) = try entered {
                worker throws(Errno) -> (UInt64?, UInt64) in
                let size = try worker.attributes(original).size
                guard start < size else { return (nil, size) }
                let data: UInt64
                do throws(Errno) {
                    data = try worker.seek(original, offset: start, hole: false)
                } catch .noSuchAddressOrDevice { return (nil, size) }
                let end = try worker.seek(original, offset: data, hole: true)
                // A request that waits for this worker's turn waits no longer than for a write.
                let count = min(end - data, 1 << 20)
                let done = try worker.copyRange(
                    from: original, at: data, to: node, at: data, count: count)
                if done == 0 { return (nil, size) }
                return (data + done, size)
            }
            guard let next else {
                if size > at {
                    try entered { worker throws(Errno) in try worker.extend(node, to: size) }
                }
                return
            }
            contentBytes += next - start
            at = next
            if at >= size { return }
        }
    }

    private func writeLive(
        _ node: NodeID, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        guard let start = bytes.baseAddress else { return }
        let count = UInt64(bytes.count)
        let written = try entered { worker throws(Errno) in
            try unsafe worker.write(
                node, offset: offset, from: start, count: count, killPrivileges: false)
        }
        if written < count { throw .noSpace }
    }

    /// Sets attributes as they are to be in the store.
    private func restore(_ node: NodeID, _ attributes: RestoredAttributes) throws(Errno) {
        guard let live else {
            return try entered { worker throws(Errno) in try worker.restore(node, attributes) }
        }
        var attributes = attributes
        attributes.permissions &= ~live.rights.umask
        if let userID = live.rights.userID { attributes.userID = userID }
        try entered { worker throws(Errno) in
            // The group may be that of the directory, whose mode says so.
            if live.rights.groupID != nil {
                attributes.groupID = try worker.attributes(node).groupID
            }
            try worker.restore(node, attributes, now: cmem_now())
        }
    }

    /// - Returns: what the entry's attributes are with its access list, of which the source may tell
    ///   the group's part in the mode only.
    private mutating func setXattrs(
        of node: NodeID, _ entry: SourceEntry, _ reader: some EntrySource
    ) throws(Errno) -> RestoredAttributes {
        var attributes = entry.attributes
        let xattrs = reader.xattrs()
        if reader.takeUnknownNames() {
            warnings.append(
                "\(ByteText.shortened(entry.path)): its access list names somebody "
                    + "who is unknown here and is left out")
        }
        for (name, value) in xattrs {
            if let live, !live.rights.isPrivileged, !Self.isForAll(name) {
                warnings.append(
                    "\(ByteText.shortened(entry.path)): attribute "
                        + "\(ByteText.text(of: name)) is root's to set, and is left out")
                continue
            }
            // New entries of the directory would take it.
            if name.elementsEqual("system.posix_acl_default".utf8) {
                defaultLists.append((node, value))
                continue
            }
            do throws(Errno) {
                try entered { worker throws(Errno) in
                    try worker.setXattr(node, name[...], value)
                    if name.elementsEqual("system.posix_acl_access".utf8) {
                        let mode = try worker.attributes(node).mode
                        attributes.permissions = attributes.permissions & 0o7000 | mode & 0o777
                    }
                }
            } catch .notSupported {
                warnings.append(
                    "\(ByteText.shortened(entry.path)): attribute "
                        + "\(ByteText.text(of: name)) is not kept")
            }
        }
        return attributes
    }

    /// Whether an attribute is one that an owner may set.
    private static func isForAll(_ name: [UInt8]) -> Bool {
        name.starts(with: "user.".utf8) || name.starts(with: "system.posix_acl_".utf8)
    }

    /// What had to wait until nothing is put into directories any more.
    private func finish() throws(TreeError) {
        do throws(Errno) {
            for (node, value) in defaultLists {
                try entered { worker throws(Errno) in
                    try worker.setXattr(node, Array("system.posix_acl_default".utf8)[...], value)
                }
            }
            // Of two for one directory the later.
            for (node, attributes) in directories { try restore(node, attributes) }
        } catch {
            throw TreeError.storing([], error, place)
        }
    }

    private func entered<Result: Sendable>(
        _ body: (StoreWorker) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        if let live {
            return try live.turn.entered { worker throws(Errno) in
                // What was made here went with the rollback.
                guard worker.rollbacks == live.rollbacks else { throw Errno.canceled }
                return try body(worker)
            }
        }
        worker.enter()
        defer { worker.leave() }
        return try body(worker)
    }
}
