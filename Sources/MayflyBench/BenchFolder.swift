internal import Glibc
package import Mayfly
package import MayflyHost
internal import SystemPackage

/// A folder to measure in.
package struct BenchFolder: Sendable, Equatable {
    /// What the table calls it.
    package let label: String
    /// Absolute, without links.
    package let path: PathBytes

    /// A folder that somebody has named.
    ///
    /// - Throws: `.usage` when it is none.
    package init(_ given: PathBytes) throws(MountError) {
        guard let resolved = unsafe given.withCString({ unsafe realpath($0, nil) }) else {
            let error = Errno(rawValue: errno)
            throw MountError(
                .usage, "\(given) is no folder to measure in (\(error)): name one that exists")
        }
        defer { unsafe free(resolved) }
        path = unsafe PathBytes(
            bytes: UnsafeRawBufferPointer(start: resolved, count: strlen(resolved)))
        label = path.text
        var status = stat()
        guard unsafe stat(resolved, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw MountError(.usage, "\(given) is not a directory: name one that is")
        }
    }

    /// The root of the scratch mount.
    package init(scratch root: PathBytes) {
        label = "mayfly"
        path = root
    }

    /// Looks whether there is room for the workloads.
    ///
    /// - Throws: `.usage` when there is not.
    func check(_ workloads: [Workload], _ scale: WorkloadScale) throws(MountError) {
        var status = statvfs()
        // Where it cannot be asked, making a folder there tells more.
        guard unsafe path.withCString({ unsafe statvfs($0, &status) }) == 0 else { return }
        let rooms = workloads.map { $0.room(scale) }
        // A tenth more, for what a file system keeps beside content.
        let bytes = (rooms.map(\.bytes).max() ?? 0) * 11 / 10
        let inodes = (rooms.map(\.inodes).max() ?? 0) + 2
        // No blocks or no inodes at all means that they are not counted.
        let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
        if status.f_blocks > 0, free < UInt64(bytes) {
            throw MountError(
                .usage,
                "\(path) has \(SizeText.described(bytes: free)) free and the workloads take "
                    + "\(SizeText.described(bytes: UInt64(bytes))): make room, or choose "
                    + "some by --only")
        }
        if status.f_files > 0, status.f_favail < UInt(inodes) {
            throw MountError(
                .usage,
                "\(path) has \(status.f_favail) inodes free and the workloads take \(inodes): "
                    + "make room, or choose some by --only")
        }
    }
}

/// The one folder that is made in each measured one; everything else is made in it.
final class BenchRoom {
    let owner: BenchFolder
    private let parent: BenchFile
    private let name: FileName
    private static let work = InputTree.name("work")

    init(in owner: BenchFolder) throws(MountError) {
        var template =
            (owner.path + "/mayfly-bench-XXXXXX").bytes.map { CChar(bitPattern: $0) } + [0]
        guard unsafe mkdtemp(&template) != nil else {
            throw .bench("\(owner.path)", nil, "mkdir(2)", BenchFile.lastError)
        }
        self.owner = owner
        name = FileName(template.suffix("mayfly-bench-XXXXXX".utf8.count + 1))
        do throws(WorkloadFailure) {
            parent = try BenchFile(
                AT_FDCWD, owner.path.bytes.map { CChar(bitPattern: $0) } + [0],
                O_RDONLY | O_DIRECTORY)
        } catch {
            let reason = BenchFile.lastError
            unsafe rmdir(template)
            throw .bench("\(owner.path)", nil, "open(2)", reason)
        }
    }

    /// Removes it and what is left in it.
    deinit { try? FileTree.remove(parent.descriptor, name) }

    /// Runs one workload in a fresh folder and removes that.
    func run(
        _ workload: Workload, _ scale: WorkloadScale, _ buffer: BenchBuffer,
        _ interruption: Interruption
    ) throws(WorkloadFailure) -> Sample {
        let own = try BenchFile(parent.descriptor, name, O_RDONLY | O_DIRECTORY)
        guard unsafe mkdirat(own.descriptor, Self.work, 0o755) == 0 else {
            throw .last("mkdir(2)")
        }
        let sample: Sample
        do throws(WorkloadFailure) {
            sample = try workload.run(
                WorkloadPlace(
                    folder: BenchFile(own.descriptor, Self.work, O_RDONLY | O_DIRECTORY),
                    scale: scale, buffer: buffer, interruption: interruption))
        } catch {
            // The first failure is the one to tell.
            try? FileTree.remove(own.descriptor, Self.work)
            throw error
        }
        try FileTree.remove(own.descriptor, Self.work)
        return sample
    }
}
