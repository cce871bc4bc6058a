// `mayfly run --keep`: what is copied out of the mount when the command has failed.

import Glibc
import SystemPackage

/// Where the tree goes, and what takes it there.
struct KeptTree {
    /// Absolute: a directory that is not there yet or empty, or a file that is not there.
    let target: String
    private let form: Form

    /// By the end of its name: ".tar", ".mayfly" for an image, or anything else.
    private enum Form { case directory, archive, image }

    var isImage: Bool { form == .image }

    /// - Throws: `.usage` when `path` cannot be made or would cover something.
    init(_ path: String) throws(MountError) {
        form = path.hasSuffix(".tar") ? .archive : path.hasSuffix(".mayfly") ? .image : .directory
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
        let isFree = form == .directory && isDirectory && HostFile.names(in: target).isEmpty
        guard isFree else {
            throw MountError(
                .usage,
                "--keep \(path) exists: name a new directory, or a new file ending in .tar or .mayfly")
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
    ///
    /// - Returns: nil for an image, which the server writes.
    func command(copying root: String) -> [String]? {
        if form == .image { return nil }
        if form == .archive {
            return [
                "tar", "--create", "--file=\(target)", "--acls", "--xattrs", "--xattrs-include=*",
                "--sparse", "--numeric-owner", "--directory=\(root)", ".",
            ]
        }
        return ["cp", "--archive", "--no-target-directory", "--", "\(root)/.", target]
    }
}
