// A process dies at every store of every kind of change: the change is there whole, or it is not there.

import InodeStore
import MayflyArena
import MayflyTestSupport
import SystemPackage
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// One change of a tree.
struct TreeChange: CustomTestStringConvertible, Sendable {
    let name: String
    /// The file whose content an unfinished change may leave in part.
    var torn: String?
    var prepare: @Sendable (StoreWorker) throws(Errno) -> Void = { _ in }
    let make: @Sendable (StoreWorker) throws(Errno) -> Void

    var testDescription: String { name }
}

extension StoreWorker {
    /// Makes a file that nobody has open.
    fileprivate func file(_ parent: NodeID, _ name: String, _ bytes: [UInt8] = []) throws(Errno) {
        let node = try makeFile(parent, name)
        if !bytes.isEmpty { _ = try write(node, offset: 0, bytes) }
        forget(node, count: 1)
    }

    /// Two files of the same pages.
    fileprivate func sharedFiles(_ count: Int) throws(Errno) {
        try file(.root, "from", bytes(count))
        try file(.root, "file")
        _ = try copyRange(
            from: try node(at: "from"), at: 0, to: try node(at: "file"), at: 0,
            count: UInt64(count))
    }

    fileprivate func folder(_ parent: NodeID, _ name: String) throws(Errno) {
        forget(try makeDirectory(parent, name), count: 1)
    }

    fileprivate func set(
        _ path: String, _ valid: UInt32, _ fill: (inout AttributeChange) -> Void
    ) throws(Errno) {
        var change = AttributeChange()
        change.valid = valid
        fill(&change)
        _ = try setAttributes(try node(at: path), change, caller: .root)
    }
}

/// Bytes that no hole has.
private func bytes(_ count: Int, _ seed: UInt8 = 1) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) | seed | 1 }
}

private let accessList: [UInt8] = [
    2, 0, 0, 0,
    1, 0, 7, 0, 255, 255, 255, 255,
    2, 0, 6, 0, 77, 0, 0, 0,
    4, 0, 5, 0, 255, 255, 255, 255,
    16, 0, 7, 0, 255, 255, 255, 255,
    32, 0, 4, 0, 255, 255, 255, 255,
]
private let accessName = "system.posix_acl_access"
private let defaultName = "system.posix_acl_default"

