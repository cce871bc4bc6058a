// ChangeApplier: applies what was changed in a tree in memory to the folder on disk that it came from.
//
// Everything new is made first, with its content and attributes, in a folder of its own inside the target.
// When all of it is there, and on disk, each file goes to its place by one rename(2). So no file is ever half
// written, whoever is killed: what fails before that leaves the target as it was, and what fails later leaves
// some files old and some new. No symbolic link is followed on the way.

import CMayflyMemory
import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

/// Applies one list of changes, in a process that has the caller's rights. Not for several threads.
struct ChangeApplier {
    /// On disk.
    let target: FolderWalk
    /// In memory.
    let tree: FolderWalk
    let changes: [TreeChange]
    /// Whether owners are set as the tree has them; otherwise what is replaced keeps its own, where it can.
    let setsOwners: Bool
    /// What could not be done, in lines.
    private(set) var failures: [String] = []

    private let made: Set<[UInt8]>
    private let gone: Set<[UInt8]>
    /// What is of another type than it was.
    private let becoming: Set<[UInt8]>

    private var stage: Int32 = -1
    private var stageParent: Int32 = -1
    private var stageName: [CChar] = []
    private var staged = 0
    private var steps: [Step] = []
    /// Folders on disk that were made writable for the time, with their modes from before.
    private var opened: [[UInt8]: mode_t] = [:]
    /// Files on disk whose attributes were set here: their other names see that too.
    private var touched: Set<FileNumber> = []

    private struct FileNumber: Hashable {
        let disk: UInt64
        let inode: UInt64

