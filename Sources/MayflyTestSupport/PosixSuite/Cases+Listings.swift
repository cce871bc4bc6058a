import CMayflyTestSupport
import Glibc
import SystemPackage

/// getdents64(2), telldir(3), and file handles.
extension PosixSuite {
    static let listings: [PosixCase] = [
        PosixCase("readdir/empty") { t in
            let entries = try t.root.entries()
            try expectEqual(Set(entries.map(\.text)), [".", ".."])
            try expectTrue(entries.allSatisfy { $0.type == UInt8(DT_DIR) })
            try expectEqual(
                entries.first { $0.text == "." }?.inode, t.root.status().inode)
        },
        PosixCase("readdir/dot-dot-inode") { t in
            try t["d"].mkdir()
            try expectEqual(
                t["d"].entries().first { $0.text == ".." }?.inode, t.root.status().inode)
        },
        PosixCase("readdir/types-and-inodes", needsRoot: true) { t in
            try t["a"].create()
            try t["d"].mkdir()
            try t["l"].symlink("a")
            try t["p"].mknod(S_IFIFO | 0o644)
            try t["s"].mknod(S_IFSOCK | 0o644)
            try t["c"].mknod(S_IFCHR | 0o644, major: 1, minor: 3)
            try t["b"].mknod(S_IFBLK | 0o644, major: 7, minor: 3)
            let types = [
                "a": DT_REG, "d": DT_DIR, "l": DT_LNK, "p": DT_FIFO, "s": DT_SOCK,
                "c": DT_CHR, "b": DT_BLK,
            ]
            let entries = try t.root.entries().filter { !$0.isDot }
            try expectEqual(entries.count, types.count)
            for entry in entries {
                try expectEqual(Int(entry.type), types[entry.text], entry.text)
                try expectEqual(entry.inode, t[entry.text].status().inode, entry.text)
            }
        },
        PosixCase("readdir/inodes-are-unique") { t in
            for index in 0..<500 { try t["n\(index)"].create() }
            let entries = try t.root.entries().filter { !$0.isDot }
            try expectEqual(Set(entries.map(\.inode)).count, 500)
        },
        PosixCase("readdir/small-buffer") { t in
            let names = (0..<100).map { "name-\($0)" }
            for name in names { try t[name].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            let all = try folder.allEntries(capacity: 64)
            try expectEqual(all.filter { !$0.isDot }.map(\.text).sorted(), names.sorted())
            try expectEqual(all.count, 102)
        },
        // getdents(2), ERRORS: EINVAL when not even one entry fits.
        PosixCase("readdir/buffer-too-small") { t in
            try t["a-name-that-needs-room"].create()
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            try expectError(.invalidArgument, folder.entries(capacity: 20))
            try expectError(.notDirectory, t["a-name-that-needs-room"].open().entries(capacity: 99))
        },
        PosixCase("readdir/rewind") { t in
            try t["a"].create()
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            try expectEqual(folder.allEntries().count, 3)
            try expectEqual(folder.allEntries().count, 0)
            try t["b"].create()
            try folder.seek(0)
            try expectEqual(folder.allEntries().count, 4)
        },
        PosixCase("readdir/seek-to-every-cookie") { t in
            for index in 0..<200 { try t["n\(index)"].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            let all = try folder.allEntries()
            try expectEqual(Set(all.map(\.cookie)).count, all.count)
            for (index, entry) in all.enumerated() {
                try folder.seek(entry.cookie)
                let next = try folder.entries(capacity: 300).first
                let expected = index + 1 < all.count ? all[index + 1] : nil
                try expectEqual(next?.text, expected?.text, "after \(entry.text)")
            }
        },
        PosixCase("readdir/cookies-survive-changes") { t in
            for index in 0..<50 { try t["n\(index)"].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            let all = try folder.allEntries()
            let (place, rest) = (all[25].cookie, Set(all[26...].map(\.text)))
            for entry in all[..<25] where !entry.isDot { try t[entry.text].unlink() }
            try folder.seek(place)
            try expectEqual(Set(try folder.allEntries().map(\.text)), rest)
        },
        PosixCase("readdir/deletion-while-reading") { t in
            let names = (0..<1000).map { "n\($0)" }
            for name in names { try t[name].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            var seen: [String] = []
            var removed: Set<String> = []
            while true {
                let some = try folder.entries(capacity: 512).filter { !$0.isDot }
                if some.isEmpty { break }
                seen += some.map(\.text)
                // Remove what was seen, and one name from the far end.
                for entry in some where removed.insert(entry.text).inserted {
                    try t[entry.text].unlink()
                }
                if let far = names.last(where: { !removed.contains($0) }), !seen.contains(far) {
                    removed.insert(far)
                    try t[far].unlink()
                }
            }
            try expectEqual(Set(seen).count, seen.count, "an entry came twice")
            try expectEqual(t.root.names(), [])
        },
        PosixCase("readdir/survivors-come-exactly-once") { t in
            let names = (0..<600).map { "n\($0)" }
            for name in names { try t[name].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            var seen = try folder.entries(capacity: 1024).map(\.text)
            for index in stride(from: 0, to: 600, by: 3) { try t["n\(index)"].unlink() }
            seen += try folder.allEntries(capacity: 1024).map(\.text)
            for index in 0..<600 where index % 3 != 0 {
                let count = seen.filter { $0 == "n\(index)" }.count
                try expectEqual(count, 1, "n\(index)")
            }
        },
        PosixCase("readdir/creation-while-reading") { t in
            let names = (0..<300).map { "old\($0)" }
            for name in names { try t[name].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            var seen: [String] = []
            for index in 0... {
                let some = try folder.entries(capacity: 256)
                if some.isEmpty || index > 5000 { break }
                seen += some.map(\.text)
                if index < 300 { try t["new\(index)"].create() }
            }
            try expectEqual(Set(seen).count, seen.count, "an entry came twice")
            try expectTrue(Set(names).isSubset(of: seen), "an old entry was passed over")
        },
        PosixCase("readdir/rename-while-reading") { t in
            for index in 0..<300 { try t["n\(index)"].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            var seen = try folder.entries(capacity: 1024).map(\.text)
            let untouched = (150..<300).map { "n\($0)" }
            for index in 0..<150 { try t["n\(index)"].rename(to: t["m\(index)"]) }
            seen += try folder.allEntries(capacity: 1024).map(\.text)
            for name in untouched {
                try expectEqual(seen.filter { $0 == name }.count, 1, name)
            }
        },
        // Entries that came back at the end would be met for ever (xfstests generic/736).
        PosixCase("readdir/renaming-there-and-back-ends") { t in
            for index in 0..<500 { try t["n\(index)"].create() }
            let folder = try t.root.open(O_RDONLY | O_DIRECTORY)
            var met = 0
            while met < 5000 {
                let entries = try folder.entries(capacity: 1024).filter { !$0.isDot }
                if entries.isEmpty { break }
                for entry in entries {
                    try t[entry.text].rename(to: t["other"])
                    try t["other"].rename(to: t[entry.text])
                }
                met += entries.count
            }
            try expectTrue(met >= 500 && met < 1500, "\(met) entries")
        },
        PosixCase("readdir/two-readers") { t in
            for index in 0..<100 { try t["n\(index)"].create() }
            let one = try t.root.open(O_RDONLY | O_DIRECTORY)
            let two = try t.root.open(O_RDONLY | O_DIRECTORY)
            var (first, second): ([String], [String]) = ([], [])
            for _ in 0..<200 {
                first += try one.entries(capacity: 128).map(\.text)
                second += try two.entries(capacity: 96).map(\.text)
            }
            try expectEqual(first.count, 102)
            try expectEqual(second.sorted(), first.sorted())
        },
        PosixCase("readdir/large-folder") { t in
            let count = scaled(20_000, 1_000_000)
            for index in 0..<count { try t["file-\(index)"].create().close() }
            try expectEqual(t.root.status().size, Int64(40 + 20 * count))
            let entries = try t.root.entries()
            try expectEqual(entries.count, count + 2)
            try expectEqual(Set(entries.map(\.text)).count, count + 2)
            try expectEqual(t["file-\(count - 1)"].status().type, S_IFREG)
            for index in 0..<count { try t["file-\(index)"].unlink() }
            try expectEqual(t.root.entries().count, 2)
            try expectEqual(t.root.status().size, 40)
        },
        PosixCase("readdir/removed-folder") { t in
            try t["d"].mkdir()
            let folder = try t["d"].open(O_RDONLY | O_DIRECTORY)
            try t["d"].rmdir()
            let entries = try? folder.allEntries()
            try expectTrue(entries == nil || entries!.allSatisfy(\.isDot))
        },
    ]

    /// name_to_handle_at(2) and open_by_handle_at(2).
    static let handles: [PosixCase] = [
        PosixCase("handles/open", needsRoot: true) { t in
            try t["a"].create("text")
            let mount = try t.root.open(O_RDONLY)
            let handle = try PosixHandle(t["a"])
            try expectEqual(handle.open(on: mount).readText(9), "text")
            try t["a"].rename(to: t["b"])
            try expectEqual(handle.open(on: mount).readText(9), "text")
            try expectEqual(handle.open(on: mount).status().inode, t["b"].status().inode)
        },
        PosixCase("handles/stale-after-deletion", needsRoot: true) { t in
            try t["a"].create("text")
            let mount = try t.root.open(O_RDONLY)
            let handle = try PosixHandle(t["a"])
            try t["a"].unlink()
            for index in 0..<50 { try t["n\(index)"].create() }
            try expectError(.staleNFSFileHandle, handle.open(on: mount))
        },
        PosixCase("handles/of-an-open-unlinked-file", needsRoot: true) { t in
            let file = try t["a"].create("text")
            let mount = try t.root.open(O_RDONLY)
            let handle = try PosixHandle(t["a"])
            try t["a"].unlink()
            try expectEqual(handle.open(on: mount).readText(9), "text")
            try file.close()
            try expectError(.staleNFSFileHandle, handle.open(on: mount))
        },
        PosixCase("handles/folder", needsRoot: true) { t in
            try t["d"].mkdir()
            try t["d/a"].create("text")
            let mount = try t.root.open(O_RDONLY)
            let folder = try PosixHandle(t["d"]).open(on: mount, O_RDONLY | O_DIRECTORY)
            try expectEqual(PosixPath("a").open(O_RDONLY, at: folder).readText(9), "text")
            try expectEqual(
                PosixPath("..").open(O_RDONLY, at: folder).status().inode,
                t.root.status().inode)
        },
        PosixCase("handles/are-different", needsRoot: true) { t in
            var all: Set<[UInt8]> = []
            for index in 0..<100 {
                try t["n\(index)"].create()
                all.insert(try PosixHandle(t["n\(index)"]).bytes)
            }
            try expectEqual(all.count, 100)
            try t["n0"].link(to: t["m"])
            try expectTrue(all.contains(try PosixHandle(t["m"]).bytes))
        },
        PosixCase("handles/need-root", needsRoot: true) { t in
            try t["a"].create("", 0o644)
            try asUser(1001) {
                let handle = try PosixHandle(t["a"])
                let mount = try t.root.open(O_RDONLY)
                try expectError(.notPermitted, handle.open(on: mount, O_RDONLY))
            }
        },
    ]
}