private let changes: [TreeChange] = [
    // MARK: names that come
    TreeChange(name: "create") { worker throws(Errno) in
        _ = try worker.makeFile(.root, "new")
    },
    TreeChange(name: "mkdir") { worker throws(Errno) in
        _ = try worker.makeDirectory(.root, "new")
    },
    TreeChange(name: "mknod") { worker throws(Errno) in
        _ = try worker.make(
            .root, "new", mode: FileMode.characterDevice | 0o600, device: 0x103)
    },
    TreeChange(name: "symlink") { worker throws(Errno) in
        _ = try worker.makeSymlink(.root, "new", target: bytes(40))
    },
    TreeChange(name: "long symlink") { worker throws(Errno) in
        _ = try worker.makeSymlink(.root, "new", target: bytes(900))
    },
    TreeChange(name: "create, as the ninth: cells") { worker throws(Errno) in
        for index in 0..<8 { try worker.file(.root, "f\(index)") }
    } make: { worker throws(Errno) in
        _ = try worker.makeFile(.root, "new")
    },
    TreeChange(name: "create, as the 33rd: more cells, a larger map") { worker throws(Errno) in
        for index in 0..<32 { try worker.file(.root, "f\(index)") }
    } make: { worker throws(Errno) in
        _ = try worker.makeFile(.root, "new")
    },
    TreeChange(name: "create, as the 513th: a higher map") { worker throws(Errno) in
        for index in 0..<510 { try worker.file(.root, "f\(index)") }
    } make: { worker throws(Errno) in
        _ = try worker.makeFile(.root, "new")
    },
    TreeChange(name: "create with a default access list") { worker throws(Errno) in
        try worker.setXattr(.root, defaultName, accessList)
    } make: { worker throws(Errno) in
        _ = try worker.makeDirectory(.root, "new")
    },
    TreeChange(name: "link") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
    } make: { worker throws(Errno) in
        _ = try worker.link(try worker.node(at: "file"), .root, "new")
    },
    TreeChange(name: "link, the third") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        try worker.folder(.root, "d")
        let file = try worker.node(at: "file")
        _ = try worker.link(file, try worker.node(at: "d"), "second")
        worker.forget(file, count: 1)
    } make: { worker throws(Errno) in
        _ = try worker.link(try worker.node(at: "file"), .root, "new")
    },
    TreeChange(name: "a temporary file") { worker throws(Errno) in
        _ = try worker.makeTemporary(.root, mode: 0o600, isLinkable: true, caller: .root)
    },
    TreeChange(name: "a temporary file that gets a name") { worker throws(Errno) in
        let made = try worker.makeTemporary(.root, mode: 0o600, isLinkable: true, caller: .root)
        _ = try worker.link(NodeID(rawValue: made.nodeID), .root, "new")
    },

    // MARK: names that go
    TreeChange(name: "unlink") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(9000))
        try worker.file(.root, "other")
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "file")
    },
    TreeChange(name: "unlink of the only name of a folder") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(100))
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "file")
    },
    TreeChange(name: "unlink of an open file") { worker throws(Errno) in
        let file = try worker.makeFile(.root, "file")
        _ = try worker.write(file, offset: 0, bytes(9000))
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "file")
    },
    TreeChange(name: "unlink of the first of three names") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        try worker.folder(.root, "d")
        let file = try worker.node(at: "file")
        for name in ["second", "third"] {
            _ = try worker.link(file, try worker.node(at: "d"), name)
            worker.forget(file, count: 1)
        }
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "file")
    },
    TreeChange(name: "unlink of the second of two names") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        let file = try worker.node(at: "file")
        _ = try worker.link(file, .root, "second")
        worker.forget(file, count: 1)
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "second")
    },
    TreeChange(name: "rmdir") { worker throws(Errno) in
        try worker.folder(.root, "d")
        try worker.file(.root, "other")
        // One that was large once.
        let folder = try worker.node(at: "d")
        for index in 0..<20 { try worker.file(folder, "f\(index)") }
        for index in 0..<20 { try worker.unlink(folder, "f\(index)") }
    } make: { worker throws(Errno) in
        try worker.removeDirectory(.root, "d")
    },

    // MARK: names that change
    TreeChange(name: "rename in its place") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
    } make: { worker throws(Errno) in
        try worker.rename(.root, "file", .root, "new")
    },
    TreeChange(name: "rename to another folder") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        try worker.folder(.root, "d")
    } make: { worker throws(Errno) in
        try worker.rename(.root, "file", try worker.node(at: "d"), "new")
    },
    TreeChange(name: "rename over another") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        try worker.file(.root, "old", bytes(9000))
    } make: { worker throws(Errno) in
        try worker.rename(.root, "file", .root, "old")
    },
    TreeChange(name: "rename over another of two names, in another folder") {
        worker throws(Errno) in
        try worker.folder(.root, "d")
        let folder = try worker.node(at: "d")
        try worker.file(.root, "file", bytes(10))
        try worker.file(folder, "old", bytes(100))
        _ = try worker.link(try worker.node(at: "d/old"), .root, "twin")
        _ = try worker.link(try worker.node(at: "file"), folder, "second")
        worker.forget(try worker.node(at: "twin"), count: 1)
        worker.forget(try worker.node(at: "file"), count: 1)
    } make: { worker throws(Errno) in
        try worker.rename(try worker.node(at: "d"), "second", .root, "twin")
    },
    TreeChange(name: "rename of a folder over an empty one elsewhere") { worker throws(Errno) in
        try worker.folder(.root, "from")
        try worker.folder(.root, "to")
        try worker.folder(try worker.node(at: "from"), "d")
        try worker.folder(try worker.node(at: "to"), "d")
        try worker.file(try worker.node(at: "from/d"), "inside", bytes(5))
    } make: { worker throws(Errno) in
        try worker.rename(try worker.node(at: "from"), "d", try worker.node(at: "to"), "d")
    },
    TreeChange(name: "exchange of a folder and a file") { worker throws(Errno) in
        try worker.folder(.root, "from")
        try worker.folder(.root, "to")
        try worker.folder(try worker.node(at: "from"), "one")
        try worker.file(try worker.node(at: "to"), "two", bytes(5))
    } make: { worker throws(Errno) in
        try worker.rename(
            try worker.node(at: "from"), "one", try worker.node(at: "to"), "two",
            flags: RenameFlags.exchange)
    },
    TreeChange(name: "rename that leaves a whiteout") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(10))
        try worker.folder(.root, "d")
    } make: { worker throws(Errno) in
        try worker.rename(
            .root, "file", try worker.node(at: "d"), "new", flags: RenameFlags.whiteout)
    },

    // MARK: content
    TreeChange(name: "first bytes") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 0, bytes(100))
    },
    TreeChange(name: "small content overwritten") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(300))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 50, bytes(100, 0x80))
    },
    TreeChange(name: "small content appended to") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(300))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 300, bytes(200, 0x80))
    },
    TreeChange(name: "small content that grows to pages") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(300))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 300, bytes(10_000, 0x80))
    },
    TreeChange(name: "first pages") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 0, bytes(20_000))
    },
    TreeChange(name: "pages appended to") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(9000))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 9000, bytes(9000, 0x80))
    },
    TreeChange(name: "a write far behind the end") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(9000))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 5 << 20, bytes(5000, 0x80))
    },
    TreeChange(name: "pages overwritten", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(20_000))
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 3000, bytes(6000, 0x80))
    },
    TreeChange(name: "a hole filled", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(3000))
        try worker.truncate(try worker.node(at: "file"), to: 40_000)
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 10_000, bytes(9000, 0x80))
    },
    TreeChange(name: "a write that takes set-user-ID and capability") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(300))
        try worker.setXattr(try worker.node(at: "file"), "security.capability", bytes(20))
        try worker.set("file", AttributeChange.mode) { $0.mode = 0o6755 }
    } make: { worker throws(Errno) in
        _ = try worker.write(
            try worker.node(at: "file"), offset: 0, bytes(10), killPrivileges: true)
    },
    TreeChange(name: "copy_file_range", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "from", bytes(9000))
        try worker.file(.root, "file", bytes(12_000, 0x80))
    } make: { worker throws(Errno) in
        _ = try worker.copyRange(
            from: try worker.node(at: "from"), at: 100, to: try worker.node(at: "file"), at: 2000,
            count: 8000)
    },
    TreeChange(name: "pages shared with a new file", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "from", bytes(30_000))
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        _ = try worker.copyRange(
            from: try worker.node(at: "from"), at: 0, to: try worker.node(at: "file"), at: 0,
            count: 30_000)
    },
    TreeChange(name: "shared pages overwritten", torn: "/file") { worker throws(Errno) in
        try worker.sharedFiles(20_000)
    } make: { worker throws(Errno) in
        _ = try worker.write(try worker.node(at: "file"), offset: 3000, bytes(6000, 0x80))
    },
    TreeChange(name: "truncate within a shared page") { worker throws(Errno) in
        try worker.sharedFiles(20_000)
    } make: { worker throws(Errno) in
        try worker.truncate(try worker.node(at: "file"), to: 5000)
    },
    TreeChange(name: "a removal of what shares pages") { worker throws(Errno) in
        try worker.sharedFiles(20_000)
    } make: { worker throws(Errno) in
        try worker.unlink(.root, "from")
    },
    TreeChange(name: "truncate to nothing") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(20_000))
    } make: { worker throws(Errno) in
        try worker.truncate(try worker.node(at: "file"), to: 0)
    },
    TreeChange(name: "truncate of small content") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(1000))
    } make: { worker throws(Errno) in
        try worker.truncate(try worker.node(at: "file"), to: 400)
    },
    TreeChange(name: "truncate within a page") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(20_000))
        // Room behind the end, which goes too.
        try worker.allocate(try worker.node(at: "file"), offset: 0, length: 40_000, mode: 1)
    } make: { worker throws(Errno) in
        try worker.truncate(try worker.node(at: "file"), to: 5000)
    },
    TreeChange(name: "truncate that drops leaves") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(5000))
        _ = try worker.write(try worker.node(at: "file"), offset: 9 << 20, bytes(5000))
    } make: { worker throws(Errno) in
        try worker.set("file", AttributeChange.size | AttributeChange.mode) {
            $0.size = 4100
            $0.mode = 0o600
        }
    },
    TreeChange(name: "truncate to more") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(5000))
    } make: { worker throws(Errno) in
        try worker.truncate(try worker.node(at: "file"), to: 50_000)
    },
    TreeChange(name: "fallocate of an empty file") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.allocate(try worker.node(at: "file"), offset: 0, length: 40_000, mode: 0)
    },
    TreeChange(name: "fallocate around what there is", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(9000))
        _ = try worker.write(try worker.node(at: "file"), offset: 30_000, bytes(100))
    } make: { worker throws(Errno) in
        try worker.allocate(try worker.node(at: "file"), offset: 0, length: 60_000, mode: 0)
    },
    TreeChange(name: "a hole punched", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(30_000))
    } make: { worker throws(Errno) in
        try worker.allocate(try worker.node(at: "file"), offset: 3000, length: 20_000, mode: 3)
    },
    TreeChange(name: "a range zeroed", torn: "/file") { worker throws(Errno) in
        try worker.file(.root, "file", bytes(30_000))
    } make: { worker throws(Errno) in
        try worker.allocate(
            try worker.node(at: "file"), offset: 3000, length: 9000, mode: AllocateMode.zeroRange)
    },

    // MARK: attributes
    TreeChange(name: "chmod") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.set("file", AttributeChange.mode) { $0.mode = 0o4711 }
    },
    TreeChange(name: "chmod of a file with an access list") { worker throws(Errno) in
        try worker.file(.root, "file")
        try worker.setXattr(try worker.node(at: "file"), accessName, accessList)
    } make: { worker throws(Errno) in
        try worker.set("file", AttributeChange.mode) { $0.mode = 0o640 }
    },
    TreeChange(name: "chown that takes set-user-ID and capability") { worker throws(Errno) in
        try worker.file(.root, "file")
        try worker.setXattr(try worker.node(at: "file"), "security.capability", bytes(20))
        try worker.set("file", AttributeChange.mode) { $0.mode = 0o6755 }
    } make: { worker throws(Errno) in
        try worker.set("file", AttributeChange.userID | AttributeChange.groupID) {
            $0.userID = 5
            $0.groupID = 6
        }
    },
    TreeChange(name: "utimens") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.set(
            "file", AttributeChange.accessTime | AttributeChange.modificationTime
        ) {
            $0.setTimes(access: 1, modification: 3)
            $0.precedesWriteBack = true
        }
    },
    TreeChange(name: "chattr") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.setFlags(try worker.node(at: "file"), InodeFlags.append)
    },
    TreeChange(name: "the first xattr") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.setXattr(try worker.node(at: "file"), "user.a", bytes(100))
    },
    TreeChange(name: "an xattr replaced") { worker throws(Errno) in
        try worker.file(.root, "file")
        for name in ["user.a", "user.b", "user.c"] {
            try worker.setXattr(try worker.node(at: "file"), name, bytes(100))
        }
    } make: { worker throws(Errno) in
        try worker.setXattr(try worker.node(at: "file"), "user.b", bytes(5000, 0x80))
    },
    TreeChange(name: "an xattr removed") { worker throws(Errno) in
        try worker.file(.root, "file")
        for name in ["user.a", "user.b", "user.c"] {
            try worker.setXattr(try worker.node(at: "file"), name, bytes(3000))
        }
    } make: { worker throws(Errno) in
        try worker.removeXattr(try worker.node(at: "file"), "user.b")
    },
    TreeChange(name: "a capability set") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.setXattr(try worker.node(at: "file"), "security.capability", bytes(20))
    },
    TreeChange(name: "an access list set") { worker throws(Errno) in
        try worker.file(.root, "file")
    } make: { worker throws(Errno) in
        try worker.setXattr(try worker.node(at: "file"), accessName, accessList)
    },
    TreeChange(name: "an access list removed") { worker throws(Errno) in
        try worker.file(.root, "file")
        try worker.setXattr(try worker.node(at: "file"), accessName, accessList)
    } make: { worker throws(Errno) in
        try worker.removeXattr(try worker.node(at: "file"), accessName)
    },
]

