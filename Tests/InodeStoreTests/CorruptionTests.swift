// The check finds what is broken: each test changes one word of a sound store.

import InodeStore
import MayflyTestSupport
import SystemPackage
import Testing

@testable import InodeStore
@testable import MayflyArena

/// One word to change, and what the check must say of it.
struct Damage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let expected: String
    let change: @Sendable (SampleStore) throws -> Void

    init(
        _ name: String, _ expected: String,
        _ change: @escaping @Sendable (SampleStore) throws -> Void
    ) {
        testDescription = name
        self.expected = expected
        self.change = change
    }
}

extension SampleStore {
    var region: Region { store.arena.region }
    var geometry: Geometry { store.arena.geometry }

    /// Adds to a 64-bit word.
    func add(_ offset: UInt64, _ amount: UInt64) {
        region.store(offset, region.load(offset) &+ amount)
    }
    func add32(_ offset: UInt64, _ amount: UInt32) {
        region.store32(offset, region.load32(offset) &+ amount)
    }
    func dentry(_ parent: NodeID, _ name: String) throws -> DentryOffset {
        let directory = try inode(parent)
        return try Name.with(name) { name throws(Errno) in
            worker.findDentry(directory, name, hash: name.hash())
        }
    }
    func content(_ node: NodeID) throws -> UInt64 {
        MapWord(region.load(try inode(node) + Inode.content)).offset
    }
    /// Has another file share pages of the large one.
    ///
    /// - Returns: the number of one of them in its chunk.
    func shareLarge() throws -> UInt64 {
        try worker.request { () throws(Errno) in
            let copy = try worker.makeFile(.root, "copy")
            _ = try worker.copyRange(from: large, at: 12_288, to: copy, at: 12_288, count: 4096)
        }
        let map = MapWord(region.load(try inode(large) + Inode.content))
        return (worker.mapNext(map, from: 3)!.value & (Geometry.chunkBytes - 1)) >> 12
    }
    /// The descriptor of the first chunk of a kind.
    func descriptor(_ kind: ChunkKind) -> UInt64 {
        for chunk in 0..<geometry.chunkCount where !geometry.holdsDescriptors(chunk) {
            let descriptor = geometry.descriptor(chunk)
            if region.load(descriptor + Descriptor.tag) >> 32 == kind.rawValue {
                return descriptor
            }
        }
        return 0
    }
}

let allocatorDamage: [Damage] = [
    Damage("magic", "magic") { $0.add(Superblock.magic, 1) },
    Damage("root word", "root") { $0.add(StoreSuperblock.root, 256) },
    Damage("used count", "bits set") { $0.add($0.descriptor(.small) + Descriptor.used, 1) },
    Damage("leaked unit", "nothing reaches") {
        $0.region.setBits($0.descriptor(.pages) + Descriptor.bitmap + 56, 1 << 60)
    },
    Damage("free unit in use", "reached but free") {
        $0.region.store($0.descriptor(.pages) + Descriptor.bitmap, 0)
    },
    Damage("a table of shared pages", "in a chunk of another kind") {
        $0.region.store($0.descriptor(.pages) + Descriptor.shares, $0.geometry.chunkStart(1) + 64)
    },
    Damage("a count of a shared page", "besides one") {
        let copy = try $0.shareLarge()
        $0.add32($0.region.load($0.descriptor(.pages) + Descriptor.shares) + copy * 4, 1)
    },
    Damage("a shared page without a count", "besides one") {
        let copy = try $0.shareLarge()
        $0.region.store32(
            $0.region.load($0.descriptor(.pages) + Descriptor.shares) + copy * 4, 0)
    },
    Damage("shared pages without a table", "reached twice") {
        _ = try $0.shareLarge()
        $0.region.store($0.descriptor(.pages) + Descriptor.shares, 0)
    },
    Damage("state", "state") { $0.region.store($0.descriptor(.small) + Descriptor.state, 2) },
    Damage("hint", "hint") { $0.region.store($0.descriptor(.small) + Descriptor.hint, 0) },
    Damage("clean", "called clean") {
        $0.region.store($0.descriptor(.pages) + Descriptor.clean, 0)
    },
    Damage("list of another kind", "another owner or kind") {
        let shard = $0.geometry.shard(0)
        $0.region.store(
            shard + Shard.lists(.pages), $0.region.load(shard + Shard.lists(.small)))
    },
    Damage("cyclic list", "on active and on active") {
        let lists = $0.geometry.shard(0) + Shard.lists(.pages)
        $0.region.store(lists + 8, $0.region.load(lists))
        $0.region.store(lists + 16, $0.region.load(lists))
    },
    Damage("tail", "tail") { $0.region.store($0.geometry.shard(1) + Shard.lists(.small) + 16, 1) },
    Damage("pages quota", "pages: limit") { $0.add(Superblock.pageQuota, 1) },
    Damage("credit", "inode space: limit") { $0.add($0.geometry.shard(2) + Shard.inodeCredit, 1) },
    Damage("generations", "sequence of its generations") {
        $0.region.store($0.geometry.shard(3) + Shard.generation, 1 << 60)
    },
    Damage("edge lock", "edge is locked") { $0.region.store(Superblock.pageQuota + 16, 1) },
]

