// Installation: the files of `mayfly install`, which the command carries in itself, and their list, by which
// `mayfly uninstall` takes them away again.

import ArgumentParser
import Glibc
import Mayfly
import MayflyHost

/// Mayfly's files below a prefix.
struct Installation {
    enum Content {
        case text(String)
        /// This program.
        case program
        /// A symbolic link.
        case link(String)
    }

    struct File {
        /// Absolute, on the machine that it is for.
        let path: String
        var mode: mode_t = 0o644
        let content: Content
    }

    /// Absolute, without a slash at the end.
    let prefix: String
    /// What stands before every path while a package is made; empty otherwise.
    let root: String

    /// Where the list of files is.
    var listPath: String { "\(prefix)/share/mayfly/files" }

    /// Whether systemd and mount(8) look below the prefix.
    var isSystemWide: Bool { ["/usr", "/usr/local"].contains(prefix) }

    /// mount(8) looks for helpers in /sbin alone.
    private var helperFolder: String { prefix == "/usr" ? "/usr/sbin" : "/sbin" }

    func files() -> [File] {
        let binary = "\(prefix)/bin/mayfly"
        var files = [File(path: binary, mode: 0o755, content: .program)]
        for page in ManualPage.all() {
            files.append(
                File(
                    path: "\(prefix)/share/man/man1/\(page.name).1", content: .text(page.text)))
        }
        let completions = [
            ("bash-completion/completions/mayfly", MayflyCommand.completionScript(for: .bash)),
            ("zsh/site-functions/_mayfly", MayflyCommand.completionScript(for: .zsh)),
            ("fish/vendor_completions.d/mayfly.fish", MayflyCommand.completionScript(for: .fish)),
        ]
        for (name, script) in completions {
            files.append(File(path: "\(prefix)/share/\(name)", content: .text(script)))
        }
        guard isSystemWide else { return files }
        files.append(
            File(
                path: "\(prefix)/lib/systemd/system/\(SystemdUnit.name)",
                content: .text(SystemdUnit.text(binary: binary))))
        for name in ["mount.mayfly", "mount.fuse.mayfly"] {
            files.append(File(path: "\(helperFolder)/\(name)", content: .link(binary)))
        }
        return files
    }

    // MARK: installing

    /// Writes every file, each as a whole, in place of those that an earlier installation wrote.
    ///
    /// - Parameter force: also in place of what somebody else has written.
    /// - Returns: the paths.
    func install(force: Bool) throws(MountError) -> [String] {
        let files = files()
        let known = Set(listed() ?? [])
        if !force {
            for file in files where !known.contains(file.path) && exists(file.path) {
                throw MountError(
                    .usage,
                    "\(root)\(file.path) is there already and no file of an earlier `mayfly install`: "
                        + "remove it, give another --prefix, or --force")
            }
        }
        let paths = files.map(\.path)
        // First, so that an installation that breaks off can be taken away.
        try write(
            File(
                path: listPath,
                content: .text(
                    (paths + known.subtracting(paths).sorted()).map { "\($0)\n" }.joined())))
        for file in files { try write(file) }
        for path in known.subtracting(paths) { remove(path) }
        try write(File(path: listPath, content: .text(paths.map { "\($0)\n" }.joined())))
        return paths
    }

    private func write(_ file: File) throws(MountError) {
        let path = root + file.path
        try makeFolders(for: path)
        let temporary = "\(path).new-\(getpid())"
        func fail(_ error: Int32) -> MountError {
            _ = unsafe unlink(temporary)
            return MountError(
                error == EACCES || error == EPERM || error == EROFS ? .usage : .system,
                "\(path) cannot be written (\(unsafe String(cString: strerror(error)))): run it as root, or give "
                    + "--prefix with a folder of yours, such as ~/.local")
        }
        _ = unsafe unlink(temporary)
        switch file.content {
        case .link(let target):
            guard unsafe symlink(target, temporary) == 0 else { throw fail(errno) }
        case .text(let text):
            let error = Self.create(temporary, file.mode) { Self.put(Array(text.utf8), to: $0) }
            if error != 0 { throw fail(error) }
        case .program:
            let error = Self.create(temporary, file.mode, Self.copyProgram)
            if error != 0 { throw fail(error) }
        }
        guard unsafe rename(temporary, path) == 0 else { throw fail(errno) }
    }

    private func makeFolders(for path: String) throws(MountError) {
        var made = ""
        for part in path.split(separator: "/").dropLast() {
            made += "/\(part)"
            guard unsafe mkdir(made, 0o755) != 0, errno != EEXIST, errno != EROFS else { continue }
            let error = errno
            var status = stat()
            if unsafe stat(made, &status) == 0 { continue }
            throw MountError(
                .usage,
                "\(made) cannot be made (\(unsafe String(cString: strerror(error)))): run it as root, or give --prefix "
                    + "with a folder of yours, such as ~/.local")
        }
    }

    /// - Returns: 0 or an errno.
    private static func create(
        _ path: String, _ mode: mode_t, _ body: (Int32) -> Int32
    ) -> Int32 {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard file >= 0 else { return errno }
        defer { close(file) }
        // Whatever the umask is: everybody may run it.
        guard fchmod(file, mode) == 0 else { return errno }
        return body(file)
    }

    private static func put(_ bytes: [UInt8], to file: Int32) -> Int32 {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress, $0.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            rest = rest.dropFirst(count)
        }
        return 0
    }

    private static func copyProgram(to file: Int32) -> Int32 {
        let program = unsafe open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        guard program >= 0 else { return errno }
        defer { close(program) }
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = unsafe read(program, &piece, piece.count)
            if count == 0 { return 0 }
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            let error = put(Array(piece[..<count]), to: file)
            if error != 0 { return error }
        }
    }

    // MARK: taking away

    /// Removes the files of the list, and the folders that only they were in.
    ///
    /// - Returns: the paths that were there.
    func uninstall() throws(MountError) -> [String] {
        guard let paths = listed() else {
            throw MountError(
                .usage,
                "\(root)\(listPath) is not there, so nothing was installed by `mayfly install` below \(prefix): give "
                    + "the --prefix that it was installed with, or use the system's package manager"
            )
        }
        var removed: [String] = []
        for path in paths where exists(path) {
            guard remove(path) else {
                throw MountError(
                    .usage,
                    "\(root)\(path) cannot be removed (\(unsafe String(cString: strerror(errno)))): run it as root"
                )
            }
            removed.append(path)
        }
        remove(listPath)
        for path in paths + [listPath] { removeEmptyFolders(above: path) }
        return removed
    }

    private func listed() -> [String]? {
        HostFile.text(at: root + listPath).map { text in
            // Nothing else is ever removed, whatever the list says.
            text.split(separator: "\n").map(String.init).filter { path in
                (path.hasPrefix("\(prefix)/") || path.hasPrefix("/sbin/mount."))
                    && path.contains("mayfly") && !path.contains("/../")
            }
        }
    }

    private func exists(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(root + path, &status) == 0
    }

    @discardableResult
    private func remove(_ path: String) -> Bool { unsafe unlink(root + path) == 0 }

    /// Not the prefix itself, nor what is not empty.
    private func removeEmptyFolders(above path: String) {
        var parts = path.split(separator: "/").dropLast()
        while "/\(parts.joined(separator: "/"))".hasPrefix("\(prefix)/") {
            guard unsafe rmdir("\(root)/\(parts.joined(separator: "/"))") == 0 else { return }
            parts = parts.dropLast()
        }
    }
}