@Suite(.serialized) struct SurvivalTests {
    /// Of how many stores one is looked at; 1 with `MAYFLY_EVERY_STORE`.
    private static let stride = unsafe getenv("MAYFLY_EVERY_STORE") == nil ? 5 : 1

    @Test(arguments: changes) func killedAtEveryStore(_ change: TreeChange) throws {
        let small = try SurvivingStore()
        defer { small.end() }
        let worker = small.store.worker(0)
        try worker.request { () throws(Errno) in
            try worker.file(.root, "bystander", bytes(50))
            try change.prepare(worker)
        }
        let before = try small.afterDeath { try picture($0, $1) }
        // What the change makes of it is known at its end.
        var seen: [(picture: TreePicture, number: Int)] = []
        var problems: [String] = []
        var number = 0
        var looks = 0
        var last: UInt64 = 0
        let steps = try small.step { () throws(Errno) in
            try worker.request { () throws(Errno) in try change.make(worker) }
        } look: { address in
            number += 1
            // Of a long copy a few bytes are enough.
            let isCopy = [1, 16, 32, 64].contains(address &- last)
            last = address
            if isCopy && number % 61 != 0 { return true }
            if !isCopy && (number + change.name.utf8.count) % Self.stride != 0 { return true }
            looks += 1
            do {
                let now = try small.afterDeath { try picture($0, $1) }
                if now != before {
                    seen.append((now, number))
                } else if !seen.isEmpty && change.torn == nil {
                    problems.append("store \(number): it was there, and is not")
                }
            } catch { problems.append("store \(number): \(error)") }
            return problems.count < 5
        }
        #expect(problems == [], "\(change.name)")
        #expect(steps > 5 && looks > 0)
        let after = try small.afterDeath { try picture($0, $1) }
        #expect(change.name == "a temporary file" || after != before)
        for (now, number) in seen {
            if let torn = change.torn, now.isTorn(torn, between: before, and: after) { continue }
            let isAfter = now == after
            #expect(
                isAfter, "\(change.name), store \(number): \(now.differences(from: after))")
        }
        print("\(change.name): \(looks) of \(steps) stores")
    }

    /// A repair that does not know what was noted leaves half a change, and this is seen.
    @Test func withoutNotesChangesAreTorn() throws {
        let change = try #require(changes.first { $0.name == "rename over another" })
        let small = try SurvivingStore()
        defer { small.end() }
        let worker = small.store.worker(0)
        try worker.request { () throws(Errno) in
            try worker.file(.root, "bystander", bytes(50))
            try change.prepare(worker)
        }
        let before = try small.afterDeath { try picture($0, $1) }
        var seen: [TreePicture] = []
        var unsound = 0
        _ = try small.step { () throws(Errno) in
            try worker.request { () throws(Errno) in try change.make(worker) }
        } look: { _ in
            do {
                seen.append(try small.afterDeath(losesNotes: true) { try picture($0, $1) })
            } catch { unsound += 1 }
            return true
        }
        let after = try small.afterDeath { try picture($0, $1) }
        let torn = seen.count { $0 != before && $0 != after }
        #expect(unsound > 0)
        #expect(unsound + torn > 10)
        // The same stores, with the notes, are proved by the other test.
        #expect(seen.contains(before))
    }

    /// The tree of a repaired store, which is sound and goes on.
    private func picture(_ store: InodeStore, _ report: RepairReport) throws -> TreePicture {
        guard report.problems.isEmpty else { throw Unsound(problems: report.problems) }
        let worker = store.worker(0)
        let found = worker.check()
        guard found.isSound else { throw Unsound(problems: found.problems) }
        let picture = try TreePicture(worker)
        try worker.request { () throws(Errno) in
            try worker.file(.root, "afterwards", bytes(6000))
            try worker.unlink(.root, "bystander")
        }
        let later = worker.check()
        guard later.isSound else { throw Unsound(problems: later.problems) }
        return picture
    }

    private struct Unsound: Error { let problems: [String] }
}
