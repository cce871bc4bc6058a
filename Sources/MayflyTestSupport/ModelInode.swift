// ModelInode: one inode of the model file system, in plain Swift collections.

internal import InodeStore
internal import SystemPackage

/// What the model keeps of an inode. A class: names and the test hold the same one.
package final class ModelInode {
    /// The nodeid that the store gave it.
    package var node: UInt64 = 0
    package var mode: UInt32
    package var userID: UInt32
    package var groupID: UInt32
    package var device: UInt32 = 0
    package var links: UInt32 = 1
    package var flags: UInt32 = 0
    package var isLinkable = false
    package var lookups = 0
    package var size: UInt64 = 0
    /// Pages that were written, by index; 4,096 bytes each.
    package var pages: [UInt64: [UInt8]] = [:]
    /// Pages that fallocate(2) made.
    package var unwritten: Set<UInt64> = []
    package var target: [UInt8] = []
    package var xattrs: [String: [UInt8]] = [:]
    package weak var parent: ModelInode?
    package var entries: [String: (inode: ModelInode, cookie: UInt64)] = [:]
    package var nextCookie: UInt64 = 2

    init(mode: UInt32, userID: UInt32, groupID: UInt32) {
        self.mode = mode
        self.userID = userID
        self.groupID = groupID
    }

    /// The same inode for another model, but for the inodes that it leads to.
    func copied() -> ModelInode {
        let copy = ModelInode(mode: mode, userID: userID, groupID: groupID)
        copy.node = node
        copy.device = device
        copy.links = links
        copy.flags = flags
        copy.isLinkable = isLinkable
        copy.lookups = lookups
        copy.size = size
        copy.pages = pages
        copy.unwritten = unwritten
        copy.target = target
        copy.xattrs = xattrs
        copy.nextCookie = nextCookie
        return copy
    }

    package var type: UInt32 { mode & FileMode.typeMask }
    package var isDirectory: Bool { type == FileMode.directory }
    package var isRegular: Bool { type == FileMode.regular }

    package var charged: UInt64 {
        type == FileMode.symlink
            ? (target.count >= 128 ? 1 : 0) : UInt64(pages.count + unwritten.count)
    }
    /// As `Attributes.size`.
    package var reportedSize: UInt64 {
        if isDirectory { return UInt64(entries.count + 2) * 20 }
        return type == FileMode.symlink ? UInt64(target.count) : size
    }
    /// As `Attributes.flags`, the store's own bits among them.
    package var reportedFlags: UInt32 {
        var bits = flags
        if isLinkable { bits |= 1 << 27 }
        if xattrs["security.capability"] != nil { bits |= 1 << 28 }
        if xattrs[ModelACL.accessName] != nil { bits |= 1 << 29 }
        if xattrs[ModelACL.defaultName] != nil { bits |= 1 << 30 }
        return bits
    }
    /// Inode space, in bytes.
    package var space: UInt64 {
        var sum: UInt64 = 1024 * (isDirectory ? 1 : UInt64(max(links, 1)))
        for (name, value) in xattrs where !ModelACL.isName(name) {
            sum += UInt64(40 + name.utf8.count + value.count)
        }
        return sum
    }

    // MARK: content

    package func read(_ offset: UInt64, _ count: UInt64) -> [UInt8] {
        guard offset < size else { return [] }
        let end = min(size, offset + count)
        var bytes = [UInt8](repeating: 0, count: Int(end - offset))
        var at = offset
        while at < end {
            let index = at >> 12
            let until = min(end, (index + 1) << 12)
            if let page = pages[index] {
                bytes.replaceSubrange(
                    Int(at - offset)..<Int(until - offset),
                    with: page[Int(at & 4095)..<Int(at & 4095) + Int(until - at)])
            }
            at = until
        }
        return bytes
    }

    /// Puts bytes into pages; how many went in before a page was missing.
    func put(_ offset: UInt64, _ bytes: [UInt8], free: UInt64) -> Int {
        var free = free
        var done = 0
        while done < bytes.count {
            let at = offset + UInt64(done)
            let index = at >> 12
            let count = min(bytes.count - done, Int((index + 1) << 12 - at))
            if pages[index] == nil {
                if unwritten.remove(index) == nil {
                    if free == 0 { return done }
                    free -= 1
                }
                pages[index] = [UInt8](repeating: 0, count: 4096)
            }
            let within = Int(at & 4095)
            pages[index]!.replaceSubrange(
                within..<within + count, with: bytes[done..<done + count])
            done += count
        }
        return done
    }

    func zero(_ start: UInt64, _ end: UInt64) {
        for index in pages.keys where (index + 1) << 12 > start && index << 12 < end {
            let from = max(start, index << 12) - index << 12
            let to = min(end, (index + 1) << 12) - index << 12
            for byte in Int(from)..<Int(to) { pages[index]![byte] = 0 }
        }
    }

    func drop(from first: UInt64, to end: UInt64) {
        pages = pages.filter { !(first..<end).contains($0.key) }
        unwritten = unwritten.filter { !(first..<end).contains($0) }
    }

    func clearSetID() {
        mode &= ~FileMode.setUserID
        if mode & FileMode.groupExecute != 0 { mode &= ~FileMode.setGroupID }
    }
}

