import CMayflyTestSupport
import Glibc
import SystemPackage

private let page = 4096

private func filled(_ pages: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: pages * page) }

/// statfs(2) and full file systems.
extension PosixSuite {
    static let limits: [PosixCase] = [
        PosixCase("limits/numbers-of-a-new-mount", needsRoot: true) { t in
            try t.onSmall(bytes: 1 << 20, inodes: 64) { root in
                let status = try root.fileSystemStatus()
                try expectEqual(status.blockSize, page)
                try expectEqual(status.blocks, 256)
                try expectEqual(status.blocksFree, 256)
                try expectEqual(status.blocksAvailable, 256)
                try expectEqual(status.files, 64)
                try expectEqual(status.filesFree, 63)
                try expectEqual(status.nameMax, 255)
            }
        },
        PosixCase("limits/numbers-move-exactly", needsRoot: true) { t in
            try t.onSmall { root in
                let start = try root.fileSystemStatus()
                let file = try (root / "a").create()
                try file.write(filled(10))
                try (root / "d").mkdir()
                try (root / "l").symlink("short")
                try (root / "p").mknod(S_IFIFO | 0o644)
                var now = try root.fileSystemStatus()
                try expectEqual(now.blocksFree, start.blocksFree - 10)
                try expectEqual(now.filesFree, start.filesFree - 4)
                try expectEqual(now.blocks, start.blocks)
                try file.truncate(Int64(3 * page))
                try file.pwrite("x", at: Int64(100 * page))
                now = try root.fileSystemStatus()
                try expectEqual(now.blocksFree, start.blocksFree - 4)
                try file.close()
                for name in ["a", "l", "p"] { try (root / name).unlink() }
                try (root / "d").rmdir()
                try expectTrue(try root.settles(at: start))
            }
        },
        // FUSE asks nobody before a page of a mapping is written (Docs/Deviations.md): the room is
        // missed by msync(2), where tmpfs raises SIGBUS.
        PosixCase("limits/store-into-a-mapped-hole-when-full", needsRoot: true) { t in
            try t.onSmall { root in
                let hole = try (root / "hole").create()
                try hole.truncate(Int64(4 * page))
                let source = try (root / "source").create("x")
                let filler = try (root / "filler").create()
                let free = try Int(root.fileSystemStatus().blocksFree)
                try filler.write(filled(free))
                let map = try PosixMapping(hole, 4 * page)
                if t.kind.isMayfly {
                    try map.receive(byte: page, from: source)
                    try expectError(.noSpace, try map.synchronize())
                } else {
                    try expectError(.badAddress, try map.receive(byte: page, from: source))
                }
                try (root / "filler").unlink()
                try filler.close()
                try map.receive(byte: 2 * page, from: source)
                try map.synchronize()
                try expectEqual(hole.pread(1, at: Int64(2 * page)), Array("x".utf8))
            }
        },
        // shmem_reserve_inode(): a hard link takes an inode of the limit.
        PosixCase("limits/hard-links-count", needsRoot: true) { t in
            try t.onSmall { root in
                try (root / "a").create()
                let before = try root.fileSystemStatus().filesFree
                for index in 0..<5 { try (root / "a").link(to: root / "l\(index)") }
                try expectEqual(root.fileSystemStatus().filesFree, before - 5)
                for index in 0..<5 { try (root / "l\(index)").unlink() }
                try expectEqual(root.fileSystemStatus().filesFree, before)
            }
        },
        PosixCase("limits/long-symlinks-take-a-block", needsRoot: true) { t in
            try t.onSmall { root in
                let before = try root.fileSystemStatus().blocksFree
                try (root / "l").symlink(PosixPath([UInt8](repeating: 0x61, count: 1000)))
                try expectEqual(root.fileSystemStatus().blocksFree, before - 1)
                try (root / "s").symlink(PosixPath([UInt8](repeating: 0x61, count: 100)))
                try expectEqual(root.fileSystemStatus().blocksFree, before - 1)
            }
        },
        PosixCase("limits/the-last-block", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                let file = try (root / "a").create()
                try expectEqual(file.write(filled(64)), 64 * page)
                try expectEqual(root.fileSystemStatus().blocksFree, 0)
                try expectError(.noSpace, file.write("x"))
                try expectEqual(file.status().size, Int64(64 * page))
                try expectTrue(try file.pread(65 * page, at: 0) == filled(64))
                try file.pwrite("overwriting", at: 0)
                try (root / "empty").create()
                try (root / "d").mkdir()
            }
        },
        PosixCase("limits/a-write-that-fits-in-part", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                let file = try (root / "a").create()
                try file.write(filled(60))
                let count = try file.write(filled(10))
                try expectEqual(count, 4 * page)
                try expectEqual(file.status().size, Int64(64 * page))
                try expectError(.noSpace, file.write(filled(1)))
            }
        },
        PosixCase("limits/deleting-gives-space-back", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                for round in 0..<20 {
                    let file = try (root / "a").create()
                    try expectEqual(file.write(filled(64)), 64 * page, "round \(round)")
                    try (root / "a").unlink()
                    try expectEqual(root.fileSystemStatus().blocksFree, 0)
                    try file.close()
                    try expectTrue(try root.settles { $0.blocksFree == 64 })
                }
            }
        },
        PosixCase("limits/filling-a-hole-of-a-full-mount", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                let sparse = try (root / "s").create()
                try sparse.truncate(Int64(1000 * page))
                try (root / "a").create().write(filled(64))
                try expectError(.noSpace, sparse.pwrite("x", at: Int64(500 * page)))
                try expectEqual(sparse.pread(4, at: Int64(500 * page)), [0, 0, 0, 0])
                try expectEqual(sparse.status().blocks, 0)
                try (root / "a").truncate(Int64(63 * page))
                try sparse.pwrite("x", at: Int64(500 * page))
            }
        },
        // mm/shmem.c, shmem_fallocate(): what was allocated before the failure is undone.
        PosixCase("limits/fallocate-undoes-itself", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                let file = try (root / "a").create("x")
                try expectError(.noSpace, file.allocate(0, 0, Int64(65 * page)))
                try expectEqual(root.fileSystemStatus().blocksFree, 63)
                try expectEqual(file.status().size, 1)
                try expectEqual(file.status().blocks, 8)
                try file.allocate(0, 0, Int64(64 * page))
                try expectEqual(root.fileSystemStatus().blocksFree, 0)
                try file.punch(0, Int64(10 * page))
                try expectEqual(root.fileSystemStatus().blocksFree, 10)
            }
        },
        PosixCase("limits/long-symlink-on-a-full-mount", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                try (root / "a").create().write(filled(64))
                let long = PosixPath([UInt8](repeating: 0x61, count: 1000))
                try expectError(.noSpace, (root / "l").symlink(long))
                try expectTrue(!(root / "l").exists)
                try (root / "l").symlink("short")
            }
        },
        PosixCase("limits/the-last-inode", needsRoot: true) { t in
            try t.onSmall(inodes: 16) { root in
                for index in 0..<15 { try (root / "f\(index)").create() }
                try expectEqual(root.fileSystemStatus().filesFree, 0)
                try expectError(.noSpace, (root / "x").create())
                try expectError(.noSpace, (root / "x").mkdir())
                try expectError(.noSpace, (root / "x").symlink("a"))
                try expectError(.noSpace, (root / "x").mknod(S_IFIFO | 0o644))
                try expectError(.noSpace, (root / "f0").link(to: root / "x"))
                try expectError(.noSpace, root.open(CPS_O_TMPFILE | O_RDWR))
                try expectEqual(root.names().count, 15)
                try expectEqual(root.status().size, 40 + 15 * 20)
                try (root / "f0").rename(to: root / "y")
                try (root / "y").unlink()
                try expectTrue(try root.settles { $0.filesFree == 1 })
                try (root / "x").mkdir()
            }
        },
        PosixCase("limits/an-open-unlinked-file-keeps-its-inode", needsRoot: true) { t in
            try t.onSmall(inodes: 16) { root in
                let file = try (root / "a").create()
                let before = try root.fileSystemStatus().filesFree
                try (root / "a").unlink()
                try expectEqual(root.fileSystemStatus().filesFree, before)
                try file.close()
                try expectTrue(try root.settles { $0.filesFree == before + 1 })
            }
        },
        PosixCase("limits/temporary-files", needsRoot: true) { t in
            try t.onSmall(inodes: 16) { root in
                let start = try root.fileSystemStatus().filesFree
                let file = try root.open(CPS_O_TMPFILE | O_RDWR)
                try expectEqual(root.fileSystemStatus().filesFree, start - 1)
                try file.link(to: root / "a")
                try expectEqual(root.fileSystemStatus().filesFree, start - 1)
            }
        },
        // shmem_xattr_handler_set(): attributes take from the room for inodes, 1 KiB an inode.
        PosixCase("limits/attributes-take-inode-space", needsRoot: true) { t in
            try t.onSmall(inodes: 64) { root in
                try (root / "a").create()
                let before = try root.fileSystemStatus().filesFree
                try (root / "a").setAttribute("user.x", [UInt8](repeating: 1, count: 10_000))
                let used = try before - root.fileSystemStatus().filesFree
                try expectTrue(used == 10 || used == 11, "\(used)")
                try expectError(
                    .noSpace,
                    (root / "a").setAttribute("user.y", [UInt8](repeating: 1, count: 60_000)))
                try expectEqual((root / "a").attributeNames(), ["user.x"])
                try (root / "a").removeAttribute("user.x")
                try expectEqual(root.fileSystemStatus().filesFree, before)
            }
        },
        PosixCase("limits/everything-is-whole-after-a-full-mount", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page, inodes: 40) { root in
                var made: [String: Int] = [:]
                for index in 0..<60 {
                    let path = root / "f\(index)"
                    guard let file = try? path.create() else { continue }
                    made["f\(index)"] = (try? file.write([UInt8](repeating: 7, count: 9000))) ?? 0
                }
                try expectEqual(root.names(), made.keys.sorted())
                for (name, count) in made {
                    let bytes = try (root / name).readBytes()
                    try expectEqual(bytes, [UInt8](repeating: 7, count: count))
                }
                for name in made.keys { try (root / name).unlink() }
                try expectTrue(try root.settles { $0.blocksFree == 64 && $0.filesFree == 39 })
            }
        },
        PosixCase("limits/four-threads-at-the-edge", needsRoot: true) { t in
            try t.onSmall(bytes: 64 * page) { root in
                try onThreads(4) { index in
                    let file = try (root / "f\(index)").create()
                    while (try? file.write(filled(1))) == page {}
                }
                let sizes = try (0..<4).map { try (root / "f\($0)").status() }
                try expectEqual(sizes.map(\.blocks).reduce(0, +), 64 * 8)
                try expectEqual(sizes.map(\.size).reduce(0, +), Int64(64 * page))
                try expectEqual(root.fileSystemStatus().blocksFree, 0)
            }
        },
    ]
}

extension PosixPath {
    /// Waits for what happens after the last close, which a server learns a moment later.
    fileprivate func settles(_ condition: (PosixFileSystemStatus) -> Bool) throws -> Bool {
        for _ in 0..<100 {
            if condition(try fileSystemStatus()) { return true }
            usleep(10_000)
        }
        return false
    }

    fileprivate func settles(at wanted: PosixFileSystemStatus) throws -> Bool {
        try settles { $0.blocksFree == wanted.blocksFree && $0.filesFree == wanted.filesFree }
    }
}
