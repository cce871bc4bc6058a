// `mayfly run --over DIR`: folders that the command sees at their own paths, with what they hold, and changes
// in memory.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost
import MayflyImages
import SystemPackage

/// Folders in memory for the time of one run.
final class OverRun {
    private struct Folder {
        let path: PathBytes
        /// What lies there on disk, whatever is mounted on its path.
        let disk: Int32
        let stamps = FolderStamps()
    }

    private let plan: OverPlan
    private let folders: [Folder]
    private let patterns: IgnorePatterns
    private let caller: CallerProcess
    /// nil for who may mount as he is, and so may set owners.
    private let owner: (user: UInt32, group: UInt32)?

    /// Opens everything while this process has the caller's rights, and starts the process that keeps them.
    ///
    /// - Precondition: the process has one thread, and is in no namespace of its own yet.
    init(_ plan: OverPlan) throws(MountError) {
        self.plan = plan
        patterns = try Self.patterns(plan)
        let folders = try Self.open(plan)
        self.folders = folders
        let keptPath = try plan.keepPath.map { path throws(MountError) in
            try Self.free(path)
        }
        let mayMount = MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))
        owner = mayMount ? nil : (geteuid(), getegid())
        do throws(MountError) {
            caller = try CallerProcess(
                targets: folders.map(\.disk), keptPath: keptPath, setsOwners: mayMount)
        } catch {
            for folder in folders { close(folder.disk) }
            throw error
        }
    }

    deinit { for folder in folders { close(folder.disk) } }

    var paths: [PathBytes] { folders.map(\.path) }

    private static func patterns(_ plan: OverPlan) throws(MountError) -> IgnorePatterns {
        var patterns = IgnorePatterns()
        // What is given by itself counts more than a file.
        for file in plan.excludeFiles {
            guard let bytes = HostFile.bytes(at: file.text) else {
                throw MountError(
                    .usage,
                    "--exclude-from \(file) cannot be read (\(Errno(rawValue: errno))): name a file with a "
                        + "pattern on each line, such as .gitignore")
            }
            patterns.add(file: bytes)
        }
        for pattern in plan.excludes { patterns.add(pattern.bytes) }
        return patterns
    }

    private static func open(_ plan: OverPlan) throws(MountError) -> [Folder] {
        var folders: [Folder] = []
        var isWhole = false
        defer { if !isWhole { for folder in folders { close(folder.disk) } } }
        for given in plan.folders {
            guard let path = HostFile.canonical(given), HostFile.isDirectory(path) else {
                let reason =
                    HostFile.canonical(given) == nil
                    ? "\(Errno(rawValue: errno))" : "it is no folder"
                throw MountError(
                    .usage, "bad --over \(given) (\(reason)): name a folder that exists")
            }
            if path == "/" {
                throw MountError(.usage, "--over / would be everything: name a folder in it")
            }
            let disk = unsafe path.withCString {
                unsafe Glibc.open($0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            }
            guard disk >= 0 else {
                throw MountError(
                    .usage,
                    "--over \(given) cannot be read (\(Errno(rawValue: errno))): name another")
            }
            let folder = Folder(path: path, disk: disk)
            let overlap = folders.first {
                $0.path.contains(path) || path.contains($0.path) || Self.isSame($0.disk, disk)
            }
            folders.append(folder)
            if let overlap {
                throw MountError(
                    .usage,
                    overlap.path == path || Self.isSame(overlap.disk, disk)
                        ? "--over \(given) and --over \(overlap.path) are one folder: name it once"
                        : "--over \(given) and --over \(overlap.path) lie in each other: name the outer one"
                )
            }
            var room = statvfs()
            if plan.applying != .never, unsafe fstatvfs(disk, &room) == 0, room.f_flag & 1 != 0 {
                throw MountError(
                    .usage,
                    "\(path) is on a file system that is mounted read-only, so changes cannot be applied to "
                        + "it: leave --apply and --ask out, or give --keep-changes")
            }
        }
        isWhole = true
        return folders
    }

    private static func isSame(_ one: Int32, _ other: Int32) -> Bool {
        var (a, b) = (stat(), stat())
        return unsafe fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev
            && a.st_ino == b.st_ino
    }

    /// - Throws: `.usage` before the command has run, whose changes would be lost otherwise.
    private static func free(_ keep: PathBytes) throws(MountError) -> PathBytes {
        guard let path = HostFile.canonicalParent(keep) else {
            throw MountError(
                .usage,
                "--keep-changes \(keep) cannot be made: the folder that it lies in must exist")
        }
        if HostFile.kind(of: path) != nil {
            throw MountError(.usage, "--keep-changes \(keep) exists: name a new file")
        }
        if let error = HostFile.refusalToWrite(path.parent) {
            throw MountError(
                .usage,
                "--keep-changes \(keep) cannot be made (\(error)): name one in a folder of yours")
        }
        return path
    }

    // MARK: the beginning

    /// Brings the folders into memory.
    ///
    /// - Parameter isCancelled: whether somebody wants an end before that is done.
    /// - Throws: `.usage` with the path of what cannot be read.
    func bringIn(
        _ configuration: MountConfiguration, isCancelled: @escaping @Sendable () -> Bool
    ) throws(MountError) -> [BroughtTree] {
        var trees: [BroughtTree] = []
        for folder in folders {
            let (path, stamps, patterns, owner) = (folder.path, folder.stamps, patterns, owner)
            do throws(MountError) {
                trees.append(
                    try BroughtTree(
                        opening: { () throws(TreeError) in
                            try FolderSource(
                                path.bytes, leavingOut: patterns, owner: owner,
                                isCancelled: isCancelled, note: { stamps.note($0, $1) })
                        }, of: folder.path, for: configuration))
            } catch {
                throw MountError(
                    error.kind,
                    "\(error.text); or leave parts of \(folder.path) out with --exclude")
            }
            var status = stat()
            let first = folder.stamps[[]]
            guard unsafe fstat(folder.disk, &status) == 0, first?.inode == UInt64(status.st_ino),
                first?.disk == UInt64(status.st_dev)
            else {
                throw MountError(.usage, "\(folder.path) was replaced meanwhile: run it again")
            }
        }
        return trees
    }

    // MARK: the end

    /// How a command ended, for what is done with its changes.
    struct Ending {
        let status: Int32
        let signal: Int32?
        /// Whether its status says nothing, as that of a shell in which somebody typed.
        let isTyped: Bool
        let isQuiet: Bool
        /// Whether the user has interrupted since the last call.
        let wasInterrupted: () -> Bool

        var isSuccess: Bool { status == 0 || isTyped && signal == nil }
    }

    /// Tells what was changed, and does with it what was asked for.
    ///
    /// - Parameter mounts: of the folders, in their order.
    /// - Returns: what the report is to have; with whether all went as it was asked for.
    func end(
        _ mounts: [MountedFileSystem], _ ending: Ending, _ say: (String) -> Void
    ) throws(MountError) -> (items: [OverReport], isDone: Bool) {
        var items: [OverReport] = []
        var isDone = true
        for (number, mount) in mounts.enumerated() {
            let folder = folders[number]
            let tree = unsafe folder.path.withCString {
                unsafe Glibc.open($0, CSYS_O_PATH | O_DIRECTORY | O_CLOEXEC)
            }
            // Closed before the mount ends, which it would keep busy.
            defer { if tree >= 0 { close(tree) } }
            let changes = try self.changes(of: mount, folder, tree)
            var item = OverReport(folder.path, changes)
            if !ending.isQuiet || plan.applying == .asking {
                for line in ChangeSummary.lines(changes, in: folder.path) { say(line) }
            }
            if !changes.isEmpty {
                item.kept = try keep(mount, changes, quiet: ending.isQuiet, say)
                if wantsToApply(folder.path, ending, item.kept, say) {
                    item.isApplied = try apply(
                        changes, number, tree, mount, &item.kept, ending, say)
                    if !item.isApplied { isDone = false }
                }
            }
            items.append(item)
        }
        return (items, isDone)
    }

    private func wantsToApply(
        _ path: PathBytes, _ ending: Ending, _ kept: PathBytes?, _ say: (String) -> Void
    ) -> Bool {
        switch plan.applying {
        case .always: return true
        case .afterSuccess:
            if ending.isSuccess { return true }
            say(
                "the command failed, so nothing is applied to \(path): --apply-always applies changes in any "
                    + "case")
            return false
        case .asking:
            let how = ending.isSuccess ? "" : "The command failed with status \(ending.status). "
            return ask("\(how)Apply these changes to \(path)?", ending)
        case .never:
            if !ending.isQuiet, kept == nil {
                say(
                    "\(path) stays as it is: --apply applies changes to it, --ask asks, --keep-changes "
                        + "FILE.tar keeps them")
            }
            return false
        }
    }

    private func changes(
        of mount: MountedFileSystem, _ folder: Folder, _ tree: Int32
    ) throws(MountError) -> [TreeChange] {
        let walk = FolderWalk(tree)
        return try mount.differencesSinceStart().compactMap { difference in
            let path = difference.path == "." ? [] : PathBytes(difference.path).bytes
            if difference.kind != .removed, !patterns.isEmpty {
                let isFolder = (try? walk.status(of: path))?.isFolder ?? false
                // What was left out, and is made anew, is not the folder's.
                if patterns.leavesOutWithAbove(path, isFolder: isFolder) { return nil }
            }
            return TreeChange(
                kind: difference.kind, aspects: Set(difference.aspects), path: path,
                stamp: difference.kind == .added ? nil : folder.stamps[path])
        }
    }

    private func apply(
        _ changes: [TreeChange], _ number: Int, _ tree: Int32, _ mount: MountedFileSystem,
        _ kept: inout PathBytes?, _ ending: Ending, _ say: (String) -> Void
    ) throws(MountError) -> Bool {
        let path = folders[number].path
        var outcome = caller.apply(changes, to: number, from: tree, force: plan.forces)
        if !outcome.conflicts.isEmpty {
            for line in outcome.conflicts.prefix(Self.mostLines) { say("  \(line)") }
            let more = outcome.conflicts.count - Self.mostLines
            if more > 0 { say("  ... and \(more) more") }
            if plan.applying == .asking,
                ask("\(path) is not as it was. Apply the changes all the same?", ending)
            {
                outcome = caller.apply(changes, to: number, from: tree, force: true)
            }
        }
        if outcome.conflicts.isEmpty, outcome.refusal == nil {
            for line in outcome.failures { say(line) }
            if outcome.failures.isEmpty {
                if !ending.isQuiet { say("the changes are applied to \(path)") }
                return true
            }
            say("the changes are applied to \(path), but for \(outcome.failures.count)")
        } else if let refusal = outcome.refusal {
            say("\(path): \(refusal)")
        } else {
            say(
                "\(path) is not as it was when the run began, so nothing is applied: --force applies changes "
                    + "all the same")
        }
        // What was to be applied is not to be lost with the mount.
        if kept == nil { kept = try rescue(mount, changes, say) }
        return false
    }

    /// Lines of one kind that are shown at most.
    private static let mostLines = 20

    private func keep(
        _ mount: MountedFileSystem, _ changes: [TreeChange], quiet: Bool, _ say: (String) -> Void
    ) throws(MountError) -> PathBytes? {
        guard let keepPath = plan.keepPath else { return nil }
        let path = try write(mount, changes, to: .kept, isImage: keepPath.hasSuffix(".mayfly"))
        if !quiet { say("the changes are kept in \(path)") }
        return path
    }

    private func rescue(
        _ mount: MountedFileSystem, _ changes: [TreeChange], _ say: (String) -> Void
    ) throws(MountError) -> PathBytes {
        let path = try write(mount, changes, to: .rescued, isImage: false)
        say("the changes are kept in \(path)")
        return path
    }

    private func write(
        _ mount: MountedFileSystem, _ changes: [TreeChange], to file: CallerProcess.NewFile,
        isImage: Bool
    ) throws(MountError) -> PathBytes {
        do throws(MountError) {
            let (descriptor, path) = try caller.make(file)
            defer { close(descriptor) }
            do throws(MountError) {
                if isImage {
                    try mount.writeImage(to: descriptor)
                } else {
                    try writeTar(mount, changes, to: descriptor)
                }
            } catch {
                caller.removeMade()
                throw error
            }
            return path
        } catch { throw MountError(.system, "the changes are lost: \(error.text)") }
    }

    private func writeTar(
        _ mount: MountedFileSystem, _ changes: [TreeChange], to descriptor: Int32
    ) throws(MountError) {
        let gone = changes.filter { $0.kind == .removed }.map(\.path)
        let names = Set(gone)
        _ = try mount.exportTar(
            of: Set(changes.filter { $0.kind != .removed }.map(\.path)),
            // Of what is gone with its folder, the folder says enough.
            gone: gone.filter { path in
                let slash = path.lastIndex(of: UInt8(ascii: "/"))
                return slash.map { !names.contains(Array(path[..<$0])) } ?? true
            }, to: descriptor)
    }

    /// Asks on the terminal; anything but yes is no.
    private func ask(_ question: String, _ ending: Ending) -> Bool {
        let terminal = unsafe Glibc.open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard terminal >= 0 else { return false }
        defer { close(terminal) }
        csys_take_terminal()
        _ = ending.wasInterrupted()
        let text = Array("mayfly: \(ShellQuote.escaped(question)) [y/N] ".utf8)
        _ = unsafe Glibc.write(terminal, text, text.count)
        var ready = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
        // A signal is taken by another thread.
        while unsafe poll(&ready, 1, 100) == 0 {
            if ending.wasInterrupted() {
                _ = unsafe Glibc.write(terminal, "\n", 1)
                return false
            }
        }
        var answer = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(terminal, &answer, answer.count)
        guard count > 0 else { return false }
        let word = String(decoding: answer.prefix(count), as: UTF8.self).lowercased()
        return ["y\n", "yes\n"].contains(word)
    }
}
