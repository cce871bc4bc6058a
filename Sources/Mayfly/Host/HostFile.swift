// Small files and links of /proc and /sys, read whole. Nothing here touches a mount's own content.

import Glibc

enum HostFile {
    /// What the file at `path` holds, decoded as UTF-8 with repairs; nil when it cannot be read.
    static func text(at path: String) -> String? {
        bytes(at: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// What the file at `path` holds; nil when it cannot be read.
    ///
    /// - Parameter limit: where to stop; a file of /proc is made no further than it is read.
    static func bytes(at path: String, atMost limit: Int = .max) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
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
    static func link(at path: String) -> String? { linkBytes(at: PathBytes(path))?.text }

    /// The same as it is.
    static func linkBytes(at path: PathBytes) -> PathBytes? {
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
    static func names(in path: String) -> [String] { namesIfReadable(in: path) ?? [] }

    /// The same; nil when it cannot be read.
    ///
    /// - Parameter limit: how many are read: a folder may be anybody's.
    static func namesIfReadable(in path: String, limit: Int = .max) -> [String]? {
        guard let folder = unsafe opendir(path) else { return nil }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while names.count < limit, let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// `path` without symbolic links, "." and ".."; nil when it does not exist.
    static func canonical(_ path: String) -> String? { canonical(PathBytes(path))?.text }

    /// The same as it is.
    static func canonical(_ path: PathBytes) -> PathBytes? {
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
    static func canonicalParent(_ path: String) -> String? {
        let parts = path.split(separator: "/")
        guard let last = parts.last, last != ".", last != ".." else { return nil }
        let above = parts.dropLast().joined(separator: "/")
        let folder = path.hasPrefix("/") ? "/" + above : above.isEmpty ? "." : above
        guard let parent = canonical(folder) else { return nil }
        return parent == "/" ? "/\(last)" : "\(parent)/\(last)"
    }
}