        init(_ status: stat) {
            disk = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    /// What is done when everything is staged.
    fileprivate enum Step {
        case makeFolder(TreeChange)
        /// Moves what is staged under a number to the path.
        case place(Int, TreeChange)
        /// Makes the path a further name of another that is there by then.
        case link(from: [UInt8], TreeChange)
        case setAttributes(TreeChange, ofFolder: Bool)
    }

    init(target: Int32, tree: Int32, changes: [TreeChange], setsOwners: Bool) {
        self.target = FolderWalk(target)
        self.tree = FolderWalk(tree)
        self.changes = changes
        self.setsOwners = setsOwners
        made = Set(changes.filter { $0.kind == .added }.map(\.path))
        gone = Set(changes.filter { $0.kind == .removed }.map(\.path))
        becoming = Set(changes.filter { $0.aspects.contains(.type) }.map(\.path))
    }

    // MARK: conflicts

    /// Paths that are not on disk what they were when the tree was brought in, with what is wrong.
    func conflicts() -> [String] {
        changes.compactMap { change in
            conflict(change, isStrict: true).map { "\(Self.text(change.path)) \($0)" }
        }
    }

    /// - Parameter isStrict: whether the time of the inode's last change counts, which names that were
    ///   taken from it have changed later.
    private func conflict(_ change: TreeChange, isStrict: Bool) -> String? {
        let status: stat
        do throws(Errno) { status = try target.status(of: change.path) } catch {
            switch change.kind {
            case .changed: return "is gone"
            // Who else has removed it wanted the same.
            case .removed: return nil
            case .added:
                if error == .noSuchFileOrDirectory, hasFolder(change.path) { return nil }
                return Self.isBelow(becoming, change.path) ? nil : "has no folder any more"
            }
        }
        guard let stamp = change.stamp else {
            let isFolder = (try? tree.status(of: change.path).isFolder) ?? false
            // A folder that both have made is one.
            return isFolder && status.isFolder ? nil : "was made meanwhile, or left out"
        }
        if stamp.isFolder {
            guard status.isFolder else { return "is no folder any more" }
            guard change.kind == .removed || change.aspects.contains(.type) else { return nil }
            let names = (try? target.names(in: change.path)) ?? []
            guard let other = names.first(where: { !gone.contains(Self.path(change.path, $0)) })
            else { return nil }
            return "has \(Self.text(other)), which was made meanwhile or left out"
        }
        return stamp.matches(status, withChangeTime: isStrict) ? nil : "was changed meanwhile"
    }

    /// The same while changes are applied.
    private func conflictNow(_ change: TreeChange) -> String? {
        if let status = try? target.status(of: change.path), touched.contains(FileNumber(status)) {
            return nil
        }
        return conflict(change, isStrict: false)
    }

    /// Whether the folder that a new path lies in is there, or will be.
    private func hasFolder(_ path: [UInt8]) -> Bool {
        let above = Self.folder(of: path)
        return above.isEmpty || made.contains(above) || becoming.contains(above)
            || (try? target.status(of: above))?.isFolder == true
    }

    private static func isBelow(_ folders: Set<[UInt8]>, _ path: [UInt8]) -> Bool {
        path.indices.contains {
            path[$0] == UInt8(ascii: "/") && folders.contains(Array(path[..<$0]))
        }
    }

    // MARK: staging

    /// Makes everything new in a folder of its own.
    ///
    /// - Throws: with the path that could not be made; nothing is left of it then, nor changed.
    mutating func prepare() throws(MountError) {
        try checkWritable()
        do throws(MountError) {
            try plan()
            // One time for all: a power loss finds no name that leads to half a file.
            let error = staged == 0 ? 0 : csys_sync_file_system(stage)
            if error != 0 { throw cannot([], error) }
        } catch {
            discard()
            throw error
        }
    }

    /// Finds what would be refused, before anything is done.
    private func checkWritable() throws(MountError) {
        var room = statvfs()
        if unsafe fstatvfs(target.root, &room) == 0, room.f_flag & Self.readOnly != 0 {
            throw cannot([], EROFS)
        }
        var seen: Set<[UInt8]> = []
        for change in changes {
            guard change.kind != .changed || isReplaced(change) else {
                guard geteuid() != 0, let status = try? target.status(of: change.path),
                    status.st_uid != geteuid()
                else { continue }
                throw cannot(change.path, EPERM)
            }
            let above = Self.folder(of: change.path)
            if made.contains(above) || becoming.contains(above) || !seen.insert(above).inserted {
                continue
            }
            guard let folder = try? target.open(above[...]) else { continue }
            defer { close(folder) }
            if unsafe faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) == 0 { continue }
            let error = errno
            var status = stat()
            unsafe _ = fstat(folder, &status)
            // One of the caller's own is made writable for the time.
            if error == EACCES, status.st_uid == geteuid() { continue }
            throw cannot(change.path, error)
        }
    }

    /// statvfs(3), `ST_RDONLY`.
    private static let readOnly: UInt = 1

    /// Whether another file takes the place of what has the name.
    private func isReplaced(_ change: TreeChange) -> Bool {
        !change.aspects.isDisjoint(with: [.type, .content, .size, .target, .device])
    }

    /// Makes the folder for what is staged, when it is needed: in the target's root, or where that may not be
    /// written as near to a path as it can be.
    private mutating func makeStage(near path: [UInt8]) throws(Errno) {
        if stage >= 0 { return }
        let number = String(UInt64.random(in: .min ... .max), radix: 36)
        stageName = Array(".mayfly-apply-\(number)".utf8CString)
        do throws(Errno) { try makeStage(in: []) } catch .permissionDenied {
            if openUp([0x2E]) { return try makeStage(in: []) }
            var above = Self.folder(of: path)
            while !above.isEmpty, (try? target.status(of: above))?.isFolder != true {
                above = Self.folder(of: above)
            }
            try makeStage(in: above)
        }
    }

