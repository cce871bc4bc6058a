// PowerSteps: the system calls of a history, each on the mount and in the model.

import CMayflyTestSupport
import Glibc
import Mayfly

extension PowerOracle {
    private static let names = ["a", "b", "c", "d"]
    private static let mostDescriptors = 4
    private static let weights: [(PowerOperation, Int)] = [
        (.create, 8), (.open, 4), (.temporary, 1), (.linkTemporary, 2), (.close, 2),
        (.write, 14), (.writeThrough, 3), (.store, 5), (.synchronizeMapping, 2), (.unmap, 1),
        (.truncate, 4), (.allocate, 4), (.copyRange, 2), (.changeMode, 2), (.changeOwner, 1),
        (.makeDirectory, 4), (.removeDirectory, 2), (.unlink, 3), (.rename, 7), (.exchange, 2),
        (.link, 2), (.symlink, 1), (.synchronize, 3), (.synchronizeData, 2), (.synchronizePath, 2),
        (.synchronizeDirectory, 5), (.writeBack, 2), (.synchronizeAll, 1), (.fork, 1),
    ]
    private static let kinds = weights.flatMap { Array(repeating: $0.0, count: $0.1) }

    /// Makes one call, by chance.
    ///
    /// - Returns: false where there was nothing to make it on.
    func step() throws -> Bool {
        let kind = random.pick(Self.kinds)
        // A fork takes as long as a hundred other steps.
        if kind == .fork && !random.oneIn(20) { return false }
        guard let text = try perform(kind) else { return false }
        history.append("\(kind.rawValue) \(text)")
        counts.kinds[kind, default: 0] += 1
        return true
    }

    /// - Returns: what it was about; nil where there was nothing to make the call on.
    private func perform(_ kind: PowerOperation) throws -> String? {
        switch kind {
        case .create: try create()
        case .open: try open()
        case .temporary: try makeTemporary()
        case .linkTemporary: try linkTemporary()
        case .close: closeOne()
        case .write: try write(isThrough: false)
        case .writeThrough: try write(isThrough: true)
        case .store: try store()
        case .synchronizeMapping: try synchronizeMapping()
        case .unmap: unmap()
        case .truncate: try truncate()
        case .allocate: try allocate()
        case .copyRange: try copyRange()
        case .changeMode: try changeMode()
        case .changeOwner: try changeOwner()
        case .makeDirectory: try makeDirectory()
        case .removeDirectory: try removeDirectory()
        case .unlink: try unlink()
        case .rename: try rename()
        case .exchange: try exchange()
        case .link: try link()
        case .symlink: try symlink()
        case .synchronize: try synchronize(dataOnly: false)
        case .synchronizeData: try synchronize(dataOnly: true)
        case .synchronizePath: try synchronizePath()
        case .synchronizeDirectory: try synchronizeDirectory()
        case .writeBack: try writeBack()
        case .synchronizeAll: try synchronizeEverything()
        case .fork: try fork()
        }
    }

    // MARK: choosing

    private struct Entry {
        let path: String
        let parent: PowerNode
        let name: String
        let node: PowerNode
    }

    private func entries(_ isWanted: (PowerNode) -> Bool) -> [Entry] {
        model.reachable().compactMap { path, parent, node in
            guard let parent, isWanted(node) else { return nil }
            return Entry(
                path: path, parent: parent, name: String(path.split(separator: "/").last ?? ""),
                node: node)
        }
    }

    private func anyEntry(_ isWanted: (PowerNode) -> Bool = { _ in true }) -> Entry? {
        let all = entries(isWanted)
        return all.isEmpty ? nil : random.pick(all)
    }

    /// A directory with its path, no more than three deep.
    private func anyDirectory() -> (path: String, node: PowerNode) {
        let all = model.reachable().filter {
            $0.node.kind == .directory && $0.path.split(separator: "/").count < 3
        }
        let one = random.pick(all)
        return (one.path, one.node)
    }

