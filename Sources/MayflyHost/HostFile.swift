// Small files and links of /proc and /sys, read whole. Nothing here touches a mount's own content.

import Glibc
package import SystemPackage

package enum HostFile {
    /// What the file at `path` holds, as `PathBytes` has text; nil when it cannot be read.
    package static func text(at path: String) -> String? {
        bytes(at: path).map { ByteText.text(of: $0) }
    }

    /// The words of a line `name: words`, as /proc/PID/status and fdinfo have them; nil where there is no such line.
    ///
    /// Bytes are looked at, not characters: `mayfly mount` reads such files several times, and its user waits.
    package static func field(_ name: String, in text: String) -> [Substring]? {
        var lines = text.utf8[...]
        while !lines.isEmpty {
            let line = lines.prefix { $0 != UInt8(ascii: "\n") }
            lines = lines[line.endIndex...].dropFirst()
            guard line.starts(with: name.utf8) else { continue }
            let rest = line.dropFirst(name.utf8.count)
            guard rest.first == UInt8(ascii: ":") else { continue }
            return rest.dropFirst().split { $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") }
                .map { Substring($0) }
        }
        return nil
    }

    /// What the file at `path` holds; nil when it cannot be read.
    ///
    /// - Parameter limit: where to stop; a file of /proc is made no further than it is read.
    package static func bytes(at path: String, atMost limit: Int = .max) -> [UInt8]? {
        content(of: unsafe open(path, O_RDONLY | O_CLOEXEC), atMost: limit)
    }

    package static func bytes(at path: PathBytes, atMost limit: Int = .max) -> [UInt8]? {
        content(
            of: unsafe path.withCString { unsafe open($0, O_RDONLY | O_CLOEXEC) }, atMost: limit)
    }

    /// Reads and closes; nil for what could not be opened.
    private static func content(of descriptor: Int32, atMost limit: Int) -> [UInt8]? {
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(16384, limit))
        while content.count < limit {
            let count = unsafe chunk.withUnsafeMutableBytes { buffer in
                unsafe read(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return nil
            }
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        return content
    }

    /// Where the symbolic link at `path` leads; nil when it cannot be read.
    package static func link(at path: String) -> String? { linkBytes(at: PathBytes(path))?.text }

    /// The same for paths as they are.
    package static func linkBytes(at path: PathBytes) -> PathBytes? {
        let target = unsafe [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX) + 64) {
            buffer, count in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            count = unsafe path.withCString { path in
                max(
                    0,
                    unsafe readlink(
                        path, bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count))
            }
        }
        // No link leads to an empty path: symlink(2).
        return target.isEmpty ? nil : PathBytes(bytes: target)
    }

    /// The names in the folder at `path`, without "." and ".."; empty when it cannot be read.
    package static func names(in path: String) -> [String] { namesIfReadable(in: path) ?? [] }

    /// Whether the folder at `path` can be read and holds nothing.
    package static func isEmpty(_ path: PathBytes) -> Bool {
        namesIfReadable(in: path, limit: 1)?.isEmpty == true
    }

    /// The same; nil when it cannot be read.
    ///
    /// - Parameter limit: how many are read: a folder may be anybody's.
    package static func namesIfReadable(in path: String, limit: Int = .max) -> [String]? {
        namesIfReadable(in: PathBytes(path), limit: limit)
    }

    /// The same for a path as it is.
    package static func namesIfReadable(in path: PathBytes, limit: Int = .max) -> [String]? {
        guard let folder = unsafe path.withCString({ unsafe opendir($0) }) else { return nil }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while names.count < limit, let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe ByteText.text(of: bytes.prefix { $0 != 0 })
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Whether a folder of PATH has a file of that name; true where there is no PATH to look in.
    package static func isInPath(_ name: PathBytes) -> Bool {
        guard let path = ProcessArguments.variable("PATH") else { return true }
        return path.bytes.split(separator: UInt8(ascii: ":")).contains { folder in
            unsafe PathBytes(bytes: folder + [UInt8(ascii: "/")] + name.bytes)
                .withCString { unsafe access($0, F_OK) } == 0
        }
    }

    /// What is at a path.
    package enum Kind: Sendable { case directory, file, link, other }

    /// What is at a path, where no link is followed; nil where there is nothing.
    package static func kind(of path: PathBytes) -> Kind? {
        var status = stat()
        guard unsafe path.withCString({ unsafe lstat($0, &status) }) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG: return .file
        case S_IFLNK: return .link
        default: return .other
        }
    }

    /// Whether there is a directory at a path, or a link to one.
    package static func isDirectory(_ path: PathBytes) -> Bool {
        var status = stat()
        let found = unsafe path.withCString { unsafe stat($0, &status) }
        return found == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Bytes of a file; nil where there is none.
    package static func size(of path: PathBytes) -> UInt64? {
        var status = stat()
        guard unsafe path.withCString({ unsafe stat($0, &status) }) == 0 else { return nil }
        return UInt64(clamping: status.st_size)
    }

    /// Why this process, with its effective user, may not make names in a directory; nil where it may.
    package static func refusalToWrite(_ directory: PathBytes) -> Errno? {
        let code = unsafe directory.withCString {
            unsafe faccessat(AT_FDCWD, $0, W_OK | X_OK, AT_EACCESS)
        }
        return code == 0 ? nil : Errno(rawValue: errno)
    }

    /// `path` without symbolic links, "." and ".."; nil when it does not exist.
    package static func canonical(_ path: PathBytes) -> PathBytes? {
        unsafe path.withCString { path in
            guard let resolved = unsafe realpath(path, nil) else { return nil }
            defer { unsafe free(resolved) }
            return unsafe PathBytes(
                bytes: UnsafeRawBufferPointer(start: resolved, count: strlen(resolved)))
        }
    }

    /// `path` made absolute: its last name kept as it is, the folder above it without links.
    ///
    /// For a mountpoint whose server may be dead and so answers nothing.
    package static func canonicalParent(_ path: PathBytes) -> PathBytes? {
        let slash = UInt8(ascii: "/")
        guard let last = path.names.last, ![[0x2E], [0x2E, 0x2E]].contains(last) else { return nil }
        let above = Array(path.names.dropLast().joined(separator: [slash]))
        let folder = path.isAbsolute ? [slash] + above : above.isEmpty ? [0x2E] : above
        guard let parent = canonical(PathBytes(bytes: folder)) else { return nil }
        return PathBytes(bytes: (parent == "/" ? [] : parent.bytes) + [slash] + last)
    }
}
