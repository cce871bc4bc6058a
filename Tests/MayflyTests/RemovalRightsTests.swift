// Whom a tree lets remove it, as rm(1) would find out by trying.

import InodeStore
import MayflyImages
import MayflyTestSupport
import SystemPackage
import Testing

@Suite struct RemovalRightsTests {
    private static let user = TreeCaller(userID: 7, groupIDs: [7])

    /// A folder `top` of user 7 with `inner` of a mode and an owner, and in that a file, a folder or nothing.
    private func error(
        inner mode: UInt32, owner: UInt32 = 7, holding content: String, top: UInt32 = 0o755,
        contentOwner: UInt32 = 7, flags: UInt32 = 0, by caller: TreeCaller = user
    ) throws -> Errno? {
        let store = try InodeStore(
            pageLimit: 100, inodeLimit: 100, workerCount: 1, shardCount: 1, owner: .root)
        defer { store.unmap() }
        let worker = store.worker(0)
        return try worker.request { () throws(Errno) in
            func make(
                _ parent: NodeID, _ name: String, _ mode: UInt32, _ owner: UInt32
            ) throws(Errno) -> NodeID {
                NodeID(
                    rawValue: try worker.make(
                        parent, name, mode: mode, caller: Caller(userID: owner, groupID: owner)
                    ).nodeID)
            }
            let place = try make(.root, "place", FileMode.directory | 0o755, 7)
            let top = try make(place, "top", FileMode.directory | top, 7)
            for index in 0..<3 { _ = try make(top, "f\(index)", FileMode.regular, 7) }
            let inner = try make(top, "inner", FileMode.directory | mode, owner)
            switch content {
            case "a file":
                let file = try make(inner, "file", FileMode.regular, contentOwner)
                try worker.setFlags(file, flags)
            case "a folder": _ = try make(inner, "folder", FileMode.directory, contentOwner)
            default: break
            }
            do throws(Errno) {
                try worker.checkRemoval(of: top, from: place, by: caller)
                return nil
            } catch { return error }
        }
    }

    @Test(arguments: ["a file", "a folder"]) func whatIsInItMustBeListedAndWritten(
        content: String
    ) throws {
        for mode in [0o700, 0o777] as [UInt32] {
            #expect(try error(inner: mode, holding: content) == nil)
        }
        for mode in [0o600, 0o500, 0o300, 0o100, 0, 0o077] as [UInt32] {
            #expect(try error(inner: mode, holding: content) == .permissionDenied, "\(mode)")
            #expect(try error(inner: mode, holding: "") == nil, "\(mode)")
            let root = TreeCaller(userID: 0, groupIDs: [])
            #expect(try error(inner: mode, holding: content, by: root) == nil)
        }
    }

    @Test(arguments: ["a file", "a folder"]) func ofOthersOnlyWhatTheyLet(content: String) throws {
        #expect(try error(inner: 0o755, owner: 8, holding: content) == .permissionDenied)
        #expect(try error(inner: 0o777, owner: 8, holding: content) == nil)
        #expect(try error(inner: 0o755, owner: 8, holding: "") == nil)
        // With the sticky bit names are their owners'.
        #expect(
            try error(inner: 0o1777, owner: 8, holding: content, contentOwner: 9)
                == .permissionDenied)
        #expect(try error(inner: 0o1777, owner: 8, holding: content, contentOwner: 7) == nil)
        #expect(try error(inner: 0o1777, owner: 7, holding: content, contentOwner: 9) == nil)
        #expect(
            try error(inner: 0o755, owner: 8, holding: "", top: 0o1777) == nil)
    }

    @Test(arguments: [0, 7] as [UInt32]) func flagsHoldForAll(user: UInt32) throws {
        let caller = TreeCaller(userID: user, groupIDs: [])
        for flags in [InodeFlags.immutable, InodeFlags.append] {
            #expect(
                try error(inner: 0o700, holding: "a file", flags: flags, by: caller)
                    == .notPermitted)
        }
        #expect(
            try error(inner: 0o700, holding: "a file", flags: InodeFlags.noDump, by: caller) == nil)
    }

    /// Names of a folder without folders need not be looked at.
    @Test func whatNobodyProtectsIsNotLookedAt() throws {
        let store = try InodeStore(
            pageLimit: 1000, inodeLimit: 30_000, workerCount: 1, shardCount: 1, owner: .root)
        defer { store.unmap() }
        let worker = store.worker(0)
        let top = try worker.request { () throws(Errno) in
            let top = try worker.makeDirectory(.root, "top")
            for index in 0..<20_000 { _ = try worker.makeFile(top, "f\(index)") }
            return top
        }
        func nanoseconds(by caller: TreeCaller) throws -> Duration {
            let begin = ContinuousClock.now
            for _ in 0..<10 {
                try worker.request { () throws(Errno) in
                    try worker.checkRemoval(of: top, from: .root, by: caller)
                }
            }
            return ContinuousClock.now - begin
        }
        let root = TreeCaller(userID: 0, groupIDs: [])
        let free = try nanoseconds(by: root)
        // One file elsewhere, and each has to be looked at.
        try worker.request { () throws(Errno) in
            try worker.setFlags(try worker.makeFile(.root, "fixed"), InodeFlags.immutable)
        }
        let walked = try nanoseconds(by: root)
        print("without a flag \(free), with one \(walked)")
        #expect(free * 20 < walked)
    }
}