let inodeDamage: [Damage] = [
    Damage("mode", "type") { $0.region.store32(try $0.inode($0.file) + Inode.mode, 0o050644) },
    Damage("mode bits", "mode") { $0.add32(try $0.inode($0.file) + Inode.mode, 1 << 20) },
    Damage("links", "links") { $0.add32(try $0.inode($0.file) + Inode.links, 1) },
    Damage("directory links", "subdirectories") {
        $0.add32(try $0.inode($0.directory) + Inode.links, 1)
    },
    Damage("parent", "parent is another") {
        $0.region.store(try $0.inode($0.directory) + Inode.parent, try $0.inode($0.file).rawValue)
    },
    Damage("generation", "generation") {
        $0.region.store32(
            try $0.inode($0.file) + Inode.generation,
            $0.region.load32(try $0.inode($0.large) + Inode.generation))
    },
    Damage("nanoseconds", "nanoseconds") {
        $0.region.store32(try $0.inode($0.file) + Inode.nanoseconds, 1_000_000_000)
    },
    Damage("flags", "flags") { $0.add32(try $0.inode($0.file) + Inode.flags, 1) },
    Damage("capability bit", "bear out") {
        $0.add32(try $0.inode($0.file) + Inode.flags, InodeFlags.capability)
    },
    Damage("linkable", "linkable") {
        $0.add32(try $0.inode($0.file) + Inode.flags, InodeFlags.linkable)
    },
    Damage("lock", "locked") {
        $0.worker.sideTable.store($0.worker.side(try $0.inode($0.file)) + Side.lock, 1)
    },
    Damage("sequence", "never ended") {
        $0.worker.sideTable.store($0.worker.side(try $0.inode($0.file)) + Side.sequence, 7)
    },
    Damage("dead lookups", "dead") {
        $0.worker.sideTable.store(
            $0.worker.side(try $0.inode($0.file)) + Side.lookups, Side.dead)
    },
    Damage("place of a name", "is not entry") {
        $0.add(try $0.inode($0.link) + Inode.nameCookie, 1)
    },
    Damage("directory of a name", "is not entry") {
        $0.region.store(try $0.inode($0.link) + Inode.parent, 0)
    },
    Damage("number of a name", "is not entry") {
        $0.worker.setNameIndex(try $0.dentry(.root, "link"), 1)
    },
    Damage("orphan of nobody", "no reference") {
        $0.worker.sideTable.store($0.worker.side(try $0.inode($0.temporary)) + Side.lookups, 0)
    },
    Damage("orphan with links", "no name") {
        $0.region.store32(try $0.inode($0.temporary) + Inode.links, 1)
    },
    Damage("tree lock", "tree lock") { $0.worker.sideTable.store(0, 1) },
    Damage("xattr cycle", "reached twice") {
        let first = $0.region.load(try $0.inode($0.file) + Inode.xattrs)
        $0.region.store(first + Xattr.next, first)
    },
    Damage("xattr length", "xattr") {
        let first = $0.region.load(try $0.inode($0.file) + Inode.xattrs)
        $0.region.store32(first + Xattr.nameCount, 300)
    },
]

