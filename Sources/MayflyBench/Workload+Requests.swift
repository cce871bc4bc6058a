// One request at a time: what the way to the file system and back costs.

internal import CMayflySystem
internal import Glibc
internal import SystemPackage

extension Workload {
    static var requestWorkloads: [Workload] {
        [lookup, getxattr, smallRead, smallWrite, largeRead, largeWrite, transactions]
    }

    private static let lookup = Workload(
        "lookup", .microseconds, "stat of a name that is not there, each time another one",
        room: { _ in (4096, 1) }
    ) { place throws(WorkloadFailure) in
        let count = place.scale.requests
        let names = (0..<count * 2).map { InputTree.name("missing-\($0)") }
        let folder = place.folder.descriptor
        return try place.requests(count) { index throws(WorkloadFailure) in
            var status = stat()
            guard unsafe fstatat(folder, names[index], &status, 0) != 0, errno == ENOENT else {
                throw .last("stat(2)")
            }
        }
    }

    private static let getxattr = Workload(
        "getxattr", .microseconds, "an extended attribute that a file does not have",
        room: { _ in (8192, 2) }
    ) { place throws(WorkloadFailure) in
        let file = try BenchFile(
            place.folder.descriptor, InputTree.name("file"), O_RDWR | O_CREAT)
        let name = InputTree.name("user.none")
        let descriptor = file.descriptor
        return try place.requests(place.scale.requests) { _ throws(WorkloadFailure) in
            let error = unsafe csys_ask_attribute(descriptor, name)
            if error == ENODATA { return }
            guard error == EOPNOTSUPP else {
                throw .call("getxattr(2)", Errno(rawValue: error))
            }
            throw .unsupported("no extended attributes")
        }
    }

    private static let smallRead = Workload(
        "read-4k", .microseconds, "4 KiB of a file, by O_DIRECT, in no order", room: directRoom
    ) { place throws(WorkloadFailure) in
        let file = try directFile(place)
        let pages = place.scale.mebibytes << 8
        let buffer = place.buffer
        return try place.requests(place.scale.requests) { index throws(WorkloadFailure) in
            try file.read(buffer, 4096, at: Self.page(index, of: pages) << 12)
        }
    }

    private static let smallWrite = Workload(
        "write-4k", .microseconds, "4 KiB over those of a file, by O_DIRECT, in no order",
        room: directRoom
    ) { place throws(WorkloadFailure) in
        let file = try directFile(place)
        let pages = place.scale.mebibytes << 8
        let buffer = place.buffer
        return try place.requests(place.scale.requests) { index throws(WorkloadFailure) in
            try file.write(buffer, 4096, at: Self.page(index, of: pages) << 12)
        }
    }

    private static let largeRead = Workload(
        "read-1m", .throughput, "a file, 1 MiB a call, by O_DIRECT", room: directRoom
    ) { place throws(WorkloadFailure) in
        let file = try directFile(place)
        let buffer = place.buffer
        return try place.mebibytes { offset throws(WorkloadFailure) in
            try file.read(buffer, 1 << 20, at: offset)
        }
    }

    private static let largeWrite = Workload(
        "write-1m", .throughput, "over a file, 1 MiB a call, by O_DIRECT", room: directRoom
    ) { place throws(WorkloadFailure) in
        let file = try directFile(place)
        let buffer = place.buffer
        return try place.mebibytes { offset throws(WorkloadFailure) in
            try file.write(buffer, 1 << 20, at: offset)
        }
    }

    /// The calls of a rollback journal, one transaction of two pages each time.
    ///
    /// - Source: sqlite.org, "Atomic Commit In SQLite".
    private static let transactions = Workload(
        "transaction", .microseconds,
        "what SQLite does for one: a journal, two pages, each fsync'ed, the journal removed",
        room: { _ in (5 << 20, 4) }
    ) { place throws(WorkloadFailure) in
        let folder = place.folder.descriptor
        let buffer = place.buffer
        let database = try BenchFile(folder, InputTree.name("base.db"), O_RDWR | O_CREAT)
        let pages = 1024
        for page in stride(from: 0, to: pages, by: 256) {
            try database.write(buffer, 1 << 20, at: page << 12)
        }
        try database.synchronize()
        let name = InputTree.name("base.db-journal")
        return try place.requests(place.scale.transactions) { index throws(WorkloadFailure) in
            do {
                let journal = try BenchFile(folder, name, O_RDWR | O_CREAT | O_EXCL)
                try journal.write(buffer, 512, at: 0)
                try journal.write(buffer, 4104, at: 512)
                try journal.write(buffer, 4104, at: 512 + 4104)
                try journal.synchronize()
                guard fsync(folder) == 0 else { throw WorkloadFailure.last("fsync(2)") }
                try journal.write(buffer, 12, at: 0)
                try journal.synchronize()
            }
            try database.write(buffer, 4096, at: Self.page(index, of: pages) << 12)
            try database.write(buffer, 4096, at: 0)
            try database.synchronize()
            guard unsafe unlinkat(folder, name, 0) == 0 else { throw .last("unlink(2)") }
        }
    }

    private static let directRoom: @Sendable (WorkloadScale) -> (bytes: Int, inodes: Int) = {
        ($0.mebibytes << 20, 2)
    }

    /// A file full of data, opened past the page cache.
    private static func directFile(
        _ place: borrowing WorkloadPlace
    ) throws(WorkloadFailure) -> BenchFile {
        let result = unsafe csys_open_direct(place.folder.descriptor, InputTree.name("file"))
        if result == -EINVAL || result == -EOPNOTSUPP { throw .unsupported("no O_DIRECT") }
        let file = try BenchFile(taking: result, "open(2)")
        for index in 0..<place.scale.mebibytes {
            try place.stopIfAsked()
            do throws(WorkloadFailure) {
                try file.write(place.buffer, 1 << 20, at: index << 20)
            } catch {
                if case .call(_, .invalidArgument) = error { throw .unsupported("no O_DIRECT") }
                throw error
            }
        }
        return file
    }

    /// The same order of pages on every file system, and far from the files' own.
    private static func page(_ index: Int, of count: Int) -> Int {
        Int(UInt32(truncatingIfNeeded: index) &* 2_654_435_761 >> 4) % count
    }
}
