internal import Glibc

/// The tree that the workloads on many files make: always the same one.
package struct InputTree: Sendable {
    struct File: Sendable {
        let name: FileName
        let bytes: Int
    }

    /// Parents before children, relative to the tree's folder.
    let directories: [FileName]
    let files: [File]

    /// 64 bytes to 64 KiB, half of the files up to 2 KiB, as source trees have them.
    static let largestFile = 64 << 10

    /// - Parameters:
    ///   - folders: below each of them lie as many more.
    ///   - filesPerFolder: in each folder of the second level.
    init(folders: Int, filesPerFolder: Int) {
        var directories: [FileName] = []
        var files: [File] = []
        for outer in 0..<folders {
            directories.append(Self.name("d\(outer)"))
            for inner in 0..<folders {
                directories.append(Self.name("d\(outer)/s\(inner)"))
                for index in 0..<filesPerFolder {
                    let draw = UInt32(truncatingIfNeeded: files.count) &* 2_654_435_761 >> 7
                    let bytes = 64 << Int(draw % 11) - Int(draw % 61)
                    files.append(
                        File(
                            name: Self.name("d\(outer)/s\(inner)/file\(index).c"),
                            bytes: max(3, bytes)))
                }
            }
        }
        self.directories = directories
        self.files = files
    }

    /// Room that it takes, in whole pages.
    var bytes: Int {
        files.reduce(directories.count * 4096) { $0 + ($1.bytes + 4095) / 4096 * 4096 }
    }

    /// Makes it in the folder that `directory` is.
    func make(in directory: Int32, _ buffer: BenchBuffer, _ interruption: Interruption)
        throws(WorkloadFailure)
    {
        for name in directories {
            guard unsafe mkdirat(directory, name, 0o755) == 0 else { throw .last("mkdir(2)") }
        }
        for file in files {
            if interruption.signal != 0 { throw .interrupted }
            let new = try BenchFile(directory, file.name, O_WRONLY | O_CREAT | O_EXCL)
            try new.write(buffer, file.bytes)
            try new.finish(mode: 0o644, seconds: 1_000_000_000)
        }
    }

    static func name(_ text: String) -> FileName { Array(text.utf8CString) }
}