let contentDamage: [Damage] = [
    Damage("size of a blob", "beyond the end of its blob") {
        $0.region.store(try $0.inode($0.file) + Inode.size, 10)
    },
    Damage("pages", "charged") { $0.add(try $0.inode($0.large) + Inode.pages, 1) },
    Damage("size of a tree", "beyond its end") {
        $0.region.store(try $0.inode($0.large) + Inode.size, 10_000)
    },
    Damage("last page", "in its last page") {
        $0.add(try $0.inode($0.large) + Inode.size, UInt64(bitPattern: -1))
    },
    Damage("map word", "map word") {
        $0.region.store(try $0.inode($0.large) + Inode.content, 9 << 56)
    },
    Damage("map root", "is no place") {
        $0.region.store(
            try $0.inode($0.large) + Inode.content, MapWord(form: 4, detail: 0, offset: 8).rawValue)
    },
    Damage("two files of one blob", "reached twice") {
        let word = $0.region.load(try $0.inode($0.file) + Inode.content)
        let other = try $0.inode($0.temporary)
        $0.region.store(other + Inode.content, word)
    },
    Damage("symlink size", "target") { $0.add(try $0.inode($0.link) + Inode.size, 5000) },
    Damage("special file", "directory with content") {
        $0.region.store(try $0.inode($0.directory) + Inode.size, 5)
    },
]

let directoryDamage: [Damage] = [
    Damage("entries", "counted") { $0.add(try $0.inode($0.directory) + Inode.entries, 1) },
    Damage("name byte", "another name's key") {
        let name = try $0.dentry(.root, "link") + Dentry.name
        unsafe $0.region.pointer(writing: name, 1).storeBytes(of: 0x71, as: UInt8.self)
    },
    Damage("slash", "is no name") {
        let name = try $0.dentry(.root, "link") + Dentry.name
        unsafe $0.region.pointer(writing: name, 1).storeBytes(of: 0x2F, as: UInt8.self)
    },
    Damage("name length", "with a name of") {
        $0.region.store32(try $0.dentry(.root, "link") + Dentry.nameWord, 0)
    },
    Damage("key", "key") { $0.add(try $0.dentry(.root, "link") + Dentry.key, 2) },
    Damage("order", "out of order") {
        $0.region.store(try $0.dentry(.root, "entry7") + Dentry.key, 1)
    },
    Damage("cookie", "cookie") { $0.add(try $0.dentry(.root, "link") + Dentry.cookie, 1) },
    Damage("next cookie", "never given") {
        $0.region.store(try $0.inode(.root) + Inode.nextCookie, 3)
    },
    Damage("a cookie without a successor", "next cookie") {
        $0.region.store(try $0.inode(.root) + Inode.nextCookie, .max)
    },
    Damage("inode of a name", "chunk of another kind") {
        $0.region.store(
            try $0.dentry(.root, "link") + Dentry.inode, try $0.content($0.file))
    },
    Damage("bucket count", "buckets") {
        $0.region.store(try $0.inode(.root) + Inode.bucketCount, 24)
    },
    Damage("cell key", "key of cell") {
        let table = $0.region.load(try $0.inode(.root) + Inode.bucketTable)
        let cells = $0.region.load(table)
        let region = $0.region
        let open = (1..<8 as Range<UInt64>).map { cells + $0 * 16 }
            .first { region.load($0 + Dentry.key) != 0 }
        $0.add(try #require(open) + Dentry.key, 2)
    },
    Damage("lost end of the list", "cookies") {
        $0.region.store(try $0.dentry($0.directory, "large") + Dentry.link, 0)
        $0.region.store(try $0.inode($0.directory) + Inode.firstCell, 0)
    },
]

@Suite struct CorruptionTests {
    @Test(arguments: [allocatorDamage, inodeDamage, contentDamage, directoryDamage].flatMap { $0 })
    func isFound(damage: Damage) throws {
        let sample = try SampleStore()
        defer { sample.store.unmap() }
        #expect(sample.worker.check().isSound)
        try damage.change(sample)
        let problems = sample.worker.check().problems
        #expect(
            problems.contains { $0.contains(damage.expected) },
            "expected \"\(damage.expected)\" among \(problems)")
    }
}
