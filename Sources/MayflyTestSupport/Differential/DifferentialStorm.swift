import CMayflyTestSupport
import Glibc

/// Several threads with random operations in one folder of one file system, and what must hold
/// afterwards, whatever the order was.
package struct DifferentialStorm: Sendable {
    private let root: PosixPath
    private let outer: PosixPath
    private let top: PosixPath
    private let seed: UInt64
    private let before: DifferentialUsage

    /// - Parameter makesFolder: false for a process that takes part in another's storm.
    package init(root: PosixPath, seed: UInt64, makesFolder: Bool = true) throws {
        top = root
        outer = root / "storm"
        self.root = outer / "r"
        self.seed = seed
        before = DifferentialSide.usage(root)
        if !makesFolder { return }
        for folder in [outer, self.root] {
            try folder.mkdir(0o777)
            try folder.chmod(0o777)
        }
    }

    /// One thread's operations.
    package func run(thread: Int, operations: Int) throws {
        try answer(cps_unshare_fs(), "unshare(CLONE_FS)")
        umask(0o022)
        let side = DifferentialSide(root: root)
        var generator = DifferentialGenerator(seed: seed &+ 77 &* UInt64(thread + 1))
        for operation in generator.history(operations) { _ = side.perform(operation) }
    }

    /// - Throws: `PosixFailure` for a wrong link count, attributes that the kernel and the server
    ///   see differently, or space that is still used when everything is removed.
    package func check() throws {
        var names: [UInt64: (links: UInt32, found: UInt32, path: PosixPath)] = [:]
        let side = DifferentialSide(root: root)
        try walk(outer, side, &names)
        for (inode, node) in names where node.links != node.found {
            throw PosixFailure(
                "seed \(seed): inode \(inode) at \(node.path) has \(node.links) links and "
                    + "\(node.found) names")
        }
        side.closeAll()
        side.remove(outer, type: 4)
        var after = DifferentialSide.usage(top)
        for _ in 0..<20 where after != before {
            usleep(10_000)
            after = DifferentialSide.usage(top)
        }
        if after != before {
            throw PosixFailure("seed \(seed): used \(before) before and \(after) after removal")
        }
    }

    private func walk(
        _ path: PosixPath, _ side: DifferentialSide,
        _ names: inout [UInt64: (links: UInt32, found: UInt32, path: PosixPath)]
    ) throws {
        let status = try consistentStatus(path)
        let isDirectory = status.mode & S_IFMT == S_IFDIR
        if !isDirectory {
            names[status.inode, default: (status.links, 0, path)].found += 1
            return
        }
        var folders: UInt32 = 0
        var count: UInt64 = 0
        for entry in side.list(path.terminated).entries where !entry.isDots {
            let inner = path / entry.name
            try walk(inner, side, &names)
            folders += entry.type == 4 ? 1 : 0
            count += 1
        }
        if status.links != 2 + folders {
            throw PosixFailure("seed \(seed): \(path): \(status.links) links, \(folders) folders")
        }
        if status.size != (count + 2) * 20 {
            throw PosixFailure("seed \(seed): \(path): size \(status.size) of \(count) entries")
        }
    }

    /// What the kernel has cached must be what the server says.
    private func consistentStatus(_ path: PosixPath) throws -> cps_stat {
        var cached = cps_stat()
        var forced = cps_stat()
        try answer(unsafe cps_stat(CPS_AT_FDCWD, path.terminated, 0, &cached), "stat(\(path))")
        try answer(
            unsafe cps_stat(CPS_AT_FDCWD, path.terminated, CPS_STAT_FORCED, &forced),
            "stat(\(path))")
        let isSame =
            cached.mode == forced.mode && cached.links == forced.links
            && cached.uid == forced.uid && cached.gid == forced.gid
            && cached.size == forced.size && cached.blocks == forced.blocks
        if !isSame {
            throw PosixFailure("seed \(seed): \(path): cached \(cached), server \(forced)")
        }
        return forced
    }
}

extension PosixMount {
    /// Makes a tmpfs as nodev and nosuid as a Mayfly mount is.
    package func forbidDevices() throws {
        try answer(unsafe cpd_remount_nodev(root.terminated), "mount(MS_REMOUNT)")
    }
}
