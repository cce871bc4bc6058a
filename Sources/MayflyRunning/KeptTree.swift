// `mayfly run --keep`: what is copied out of the mount when the command has failed.

import Glibc
import Mayfly
import MayflyHost
import SystemPackage

/// Where the tree goes, and what takes it there.
final class KeptTree {
    /// Absolute: a directory that is not there yet or empty, or a file that is not there.
    let target: PathBytes
    private let form: Form
    /// The directory, where it is there already; -1 otherwise.
    private let folder: Int32

    /// By the end of its name: ".tar" and its like, ".mayfly" for an image, or anything else.
    private enum Form: Equatable { case directory, archive(ArchiveForm), image }

    var isImage: Bool { form == .image }

    /// - Throws: `.usage` when `path` cannot be made or would cover something.
    init(_ path: PathBytes) throws(MountError) {
        if path == "-" {
            throw MountError.noStream("--keep", "the standard output is the command's; a tree")
        }
        form = try Self.form(of: path)
        // The last name is not followed where it is a link: the link may be another user's.
        guard let target = HostFile.canonicalParent(path) ?? HostFile.canonical(path) else {
            throw MountError(
                .usage, "--keep \(path) cannot be made: the folder that it lies in must exist")
        }
        self.target = target
        var status = stat()
        guard unsafe target.withCString({ unsafe lstat($0, &status) }) == 0 else {
            folder = -1
            let above = target.bytes[...(target.bytes.lastIndex(of: UInt8(ascii: "/")) ?? 0)]
            try Self.checkWritable(PathBytes(bytes: above), path)
            return
        }
        guard form == .directory, status.st_mode & S_IFMT == S_IFDIR, HostFile.isEmpty(target)
        else {
            throw MountError(
                .usage,
                "--keep \(path) exists: name a new directory, or a new file ending in .tar or .mayfly"
            )
        }
        try Self.checkWritable(target, path)
        folder = try Self.open(target, path)
    }

    deinit { if folder >= 0 { close(folder) } }

    private static func form(of path: PathBytes) throws(MountError) -> Form {
        if path.hasSuffix(".mayfly") { return .image }
        guard let archive = try ArchiveForm.named(path, option: "--keep") else { return .directory }
        if let program = archive.program, !HostFile.isInPath(PathBytes(program)) {
            throw MountError(
                .usage,
                "--keep \(path) takes the program \(program), which is not in PATH: install it, "
                    + "or name a file ending in .tar")
        }
        return .archive(archive)
    }

    /// Opens an empty directory that is the caller's, so that it is the same one in the end.
    private static func open(_ target: PathBytes, _ path: PathBytes) throws(MountError) -> Int32 {
        let descriptor = unsafe target.withCString {
            unsafe Glibc.open($0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        }
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
    private static func checkWritable(
        _ folder: PathBytes, _ path: PathBytes
    ) throws(MountError) {
        let code = unsafe folder.withCString {
            unsafe faccessat(AT_FDCWD, $0, W_OK | X_OK, AT_EACCESS)
        }
        if code == 0 { return }
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
    func command(copying root: PathBytes) -> Keeper.Second? {
        switch form {
        case .image: nil
        case .archive(let archive):
            Keeper.Second(
                arguments: ["tar"] + Self.packing
                    + [archive.tarOption].compactMap { $0.map { PathBytes($0) } }
                    + [PathBytes("--directory=") + root, "."],
                place: .newFile, target: target)
        case .directory:
            Keeper.Second(
                arguments: ["sh", "-c", Self.copying, root],
                place: folder >= 0 ? .folder(folder) : .newFolder, target: target)
        }
    }

    private static let packing: [PathBytes] = [
        "--create", "--file=-", "--format=posix", "--acls", "--xattrs", "--xattrs-include=*",
        "--sparse",
        "--numeric-owner",
    ]

    /// cp(1) goes by paths, of which the kernel takes 4 KiB. So what it finds too long is copied from a
    /// directory halfway down, and again from there; any other error is the end. $0 is the root.
    private static let copying: PathBytes = #"""
        export LC_ALL=C
        export COPY='
            errors=$(cp --archive --no-target-directory -- /proc/self/fd/3/. . 2>&1) && exit
            rest=$(printf "%s\n" "$errors" | grep -av ": File name too long$")
            deep() { (cd /proc/self/fd/3 && find . -type d -regextype posix-extended -regex ".{1900,2200}" -prune "$@"); }
            if [ -n "$rest" ] || [ -z "$(deep -print -quit)" ]; then printf "%s\n" "$errors" >&2; exit 1; fi
            deep -print0 | xargs -0 -n 1 sh -c "exec 3< \"/proc/self/fd/3/\$0\" && cd \"\$0\" && eval \"\$COPY\""'
        exec 3< "$0"
        eval "$COPY"
        """#
}
