// Going through a tree by its directories' descriptors: no path is longer than a name.

internal import Glibc
internal import SystemPackage

enum FileTree {
    /// Every entry's attributes, as `find` and `ls -lR` ask for them.
    ///
    /// - Returns: the number of entries.
    static func walk(_ directory: Int32, _ name: FileName) throws(WorkloadFailure) -> Int {
        let folder = try BenchFile(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard let stream = unsafe fdopendir(dup(folder.descriptor)) else {
            throw .last("opendir(3)")
        }
        defer { unsafe closedir(stream) }
        var count = 0
        while let entry = unsafe readdir(stream) {
            let name = unsafe Self.name(entry)
            if unsafe isDots(name) { continue }
            var status = stat()
            let result = unsafe fstatat(folder.descriptor, name, &status, AT_SYMLINK_NOFOLLOW)
            guard result == 0 else { throw .last("stat(2)") }
            count += 1
            if status.st_mode & S_IFMT == S_IFDIR {
                count += try walk(folder.descriptor, unsafe copied(name))
            }
        }
        return count
    }

    /// Removes a folder with all that is in it, as `rm -rf` does.
    static func remove(_ directory: Int32, _ name: FileName) throws(WorkloadFailure) {
        let folder = try BenchFile(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard let stream = unsafe fdopendir(dup(folder.descriptor)) else {
            throw .last("opendir(3)")
        }
        defer { unsafe closedir(stream) }
        // Some file systems leave out an entry where others are removed meanwhile.
        for _ in 0..<8 {
            while let entry = unsafe readdir(stream) {
                let name = unsafe Self.name(entry)
                if unsafe isDots(name) { continue }
                if unsafe unlinkat(folder.descriptor, name, 0) == 0 { continue }
                guard errno == EISDIR || errno == EPERM else { throw .last("unlink(2)") }
                try remove(folder.descriptor, unsafe copied(name))
            }
            if unsafe unlinkat(directory, name, AT_REMOVEDIR) == 0 { return }
            guard errno == ENOTEMPTY else { throw .last("rmdir(2)") }
            unsafe rewinddir(stream)
        }
        throw .call("rmdir(2)", .directoryNotEmpty)
    }

    private static func name(_ entry: UnsafeMutablePointer<dirent>) -> UnsafePointer<CChar> {
        let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
        return unsafe UnsafeRawPointer(entry).advanced(by: offset)
            .assumingMemoryBound(to: CChar.self)
    }

    private static func isDots(_ name: UnsafePointer<CChar>) -> Bool {
        guard unsafe name[0] == 46 else { return false }
        return unsafe name[1] == 0 || (name[1] == 46 && name[2] == 0)
    }

    private static func copied(_ name: UnsafePointer<CChar>) -> FileName {
        unsafe Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1))
    }
}
