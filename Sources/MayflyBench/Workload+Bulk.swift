// Large files through the page cache.

internal import Glibc
internal import SystemPackage

extension Workload {
    static var bulkWorkloads: [Workload] { [bulkWrite, bulkRead] }

    private static let bulkWrite = Workload(
        "bulk-write", .throughput, "a new file, then over it again, 1 MiB a call", room: bulkRoom
    ) { place throws(WorkloadFailure) in
        let file = try BenchFile(
            place.folder.descriptor, InputTree.name("file"), O_RDWR | O_CREAT)
        let buffer = place.buffer
        return try place.mebibytes { offset throws(WorkloadFailure) in
            try file.write(buffer, 1 << 20, at: offset)
        }
    }

    private static let bulkRead = Workload(
        "bulk-read", .throughput, "a file that has just been written, 1 MiB a call",
        room: bulkRoom
    ) { place throws(WorkloadFailure) in
        let file = try BenchFile(
            place.folder.descriptor, InputTree.name("file"), O_RDWR | O_CREAT)
        let buffer = place.buffer
        for index in 0..<place.scale.mebibytes {
            try place.stopIfAsked()
            try file.write(buffer, 1 << 20, at: index << 20)
        }
        return try place.mebibytes { offset throws(WorkloadFailure) in
            try file.read(buffer, 1 << 20, at: offset)
        }
    }

    private static let bulkRoom: @Sendable (WorkloadScale) -> (bytes: Int, inodes: Int) = {
        ($0.mebibytes << 20, 2)
    }
}
