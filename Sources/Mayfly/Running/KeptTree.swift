// `mayfly run --keep`: what is copied out of the mount when the command has failed.

import Glibc
import SystemPackage

/// Where the tree goes, and what takes it there.
final class KeptTree {
    /// Absolute: a directory that is not there yet or empty, or a file that is not there.
    let target: String
    private let form: Form
    /// The directory, where it is there already; -1 otherwise.
    private let folder: Int32

    /// By the end of its name: ".tar", ".mayfly" for an image, or anything else.
    private enum Form { case directory, archive, image }

    var isImage: Bool { form == .image }

    /// - Throws: `.usage` when `path` cannot be made or would cover something.
    init(_ path: String) throws(MountError) {
        form = path.hasSuffix(".tar") ? .archive : path.hasSuffix(".mayfly") ? .image : .directory
        // The last name is not followed where it is a link: the link may be another user's.
        guard let target = HostFile.canonicalParent(path) ?? HostFile.canonical(path) else {
            throw MountError(
                .usage, "--keep \(path) cannot be made: the folder that it lies in must exist")
        }
        self.target = target
        var status = stat()
        guard unsafe lstat(target, &status) == 0 else {
            folder = -1
            let above = target.split(separator: "/").dropLast().joined(separator: "/")
            try Self.checkWritable("/\(above)", path)
            return
        }
        guard form == .directory, status.st_mode & S_IFMT == S_IFDIR,
            HostFile.names(in: target).isEmpty
        else {
            throw MountError(
                .usage,
                "--keep \(path) exists: name a new directory, or a new file ending in .tar or .mayfly")
        }
        try Self.checkWritable(target, path)
        folder = try Self.open(target, path)
    }

    deinit { if folder >= 0 { close(folder) } }

    /// Opens an empty directory that is the caller's, so that it is the same one in the end.
    private static func open(_ target: String, _ path: String) throws(MountError) -> Int32 {
        let descriptor = unsafe Glibc.open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw MountError(
                .usage,
                "--keep \(path) cannot be opened (\(Errno(rawValue: errno))): name a new directory")
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_uid == geteuid() || geteuid() != 0
        else {
            close(descriptor)
            throw MountError(
                .usage, "--keep \(path) is another user's directory: name a new one, or your own")
        }
        return descriptor
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
    /// Programs that every machine has, in a process that still has the caller's privileges. They
    /// are given an open file or directory to write, never a name that somebody else may have taken.
    ///
    /// - Returns: nil for an image, which the server writes.
    func command(copying root: String) -> Keeper.Second? {
        if form == .image { return nil }
        if form == .archive {
            return Keeper.Second(
                arguments: [
                    "tar", "--create", "--file=-", "--acls", "--xattrs", "--xattrs-include=*",
                    "--sparse", "--numeric-owner", "--directory=\(root)", ".",
                ], place: .newFile, target: target)
        }
        return Keeper.Second(
            arguments: ["cp", "--archive", "--no-target-directory", "--", "\(root)/.", "."],
            place: folder >= 0 ? .folder(folder) : .newFolder, target: target)
    }
}
