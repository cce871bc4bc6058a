// Many small files: what builds, version control and package managers do.

internal import Glibc
internal import SystemPackage

extension Workload {
    static var treeWorkloads: [Workload] { [create, walk, readAll, copy, remove] }

    private static let treeName = InputTree.name("tree")

    private static let create = Workload(
        "create", .milliseconds, "a tree of small files: made, written, mode and times set, closed",
        room: treeRoom
    ) { place throws(WorkloadFailure) in
        let tree = try emptyFolder(place, treeName)
        return try place.whole { () throws(WorkloadFailure) in
            try place.scale.tree.make(
                in: tree.descriptor, place.buffer, place.interruption)
        }
    }

    private static let walk = Workload(
        "walk", .milliseconds, "list all folders and stat all files, for the second time",
        room: treeRoom
    ) { place throws(WorkloadFailure) in
        _ = try makeTree(place)
        let all = try FileTree.walk(place.folder.descriptor, treeName)
        let expected = place.scale.tree.files.count + place.scale.tree.directories.count
        guard all == expected else { throw .call("readdir(3)", .ioError) }
        return try place.whole { () throws(WorkloadFailure) in
            guard try FileTree.walk(place.folder.descriptor, treeName) == all else {
                throw WorkloadFailure.call("readdir(3)", .ioError)
            }
        }
    }

    private static let readAll = Workload(
        "grep", .milliseconds, "open all files and read them to their ends", room: treeRoom
    ) { place throws(WorkloadFailure) in
        let tree = try makeTree(place)
        return try place.whole { () throws(WorkloadFailure) in
            for file in place.scale.tree.files {
                try place.stopIfAsked()
                let opened = try BenchFile(tree.descriptor, file.name, O_RDONLY)
                var bytes = 0
                while true {
                    let count = try opened.read(place.buffer, 128 << 10)
                    if count == 0 { break }
                    bytes += count
                }
                guard bytes == file.bytes else { throw WorkloadFailure.call("read(2)", .ioError) }
            }
        }
    }

    private static let copy = Workload(
        "copy", .milliseconds, "a second tree from the first, with modes and times",
        room: { scale in (scale.tree.bytes * 2, inodes(scale) * 2) }
    ) { place throws(WorkloadFailure) in
        let tree = try makeTree(place)
        let second = try emptyFolder(place, InputTree.name("copy"))
        return try place.whole { () throws(WorkloadFailure) in
            for name in place.scale.tree.directories {
                guard unsafe mkdirat(second.descriptor, name, 0o755) == 0 else {
                    throw WorkloadFailure.last("mkdir(2)")
                }
            }
            for file in place.scale.tree.files {
                try place.stopIfAsked()
                let source = try BenchFile(tree.descriptor, file.name, O_RDONLY)
                let target = try BenchFile(
                    second.descriptor, file.name, O_WRONLY | O_CREAT | O_EXCL)
                var status = stat()
                guard unsafe fstat(source.descriptor, &status) == 0 else {
                    throw WorkloadFailure.last("stat(2)")
                }
                while true {
                    let count = try source.read(place.buffer, 128 << 10)
                    if count == 0 { break }
                    try target.write(place.buffer, count)
                }
                try target.finish(
                    mode: status.st_mode & 0o7777, seconds: status.st_mtim.tv_sec)
            }
        }
    }

    private static let remove = Workload(
        "remove", .milliseconds, "list all folders, remove all files and then the folders",
        room: treeRoom
    ) { place throws(WorkloadFailure) in
        _ = try makeTree(place)
        return try place.whole { () throws(WorkloadFailure) in
            try FileTree.remove(place.folder.descriptor, treeName)
        }
    }

    private static let treeRoom: @Sendable (WorkloadScale) -> (bytes: Int, inodes: Int) = {
        ($0.tree.bytes, inodes($0))
    }

    private static func inodes(_ scale: WorkloadScale) -> Int {
        scale.tree.files.count + scale.tree.directories.count + 2
    }

    private static func emptyFolder(
        _ place: borrowing WorkloadPlace, _ name: FileName
    ) throws(WorkloadFailure) -> BenchFile {
        guard unsafe mkdirat(place.folder.descriptor, name, 0o755) == 0 else {
            throw .last("mkdir(2)")
        }
        return try BenchFile(place.folder.descriptor, name, O_RDONLY | O_DIRECTORY)
    }

    private static func makeTree(
        _ place: borrowing WorkloadPlace
    ) throws(WorkloadFailure) -> BenchFile {
        let tree = try emptyFolder(place, treeName)
        try place.scale.tree.make(in: tree.descriptor, place.buffer, place.interruption)
        return tree
    }
}
