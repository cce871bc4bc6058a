/// An access control list as `system.posix_acl_access` holds it: acl(5),
/// include/uapi/linux/posix_acl_xattr.h.
struct PosixAccessList: Sendable, Equatable {
    static let access = "system.posix_acl_access"
    static let inherited = "system.posix_acl_default"
    static let nobody: UInt32 = .max

    enum Tag: UInt16, Sendable {
        case owner = 0x01
        case user = 0x02
        case group = 0x04
        case namedGroup = 0x08
        case mask = 0x10
        case other = 0x20
    }

    struct Entry: Sendable, Equatable {
        var tag: Tag
        var permissions: UInt16
        var id: UInt32
    }

    var entries: [Entry]

    /// The three entries of a mode, then named ones with their mask, in the order of acl(5).
    init(
        _ mode: UInt16, users: [(UInt32, UInt16)] = [], groups: [(UInt32, UInt16)] = [],
        mask: UInt16? = nil
    ) {
        entries = [Entry(tag: .owner, permissions: mode >> 6 & 7, id: Self.nobody)]
        entries += users.map { Entry(tag: .user, permissions: $0.1, id: $0.0) }
        entries.append(Entry(tag: .group, permissions: mode >> 3 & 7, id: Self.nobody))
        entries += groups.map { Entry(tag: .namedGroup, permissions: $0.1, id: $0.0) }
        if let mask { entries.append(Entry(tag: .mask, permissions: mask, id: Self.nobody)) }
        entries.append(Entry(tag: .other, permissions: mode & 7, id: Self.nobody))
    }

    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 4, bytes.count % 8 == 4, bytes[0..<4] == [2, 0, 0, 0] else {
            return nil
        }
        entries = []
        for start in stride(from: 4, to: bytes.count, by: 8) {
            let word = { (offset: Int) in
                UInt16(bytes[start + offset]) | UInt16(bytes[start + offset + 1]) << 8
            }
            guard let tag = Tag(rawValue: word(0)) else { return nil }
            let id = UInt32(word(4)) | UInt32(word(6)) << 16
            entries.append(Entry(tag: tag, permissions: word(2), id: id))
        }
    }

    var bytes: [UInt8] {
        entries.reduce([2, 0, 0, 0]) { bytes, entry in
            bytes + little(entry.tag.rawValue) + little(entry.permissions)
                + little(UInt16(truncatingIfNeeded: entry.id))
                + little(UInt16(truncatingIfNeeded: entry.id >> 16))
        }
    }

    private func little(_ word: UInt16) -> [UInt8] { [UInt8(word & 0xFF), UInt8(word >> 8)] }
}

extension PosixPath {
    func setAccessList(
        _ list: PosixAccessList, _ name: String = PosixAccessList.access
    ) throws(PosixCallFailure) {
        try setAttribute(name, list.bytes)
    }

    func accessList(
        _ name: String = PosixAccessList.access
    ) throws(PosixCallFailure) -> PosixAccessList? {
        PosixAccessList(try attribute(name))
    }
}