    private mutating func makeStage(in folder: [UInt8]) throws(Errno) {
        let parent = try target.open(folder[...])
        let isMade = unsafe mkdirat(parent, stageName, 0o700) == 0
        if isMade {
            stage = unsafe openat(
                parent, stageName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        }
        if stage < 0 {
            let error = Errno(rawValue: errno)
            if isMade { _ = unsafe unlinkat(parent, stageName, AT_REMOVEDIR) }
            close(parent)
            throw error
        }
        stageParent = parent
    }

    /// Removes that folder and what is left in it, and gives folders their modes back.
    private mutating func discard(isApplied: Bool = false) {
        if stage >= 0 {
            for name in (try? FolderWalk(stage).names(in: [])) ?? [] {
                _ = unsafe unlinkat(stage, name.map { CChar(bitPattern: $0) } + [0], 0)
            }
            close(stage)
            _ = unsafe unlinkat(stageParent, stageName, AT_REMOVEDIR)
            close(stageParent)
            (stage, stageParent) = (-1, -1)
        }
        closeUp(isApplied)
    }

    private mutating func plan() throws(MountError) {
        var files: [(change: TreeChange, status: stat)] = []
        for change in changes where change.kind != .removed {
            do throws(Errno) { files.append((change, try tree.status(of: change.path))) } catch {
                throw cannot(change.path, error.rawValue)
            }
        }
        var firstNames = unchangedNames(files)
        // A file that only gets other attributes stays the one that is on disk.
        for (change, status) in files
        where !status.isFolder && status.st_nlink > 1 && change.kind == .changed
            && !isReplaced(change)
        {
            if firstNames[status.st_ino] == nil { firstNames[status.st_ino] = change.path }
        }
        for (change, status) in files {
            let isNew = change.kind == .added || change.aspects.contains(.type)
            if status.isFolder {
                steps.append(isNew ? .makeFolder(change) : .setAttributes(change, ofFolder: true))
                continue
            }
            guard isNew || isReplaced(change) else {
                steps.append(.setAttributes(change, ofFolder: false))
                continue
            }
            do throws(Errno) {
                try makeStage(near: change.path)
                if status.st_nlink > 1 {
                    if let first = firstNames[status.st_ino] {
                        steps.append(.link(from: first, change))
                        continue
                    }
                    firstNames[status.st_ino] = change.path
                }
                staged += 1
                try make(change, status, in: stage, as: Array("\(staged)".utf8CString))
            } catch { throw cannot(change.path, error.rawValue) }
            steps.append(.place(staged, change))
        }
    }

    /// Of files that got further names, a name that was not changed.
    ///
    /// - Complexity: O(tree), where there are such files.
    private func unchangedNames(
        _ files: [(change: TreeChange, status: stat)]
    ) -> [ino_t: [UInt8]] {
        var missing: [ino_t: nlink_t] = [:]
        for (_, status) in files where !status.isFolder && status.st_nlink > 1 {
            missing[status.st_ino, default: status.st_nlink] -= 1
        }
        missing = missing.filter { $0.value > 0 }
        var found: [ino_t: [UInt8]] = [:]
        if missing.isEmpty { return found }
        let known = Set(changes.map(\.path))
        var folders: [[UInt8]] = [[]]
        while let folder = folders.popLast(), found.count < missing.count {
            for name in (try? tree.names(in: folder)) ?? [] {
                let path = Self.path(folder, name)
                guard let status = try? tree.status(of: path) else { continue }
                if status.isFolder {
                    folders.append(path)
                } else if missing[status.st_ino] != nil, !known.contains(path),
                    (try? target.status(of: path)) != nil
                {
                    found[status.st_ino] = path
                }
            }
        }
        return found
    }

    /// Makes what a path is in the tree under a name.
    private mutating func make(
        _ change: TreeChange, _ status: stat, in folder: Int32, as name: [CChar]
    ) throws(Errno) {
        let (parent, own) = try tree.parent(of: change.path)
        switch status.type {
        case S_IFREG:
            let source = try openContent(parent, own, status)
            defer { close(source) }
            let copy = unsafe openat(
                folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_t(0o600))
            try Self.checked(copy)
            defer { close(copy) }
            let code = csys_copy_range(source, copy, 0, UInt64(status.st_size))
            if code != 0 { throw Errno(rawValue: code) }
            try Self.checked(ftruncate(copy, status.st_size))
        case S_IFLNK:
            let target = try link(parent, own)
            try Self.checked(unsafe symlinkat(target, folder, name))
        case S_IFIFO: try Self.checked(unsafe mkfifoat(folder, name, 0o600))
        default:
            try Self.checked(unsafe mknodat(folder, name, status.type | 0o600, status.st_rdev))
        }
        try setAttributes(of: folder, name, from: parent, own, status, change, all: true)
    }

    /// Opens a file of the tree, which may be one that its owner may not read.
    private func openContent(
        _ parent: Int32, _ own: [CChar], _ status: stat
    ) throws(Errno) -> Int32 {
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        var source = unsafe openat(parent, own, flags)
        if source < 0, errno == EACCES, unsafe fchmodat(parent, own, 0o600, 0) == 0 {
            source = unsafe openat(parent, own, flags)
        }
        try Self.checked(source)
        return source
    }

    private static func checked(_ code: Int32) throws(Errno) {
        if code < 0 { throw Errno(rawValue: errno) }
    }

    private func link(_ folder: Int32, _ name: [CChar]) throws(Errno) -> [CChar] {
        var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlinkat(folder, name, &target, Int(PATH_MAX))
        guard count >= 0 else { throw Errno(rawValue: errno) }
        return Array(target.prefix(count)) + [0]
    }

    // MARK: attributes

    /// Gives what has a name the attributes that the tree has.
    ///
    /// - Parameter all: for what is new; else those that were changed.
    private mutating func setAttributes(
        of folder: Int32, _ name: [CChar], from source: Int32, _ own: [CChar], _ status: stat,
        _ change: TreeChange, all: Bool
    ) throws(Errno) {
        if setsOwners {
            if all || change.aspects.contains(.owner) {
                try Self.checked(
                    unsafe fchownat(
                        folder, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW))
            }
        } else if all {
            keepOwner(of: folder, name, change)
        }
        if status.type != S_IFLNK, all || !change.aspects.isDisjoint(with: [.mode, .attributes]) {
            // What is no link now is one only where somebody else has put it there.
            let opened = unsafe openat(folder, name, CSYS_O_PATH | O_NOFOLLOW | O_CLOEXEC)
            try Self.checked(opened)
            defer { close(opened) }
            let path = PathBytes("/proc/self/fd/\(opened)")
            // Attributes first: they cannot be set of what its owner may not write.
            setXattrs(of: path, from: source, own, change)
            try Self.checked(
                unsafe path.withCString { unsafe chmod($0, status.st_mode & 0o7777) })
        }
        if all || change.aspects.contains(.time) {
            var times = [status.st_atim, status.st_mtim]
            if !all { times[0].tv_nsec = Self.leave }
            try Self.checked(unsafe utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW))
        }
        let hasFlags = status.type == S_IFREG || status.isFolder
        if hasFlags, all || change.aspects.contains(.flags) {
            // What may not be changed could not go to its place either.
            let code = unsafe csys_copy_file_flags(source, own, folder, name, all ? 0 : 1)
            if code != 0 { throw Errno(rawValue: code) }
        }
    }