/// An ACL as the model reads it.
struct ModelACL {
    static let accessName = "system.posix_acl_access"
    static let defaultName = "system.posix_acl_default"
    static func isName(_ name: String) -> Bool { name == accessName || name == defaultName }

    struct Entry {
        var tag: UInt16
        var permissions: UInt16
        var id: UInt32
    }
    var entries: [Entry] = []

    /// Nil when the bytes are no valid ACL.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 28, bytes.count % 8 == 4, bytes[0..<4] == [2, 0, 0, 0] else {
            return nil
        }
        for at in stride(from: 4, to: bytes.count, by: 8) {
            let id = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + 4 + $1]) << (8 * $1) }
            entries.append(
                Entry(
                    tag: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8,
                    permissions: UInt16(bytes[at + 2]) | UInt16(bytes[at + 3]) << 8, id: id))
        }
        let tags = entries.map(\.tag)
        guard tags == tags.sorted(), entries.allSatisfy({ $0.permissions <= 7 }),
            tags.allSatisfy({ [1, 2, 4, 8, 16, 32].contains($0) })
        else { return nil }
        for tag: UInt16 in [1, 4, 32] where tags.filter({ $0 == tag }).count != 1 { return nil }
        let masks = tags.filter { $0 == 16 }.count
        guard masks <= 1 else { return nil }
        if tags.contains(2) || tags.contains(8) { guard masks == 1 else { return nil } }
    }

    var bytes: [UInt8] {
        entries.reduce(into: [2, 0, 0, 0]) { bytes, entry in
            bytes += [UInt8(entry.tag), 0, UInt8(entry.permissions), 0]
            bytes += (0..<4).map { UInt8(truncatingIfNeeded: entry.id >> (8 * $0)) }
        }
    }

    func permissions(_ tag: UInt16) -> UInt32? {
        entries.first { $0.tag == tag }.map { UInt32($0.permissions) }
    }
    var mode: UInt32 {
        permissions(1)! << 6 | (permissions(16) ?? permissions(4)!) << 3 | permissions(32)!
    }
    var isWhole: Bool { entries.count == 3 }

    mutating func change(to mode: UInt32) {
        let group: UInt16 = permissions(16) != nil ? 16 : 4
        for index in entries.indices {
            switch entries[index].tag {
            case 1: entries[index].permissions = UInt16(mode >> 6 & 7)
            case group: entries[index].permissions = UInt16(mode >> 3 & 7)
            case 32: entries[index].permissions = UInt16(mode & 7)
            default: break
            }
        }
    }
}
