// What the changes need is made beside the folder first: new content, links and special files, complete, so that
// carrying out is renames.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

extension ChangeApplier {
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
    func checkWritable() throws(MountError) {
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
    static let readOnly: UInt = 1

    /// Whether another file takes the place of what has the name.
    func isReplaced(_ change: TreeChange) -> Bool {
        !change.aspects.isDisjoint(with: [.type, .content, .size, .target, .device])
    }

    /// Makes the folder for what is staged, when it is needed: in the target's root, or where that may not be
    /// written as near to a path as it can be.
    mutating func makeStage(near path: [UInt8]) throws(Errno) {
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

    mutating func makeStage(in folder: [UInt8]) throws(Errno) {
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
    mutating func discard(isApplied: Bool = false) {
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

    mutating func plan() throws(MountError) {
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
    func unchangedNames(
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
    mutating func make(
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
    func openContent(
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

    static func checked(_ code: Int32) throws(Errno) {
        if code < 0 { throw Errno(rawValue: errno) }
    }

    func link(_ folder: Int32, _ name: [CChar]) throws(Errno) -> [CChar] {
        var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlinkat(folder, name, &target, Int(PATH_MAX))
        guard count >= 0 else { throw Errno(rawValue: errno) }
        return Array(target.prefix(count)) + [0]
    }
}
