// The changes are carried out, each by a rename or a removal.

import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

extension ChangeApplier {
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

    mutating func remove(_ change: TreeChange) {
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
    mutating func attempt(_ step: Step, force: Bool) -> Bool {
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

    mutating func perform(_ step: Step) throws(Errno) {
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
    mutating func link(
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
    mutating func place(
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
    mutating func openUp(_ path: [UInt8]) -> Bool {
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
    mutating func closeUp(_ isApplied: Bool) {
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

    func setMode(_ mode: mode_t, ofFolder path: [UInt8]) -> Bool {
        guard let folder = try? target.open(path[...]) else { return false }
        defer { close(folder) }
        return unsafe PathBytes("/proc/self/fd/\(folder)").withCString {
            unsafe chmod($0, mode)
        } == 0
    }
}