    private func anyPlace() -> (path: String, directory: PowerNode, name: String) {
        let (path, node) = anyDirectory()
        let name = random.pick(Self.names)
        return (path.isEmpty ? name : path + "/" + name, node, name)
    }

    private func freePlace() -> (path: String, directory: PowerNode, name: String)? {
        let place = anyPlace()
        return place.directory.names[place.name] == nil ? place : nil
    }

    private func anyDescriptor(_ isWanted: (PowerDescriptor) -> Bool = { _ in true })
        -> PowerDescriptor?
    {
        let all = descriptors.filter(isWanted)
        return all.isEmpty ? nil : random.pick(all)
    }

    private func shown(_ descriptor: PowerDescriptor) -> String {
        let path = model.reachable().first { $0.node === descriptor.node }?.path ?? "of no name"
        return "fd \(descriptor.file.fd) (\(path))"
    }

    private func add(_ descriptor: PowerDescriptor) {
        if descriptors.count == Self.mostDescriptors {
            descriptors.remove(at: random.below(Self.mostDescriptors))
        }
        descriptors.append(descriptor)
    }

    // MARK: descriptors

    private func openFlags() -> (flags: Int32, text: String) {
        let choices: [(Int32, String)] = [
            (0, ""), (0, ""), (0, ""), (O_SYNC, "O_SYNC"), (O_DSYNC, "O_DSYNC"),
            (CPS_O_DIRECT, "O_DIRECT"), (CPS_O_DIRECT | O_DSYNC, "O_DIRECT|O_DSYNC"),
        ]
        return random.pick(choices)
    }

    private func made(_ file: PosixFile, _ node: PowerNode, _ flags: Int32) -> PowerDescriptor {
        PowerDescriptor(
            file, node, isDirect: flags & CPS_O_DIRECT != 0, isSynchronous: flags & O_DSYNC != 0)
    }

    private func create() throws -> String? {
        guard let (path, directory, name) = freePlace() else { return nil }
        let (flags, text) = openFlags()
        let file = try (root / path).open(O_RDWR | O_CREAT | O_EXCL | flags, 0o644)
        let status = try file.status()
        let node = model.make(.file, owner: owner(status))
        node.inode = status.inode
        model.add(directory, name, node)
        add(made(file, node, flags))
        return path + " " + text
    }

    private func open() throws -> String? {
        guard let entry = anyEntry({ $0.kind == .file }) else { return nil }
        let (flags, text) = openFlags()
        add(made(try (root / entry.path).open(O_RDWR | flags), entry.node, flags))
        return entry.path + " " + text
    }

    private func makeTemporary() throws -> String? {
        let (path, _) = anyDirectory()
        let file = try place(path).open(CPS_O_TMPFILE | O_RDWR, 0o644)
        let status = try file.status()
        let node = model.make(.file, owner: owner(status))
        node.inode = status.inode
        let descriptor = made(file, node, 0)
        descriptor.isTemporary = true
        add(descriptor)
        return path
    }

    private func linkTemporary() throws -> String? {
        guard let descriptor = anyDescriptor({ $0.isTemporary }),
            let (path, directory, name) = freePlace()
        else { return nil }
        try descriptor.file.link(to: root / path)
        descriptor.isTemporary = false
        model.add(directory, name, descriptor.node)
        return path
    }

    private func closeOne() -> String? {
        guard !descriptors.isEmpty else { return nil }
        let index = random.below(descriptors.count)
        let text = shown(descriptors[index])
        descriptors.remove(at: index)
        return text
    }

    private func place(_ path: String) -> PosixPath { path.isEmpty ? root : root / path }

    // MARK: content

    private func offset() -> Int {
        random.pick([0, 0, 100, 511, 512, 513, 2048, 4000, 4096, 5000, 8192, 12_288, 20_000])
    }

    private func length() -> Int {
        random.pick([1, 100, 512, 700, 1024, 4096, 5000, 8192, 12_288])
    }

