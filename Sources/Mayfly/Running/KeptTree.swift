// `mayfly run --keep`: what is copied out of the mount when the command has failed.

import Glibc
import SystemPackage

/// Where the tree goes, and the program that takes it there.
struct KeptTree {
    /// Absolute: a directory that is not there yet or empty, or a file whose name ends in .tar.
    let target: String
    private let isArchive: Bool

    /// - Throws: `.usage` when `path` cannot be made or would cover something.
    init(_ path: String) throws(MountError) {
        isArchive = path.hasSuffix(".tar")
        guard let target = HostFile.canonical(path) ?? HostFile.canonicalParent(path) else {
            throw MountError(
                .usage, "--keep \(path) cannot be made: the folder that it lies in must exist")
        }
        self.target = target
        var status = stat()
        guard unsafe lstat(target, &status) == 0 else {
            let folder = target.split(separator: "/").dropLast().joined(separator: "/")
            try Self.checkWritable("/\(folder)", path)
            return
        }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        let isFree = !isArchive && isDirectory && HostFile.names(in: target).isEmpty
        guard isFree else {
            throw MountError(
                .usage, "--keep \(path) exists: name a new directory, or a new file ending in .tar")
        }
        try Self.checkWritable(target, path)
    }

    /// Before the command has run: what it makes would be lost.
    private static func checkWritable(_ folder: String, _ path: String) throws(MountError) {
        if unsafe faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 { return }
        let error = Errno(rawValue: errno)
        throw MountError(
            .usage, "--keep \(path) cannot be made (\(error)): name one in a folder of yours")
    }

    /// What copies everything below `root`: owners, modes, times, extended attributes, access
    /// lists, hard links and holes.
    ///
    /// Programs that every machine has, in a process that still has the caller's privileges.
    func command(copying root: String) -> [String] {
        if isArchive {
            return [
                "tar", "--create", "--file=\(target)", "--acls", "--xattrs", "--xattrs-include=*",
                "--sparse", "--numeric-owner", "--directory=\(root)", ".",
            ]
        }
        return ["cp", "--archive", "--no-target-directory", "--", "\(root)/.", target]
    }
}