    /// Leaves a time as it is: utimensat(2), `UTIME_OMIT`.
    private static let leave = (1 << 30) - 2

    /// Gives the owner and the group of what is replaced, or the group of the folder where that hands its own
    /// on. Who may not give a file away owns it.
    private func keepOwner(of folder: Int32, _ name: [CChar], _ change: TreeChange) {
        if let old = try? target.status(of: change.path) {
            if unsafe fchownat(folder, name, old.st_uid, old.st_gid, AT_SYMLINK_NOFOLLOW) == 0 {
                return
            }
            _ = unsafe fchownat(folder, name, .max, old.st_gid, AT_SYMLINK_NOFOLLOW)
        } else if let above = try? target.status(of: Self.folder(of: change.path)),
            above.st_mode & S_ISGID != 0
        {
            _ = unsafe fchownat(folder, name, .max, above.st_gid, AT_SYMLINK_NOFOLLOW)
        }
    }

    /// Has the extended attributes of one be those of another, access lists among them.
    private mutating func setXattrs(
        of path: PathBytes, from source: Int32, _ own: [CChar], _ change: TreeChange
    ) {
        let opened = unsafe openat(source, own, CSYS_O_PATH | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else { return }
        defer { close(opened) }
        let wanted = Self.xattrs(of: PathBytes("/proc/self/fd/\(opened)"))
        let present = Self.xattrs(of: path)
        for name in present.keys where wanted[name] == nil {
            // The system gives one to each file by itself.
            if name.elementsEqual("security.selinux".utf8) { continue }
            _ = unsafe path.withCString { path in
                unsafe PathBytes(bytes: name).withCString { unsafe csys_remove_attribute(path, $0) }
            }
        }
        for (name, value) in wanted where present[name] != value {
            func set() -> Int32 {
                unsafe path.withCString { path in
                    unsafe PathBytes(bytes: name).withCString {
                        unsafe csys_set_attribute(path, $0, value, value.count)
                    }
                }
            }
            var code = set()
            // The mode that it is to have comes after.
            if code != 0, errno == EACCES, unsafe path.withCString({ unsafe chmod($0, 0o700) }) == 0
            {
                code = set()
            }
            // What only root may set was not set by who is not root.
            if code == 0 || !setsOwners && name.starts(with: "security.".utf8) { continue }
            let error = Errno(rawValue: errno)
            failures.append(
                "\(Self.text(change.path)): attribute \(PathBytes(bytes: name)) is not applied "
                    + "(\(error))")
        }
    }

    private static func xattrs(of path: PathBytes) -> [[UInt8]: [UInt8]] {
        unsafe path.withCString { path in
            var names = [CChar](repeating: 0, count: 65536)
            let count = max(0, unsafe csys_list_attributes(path, &names, names.count))
            var found: [[UInt8]: [UInt8]] = [:]
            if count == 0 { return found }
            var value = [UInt8](repeating: 0, count: 65536)
            for name in names.prefix(count).split(separator: 0) {
                let length = unsafe csys_get_attribute(
                    path, Array(name) + [0], &value, value.count)
                if length >= 0 {
                    found[name.map { UInt8(bitPattern: $0) }] = Array(value.prefix(length))
                }
            }
            return found
        }
    }

    // MARK: applying

    /// Does what was prepared.
    ///
    /// - Parameter force: goes over what was changed meanwhile.
    mutating func carryOut(force: Bool) {
        var later: [Step] = []
        var links: [Step] = []
        var folders: [Step] = []
        for step in steps {
            switch step {
            case .link: links.append(step)
            // A folder that becomes something else is empty only when its names are gone.
            case .place(_, let change) where change.stamp?.isFolder == true: later.append(step)
            // Names that come and go need its old mode and change its times.
            case .setAttributes(_, ofFolder: true): folders.append(step)
            case .makeFolder(let change):
                if attempt(step, force: force) {
                    folders.append(.setAttributes(change, ofFolder: true))
                }
            default: _ = attempt(step, force: force)
            }
        }
        for change in changes.reversed() where change.kind == .removed {
            if !force, let reason = conflictNow(change) {
                failures.append("\(Self.text(change.path)) \(reason), and is kept")
                continue
            }
            remove(change)
        }
        // What they are further names of is there by now.
        for step in later + links {
            if step.change.stamp?.isFolder == true,
                let (folder, name) = try? target.parent(of: step.change.path)
            {
                _ = unsafe unlinkat(folder, name, AT_REMOVEDIR)
                target.forget()
            }
            _ = attempt(step, force: force)
        }
        for step in folders.reversed() { _ = attempt(step, force: true) }
        target.forget()
        discard(isApplied: true)
    }

    private mutating func remove(_ change: TreeChange) {
        let isFolder = change.stamp?.isFolder == true
        func unlink() throws(Errno) {
            let (folder, name) = try target.parent(of: change.path)
            try Self.checked(unsafe unlinkat(folder, name, isFolder ? AT_REMOVEDIR : 0))
        }
        do throws(Errno) {
            do throws(Errno) { try unlink() } catch {
                guard error == .permissionDenied, openUp(change.path) else { throw error }
                try unlink()
            }
            if isFolder { target.forget() }
        } catch .noSuchFileOrDirectory {
        } catch {
            failures.append("\(Self.text(change.path)) cannot be removed (\(error))")
        }
    }

    /// - Returns: whether it was done.
    private mutating func attempt(_ step: Step, force: Bool) -> Bool {
        let change = step.change
        // Of a folder, that it is empty is proof enough.
        let isProved = change.aspects.contains(.type) && change.stamp?.isFolder == true
        if !force, !isProved, let reason = conflictNow(change) {
            failures.append("\(Self.text(change.path)) \(reason), and is left as it is")
            return false
        }
        do throws(Errno) {
            do throws(Errno) { try perform(step) } catch {
                guard error == .permissionDenied, openUp(change.path) else { throw error }
                try perform(step)
            }
            return true
        } catch {
            failures.append("\(Self.text(change.path)) cannot be applied (\(error))")
            return false
        }
    }

    private mutating func perform(_ step: Step) throws(Errno) {
        let change = step.change
        if change.path.isEmpty {
            let status = try tree.status(of: [])
            return try setAttributes(
                of: target.root, [0x2E, 0], from: tree.root, [0x2E, 0], status, change, all: false)
        }
        let (folder, name) = try target.parent(of: change.path)
        switch step {
        case .makeFolder:
            if unsafe mkdirat(folder, name, 0o700) == 0 { return }
            guard errno == EEXIST, let status = try? target.status(of: change.path) else {
                throw Errno(rawValue: errno)
            }
            if status.isFolder { return }
            try Self.checked(unsafe unlinkat(folder, name, 0))
            try Self.checked(unsafe mkdirat(folder, name, 0o700))
        case .place(let number, _):
            try place(Array("\(number)".utf8CString), folder, name, change)
        case .link(let first, _): try link(first, folder, name, change)
        case .setAttributes(_, let ofFolder):
            let status = try tree.status(of: change.path)
            let (parent, own) = try tree.parent(of: change.path)
            try setAttributes(
                of: folder, name, from: parent, own, status, change,
                all: change.kind == .added || change.aspects.contains(.type))
            if !ofFolder, let now = try? target.status(of: change.path) {
                touched.insert(FileNumber(now))
            }
        }
    }

    /// Makes a path a further name of another, or a copy where the disk does not let it be one.
    private mutating func link(
        _ first: [UInt8], _ folder: Int32, _ name: [CChar], _ change: TreeChange
    ) throws(Errno) {
        let fresh = Array("link".utf8CString)
        let (from, own) = try FolderWalk(target.root).parentKept(of: first)
        defer { close(from) }
        if unsafe linkat(from, own, stage, fresh, 0) != 0 {
            try make(change, try tree.status(of: change.path), in: stage, as: fresh)
        }
        try place(fresh, folder, name, change)
        // Where both are names of one file already, rename(2) does nothing.
        _ = unsafe unlinkat(stage, fresh, 0)
    }

    /// Moves what is staged to its place.
    private mutating func place(
        _ staged: [CChar], _ folder: Int32, _ name: [CChar], _ change: TreeChange
    ) throws(Errno) {
        if unsafe renameat(stage, staged, folder, name) == 0 { return }
        guard errno == EXDEV else { throw Errno(rawValue: errno) }
        // Something else is mounted there: once more beside the place.
        let beside = stageName
        let status = try tree.status(of: change.path)
        do throws(Errno) {
            try make(change, status, in: folder, as: beside)
            try Self.checked(unsafe renameat(folder, beside, folder, name))
        } catch {
            _ = unsafe unlinkat(folder, beside, 0)
            throw error
        }
    }

    // MARK: folders that their owner may not write

    /// Makes the folders above a path writable, where they are the caller's own.
    ///
    /// - Returns: whether there was one that was not.
    private mutating func openUp(_ path: [UInt8]) -> Bool {
        var isOpened = false
        let slashes = path.indices.filter { path[$0] == UInt8(ascii: "/") }
        for above in [[]] + slashes.map({ Array(path[..<$0]) }) {
            guard let status = try? target.status(of: above), status.isFolder,
                status.st_uid == geteuid(), status.st_mode & 0o300 != 0o300,
                setMode(status.st_mode & 0o7777 | 0o700, ofFolder: above)
            else { continue }
            if opened[above] == nil { opened[above] = status.st_mode & 0o7777 }
            isOpened = true
        }
        return isOpened
    }

    /// Gives folders that were made writable their modes back, those below first.
    ///
    /// - Parameter isApplied: whether those that get other modes have them already.
    private mutating func closeUp(_ isApplied: Bool) {
        let others = changes.filter {
            isApplied && $0.kind == .changed && $0.aspects.contains(.mode)
        }
        let given = made.union(others.map(\.path)).union(becoming)
        for (path, mode) in opened.sorted(by: { $0.key.count > $1.key.count })
        where !given.contains(path) {
            _ = setMode(mode, ofFolder: path)
        }
        opened = [:]
    }

    private func setMode(_ mode: mode_t, ofFolder path: [UInt8]) -> Bool {
        guard let folder = try? target.open(path[...]) else { return false }
        defer { close(folder) }
        return unsafe PathBytes("/proc/self/fd/\(folder)").withCString {
            unsafe chmod($0, mode)
        } == 0
    }

    // MARK: words

    private func cannot(_ path: [UInt8], _ error: Int32) -> MountError {
        let what = path.isEmpty ? "the changes" : Self.text(path)
        return MountError(
            .system,
            "\(what) cannot be applied (\(Errno(rawValue: error))), and nothing is: look at the room on "
                + "that disk and at who may write there")
    }

    private static func path(_ folder: [UInt8], _ name: [UInt8]) -> [UInt8] {
        folder.isEmpty ? name : folder + [UInt8(ascii: "/")] + name
    }

    private static func folder(of path: [UInt8]) -> [UInt8] {
        path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[..<$0]) } ?? []
    }

    static func text(_ path: [UInt8]) -> String {
        path.isEmpty ? "." : ShellQuote.quoted(ByteText.shortened(path))
    }
}

extension ChangeApplier.Step {
    fileprivate var change: TreeChange {
        switch self {
        case .makeFolder(let change), .place(_, let change), .link(_, let change),
            .setAttributes(let change, _):
            change
        }
    }
}

extension SourceStamp {
    var isFolder: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFDIR) }

    /// Whether a file on disk is still the one that was read.
    func matches(_ status: stat, withChangeTime: Bool) -> Bool {
        var now = SourceStamp()
        now.disk = UInt64(status.st_dev)
        now.inode = UInt64(status.st_ino)
        now.mode = status.st_mode
        now.size = status.type == S_IFREG ? UInt64(status.st_size) : 0
        now.modified = Int64(status.st_mtim.tv_sec)
        now.modifiedNanoseconds = UInt32(status.st_mtim.tv_nsec)
        now.changed = Int64(status.st_ctim.tv_sec)
        now.changedNanoseconds = UInt32(status.st_ctim.tv_nsec)
        if !withChangeTime {
            (now.changed, now.changedNanoseconds) = (changed, changedNanoseconds)
        }
        return now == self
    }
}