    private func letters(_ count: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(65 + random.below(26)), count: count)
    }

    private func write(isThrough: Bool) throws -> String? {
        guard let descriptor = anyDescriptor() else { return nil }
        let unit = descriptor.isDirect ? 512 : 1
        let start = offset() / unit * unit
        let bytes = letters(max(unit, length() / unit * unit))
        var way = isThrough ? random.pick([CPP_RWF_SYNC, CPP_RWF_DSYNC]) : 0
        if missingSync == .writeThrough { way = 0 }
        try descriptor.file.pwrite(bytes, at: Int64(start), flags: way)
        descriptor.node.content.write(bytes, at: start)
        if isThrough || descriptor.isSynchronous {
            // The kernel writes back the pages of the range, and the server syncs all that it has.
            let last = (start + bytes.count - 1) / PowerPage.bytes
            descriptor.node.content.synchronize(pages: start / PowerPage.bytes..<last + 1)
        }
        return "\(shown(descriptor)) at \(start): \(bytes.count) of \(bytes[0])"
    }

    private func store() throws -> String? {
        guard let descriptor = anyDescriptor({ $0.node.content.size > 0 }) else { return nil }
        let size = descriptor.node.content.size
        let start = min(offset(), size - 1)
        let bytes = letters(min(random.pick([1, 100, 512, 600]), size - start))
        let mapping = try descriptor.mapping ?? PosixMapping(descriptor.file, Self.fileBytes)
        descriptor.mapping = mapping
        mapping.fill(start..<start + bytes.count, bytes[0])
        descriptor.node.content.store(bytes, at: start)
        return "\(shown(descriptor)) at \(start): \(bytes.count) of \(bytes[0])"
    }

    private func synchronizeMapping() throws -> String? {
        guard let descriptor = anyDescriptor({ $0.mapping != nil }) else { return nil }
        if missingSync != .synchronizeMapping { try descriptor.mapping?.synchronize() }
        descriptor.node.content.synchronize(pages: 0..<PowerContent.pageCount)
        return shown(descriptor)
    }

    private func unmap() -> String? {
        guard let descriptor = anyDescriptor({ $0.mapping != nil }) else { return nil }
        descriptor.mapping = nil
        return shown(descriptor)
    }

    private func truncate() throws -> String? {
        let size = random.oneIn(3) ? 0 : offset() + random.pick([0, 0, 1, 100, 5000])
        if random.oneIn(2), let descriptor = anyDescriptor() {
            try descriptor.file.truncate(Int64(size))
            descriptor.node.content.resize(size)
            return "\(shown(descriptor)) to \(size)"
        }
        guard let entry = anyEntry({ $0.kind == .file }) else { return nil }
        try (root / entry.path).truncate(Int64(size))
        entry.node.content.resize(size)
        return "\(entry.path) to \(size)"
    }

    private func allocate() throws -> String? {
        guard let descriptor = anyDescriptor() else { return nil }
        let keep = CPS_FALLOC_KEEP_SIZE
        let mode = random.pick([
            0, keep, CPS_FALLOC_PUNCH_HOLE | keep, CPS_FALLOC_PUNCH_HOLE | keep,
            CPS_FALLOC_ZERO_RANGE,
            CPS_FALLOC_ZERO_RANGE | keep,
        ])
        let (start, count) = (offset(), length())
        try descriptor.file.allocate(mode, Int64(start), Int64(count))
        if mode & (CPS_FALLOC_PUNCH_HOLE | CPS_FALLOC_ZERO_RANGE) != 0 {
            descriptor.node.content.zero(start, min(count, Self.fileBytes - start))
        }
        if mode & keep == 0 {
            descriptor.node.content.size = max(descriptor.node.content.size, start + count)
        }
        return "\(shown(descriptor)) mode \(mode) at \(start): \(count)"
    }

    private func copyRange() throws -> String? {
        guard let source = anyDescriptor(), let target = anyDescriptor({ $0.node !== source.node })
        else { return nil }
        let (from, to, count) = (offset(), offset(), length())
        let visible = source.node.content.visible
        let bytes = Array(visible.dropFirst(from).prefix(count))
        let copied = try source.file.copyRange(
            at: Int64(from), to: target.file, at: Int64(to), count)
        if copied != bytes.count {
            throw PowerFailure(description: "copy_file_range copied \(copied), not \(bytes.count)")
        }
        target.node.content.write(bytes, at: to)
        return "\(shown(source)) at \(from) to \(shown(target)) at \(to): \(count)"
    }

    // MARK: attributes

    private func changeMode() throws -> String? {
        guard let entry = anyEntry({ $0.kind != .link }) else { return nil }
        let mode = random.pick([0o600, 0o644, 0o755, 0o700] as [UInt32])
        try (root / entry.path).chmod(mode)
        entry.node.content.owner.mode = mode
        return "\(entry.path) \(String(mode, radix: 8))"
    }

    private func changeOwner() throws -> String? {
        guard let entry = anyEntry({ $0.kind != .link }) else { return nil }
        let (user, group) = (UInt32(random.below(4)), UInt32(random.below(4)))
        try (root / entry.path).chown(user, group)
        entry.node.content.owner.userID = user
        entry.node.content.owner.groupID = group
        return "\(entry.path) \(user):\(group)"
    }

    // MARK: names

    private func makeDirectory() throws -> String? {
        guard let (path, directory, name) = freePlace() else { return nil }
        try (root / path).mkdir()
        let status = try (root / path).status()
        let node = model.make(.directory, owner: owner(status))
        node.inode = status.inode
        model.add(directory, name, node)
        return path
    }

    private func removeDirectory() throws -> String? {
        guard let entry = anyEntry({ $0.kind == .directory && $0.names.isEmpty }) else {
            return nil
        }
        try (root / entry.path).rmdir()
        model.remove(entry.parent, entry.name)
        return entry.path
    }

    private func unlink() throws -> String? {
        guard let entry = anyEntry({ $0.kind != .directory }) else { return nil }
        try (root / entry.path).unlink()
        model.remove(entry.parent, entry.name)
        return entry.path
    }

    private func rename() throws -> String? {
        guard let entry = anyEntry() else { return nil }
        let (path, directory, name) = anyPlace()
        let old = directory.names[name]
        if path == entry.path { return nil }
        if entry.node.kind == .directory, model.lies(directory, in: entry.node) { return nil }
        if let old {
            guard (old.kind == .directory) == (entry.node.kind == .directory) else { return nil }
            if old.kind == .directory && !old.names.isEmpty { return nil }
        }
        let flags = old == nil && random.oneIn(3) ? CPS_RENAME_NOREPLACE : 0
        try (root / entry.path).rename(to: root / path, flags)
        model.rename(entry.parent, entry.name, directory, name, isExchange: false)
        return "\(entry.path) \(path)"
    }

    private func exchange() throws -> String? {
        guard let one = anyEntry(), let other = anyEntry(), one.node !== other.node else {
            return nil
        }
        if one.node.kind == .directory, model.lies(other.parent, in: one.node) { return nil }
        if other.node.kind == .directory, model.lies(one.parent, in: other.node) { return nil }
        try (root / one.path).rename(to: root / other.path, CPS_RENAME_EXCHANGE)
        model.rename(one.parent, one.name, other.parent, other.name, isExchange: true)
        return "\(one.path) \(other.path)"
    }

    private func link() throws -> String? {
        guard let entry = anyEntry({ $0.kind == .file }), let (path, directory, name) = freePlace()
        else { return nil }
        try (root / entry.path).link(to: root / path)
        model.add(directory, name, entry.node)
        return "\(entry.path) \(path)"
    }

    private func symlink() throws -> String? {
        guard let (path, directory, name) = freePlace() else { return nil }
        try (root / path).symlink("nowhere")
        let status = try (root / path).status()
        let node = model.make(.link, owner: owner(status))
        node.inode = status.inode
        model.add(directory, name, node)
        return path
    }

    // MARK: syncing

    private func synchronize(dataOnly: Bool) throws -> String? {
        guard let descriptor = anyDescriptor() else { return nil }
        let kind = dataOnly ? PowerOperation.synchronizeData : .synchronize
        if missingSync != kind { try descriptor.file.synchronize(dataOnly: dataOnly) }
        descriptor.node.content.synchronize(pages: 0..<PowerContent.pageCount)
        return shown(descriptor)
    }

    private func synchronizePath() throws -> String? {
        guard let entry = anyEntry({ $0.kind == .file }) else { return nil }
        let dataOnly = random.oneIn(2)
        if missingSync != .synchronizePath {
            try (root / entry.path).open(O_RDONLY).synchronize(dataOnly: dataOnly)
        }
        entry.node.content.synchronize(pages: 0..<PowerContent.pageCount)
        return entry.path
    }

    private func synchronizeDirectory() throws -> String? {
        let all = model.reachable().filter { $0.node.kind == .directory }
        let one = random.pick(all)
        let dataOnly = random.oneIn(4)
        if missingSync != .synchronizeDirectory {
            try place(one.path).open(O_RDONLY | O_DIRECTORY).synchronize(dataOnly: dataOnly)
        }
        model.synchronize(directory: one.node)
        return "'\(one.path)'"
    }

    /// Pages go to the server, and nothing is synced by it.
    private func writeBack() throws -> String? {
        switch random.below(3) {
        case 0:
            guard let descriptor = anyDescriptor() else { return nil }
            try descriptor.file.writeBack()
            return "sync_file_range \(shown(descriptor))"
        case 1:
            try root.open(O_RDONLY | O_DIRECTORY).synchronizeFileSystem()
            return "syncfs"
        default:
            // Not sync(2), which takes the whole machine, and is syncfs(2) for this file system.
            guard let descriptor = anyDescriptor() else { return nil }
            try descriptor.file.evict()
            return "posix_fadvise \(shown(descriptor))"
        }
    }

    /// `mayfly sync`.
    private func synchronizeEverything() throws -> String? {
        if missingSync != .synchronizeAll { _ = try control.sync() }
        model.synchronizeAll()
        return ""
    }

    /// A fork begins with what is there now, all of it synced, and the first mount goes on as it was.
    private func fork() throws -> String? {
        try root.open(O_RDONLY | O_DIRECTORY).synchronizeFileSystem()
        _ = try control.fork(to: forkPlace.description)
        defer { _ = unsafe cps_unmount(forkPlace.terminated, 1) }
        counts.forks += 1
        try comparePresent(forkPlace, "in a fork")
        _ = try Self.control(forkPlace).crash(seed: UInt64(random.below(4)))
        try comparePresent(forkPlace, "in a fork that has lost power")
        return ""
    }
}

extension PosixFile {
    /// pwritev2(2).
    fileprivate func pwrite(
        _ bytes: [UInt8], at offset: Int64, flags: Int32
    ) throws(PosixCallFailure) {
        let count = unsafe cpp_pwrite(fd, bytes, bytes.count, offset, flags)
        try answer(count, "pwritev2(\(bytes.count) at \(offset), \(flags))")
    }

    /// syncfs(2).
    fileprivate func synchronizeFileSystem() throws(PosixCallFailure) {
        try answer(cpp_syncfs(fd), "syncfs")
    }

    /// sync_file_range(2) of everything.
    fileprivate func writeBack() throws(PosixCallFailure) {
        try answer(cpp_write_back(fd), "sync_file_range")
    }

    /// posix_fadvise(2), `POSIX_FADV_DONTNEED`.
    fileprivate func evict() throws(PosixCallFailure) {
        try answer(cpd_evict(fd), "posix_fadvise")
    }
}
