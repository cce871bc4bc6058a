// How much memory could still be had without somebody being killed for it.
//
// The files that tell are opened once, so that a request can have them read again
// (CMayflyMemory/Budget.c), also when the process has given up the right to open them.

internal import CMayflyMemory
internal import Glibc

/// What there is beside what is taken, of the machine and of each memory cgroup with a limit.
///
/// The descriptors are never closed: the process has one of these, and tests have few.
package struct MemoryHeadroom: Sendable {
    private let files: cmem_headroom

    /// - Parameters:
    ///   - root: stands before the paths of all files, for tests.
    ///   - processors: threads that may each have begun a chunk of 2 MiB that is not touched yet.
    package init(
        memory: MachineMemory = .current(), root: String = "",
        processors: Int = Processors.online
    ) {
        func opened(_ path: String) -> Int32 { unsafe open(root + path, O_RDONLY | O_CLOEXEC) }
        var files = cmem_headroom()
        files.machine = opened("/proc/meminfo")
        files.reserve = Int64(Self.reserveBytes(memory, processors))
        let groups = MemoryCgroup.all { HostFile.text(at: root + $0) }
        unsafe withUnsafeMutableBytes(of: &files.groups) { bytes in
            let places = unsafe bytes.bindMemory(to: cmem_group.self)
            for group in groups where files.count < CMEM_GROUPS {
                let limit = opened(group.limitFile)
                // The root of version 2 has none.
                if limit < 0 { continue }
                unsafe places[Int(files.count)] = cmem_group(
                    limit: limit, usage: opened(group.usageFile),
                    statistics: opened(group.statisticsFile), unified: group.isUnified)
                files.count += 1
            }
        }
        self.files = files
    }

    /// What is left to others: the kernel, and what the server takes beside the file system; and for
    /// removing what is there when nothing else can be done.
    private static func reserveBytes(_ memory: MachineMemory, _ processors: Int) -> UInt64 {
        let begun = min(UInt64(processors) * (2 << 20), memory.usableBytes / 8)
        return max(16 << 20, memory.usableBytes / 64, begun)
    }

    /// Bytes that may still be taken, without the reserve; below 0 where that is being used, nil when
    /// nobody tells.
    package var bytes: Int64? {
        let bytes = unsafe withUnsafePointer(to: files) { unsafe cmem_headroom_bytes($0) }
        return bytes == .max ? nil : bytes
    }

    /// Has all stores of this process ask for memory from now on.
    package static func watch() { _ = watching }

    private static let watching: Void = {
        let headroom = MemoryHeadroom()
        unsafe withUnsafePointer(to: headroom.files) { unsafe cmem_budget_watch($0) }
    }()
}
