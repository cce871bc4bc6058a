// SnapshotShelf: the moments of a mount that it can go back to, by name.

internal import CMayflyMemory
internal import InodeStore
internal import MayflyHost

/// A moment of a mount, as it is listed.
public struct SnapshotRecord: Codable, Sendable, Equatable {
    /// What it is called; numbers where no name was given.
    public var name: String
    /// When it was taken, in nanoseconds since 1970.
    public var timeNanoseconds: UInt64
    /// Content and inodes at that moment.
    public var bytes: UInt64
    /// Files, directories and further links at that moment.
    public var inodes: UInt64
    /// Memory of its own: copies of pages that differed from the base.
    public var privateBytes: UInt64
}

/// What `mayfly snapshots` tells.
public struct SnapshotList: Codable, Sendable, Equatable {
    /// The oldest first.
    public var snapshots: [SnapshotRecord]
    /// The file that all of them and the mount itself have in common; nil before there is one.
    public var sharedBytes: UInt64?
    /// What the mount itself has changed of it, and added.
    public var privateBytes: UInt64
}

/// Named snapshots with their common base. A value, guarded by its owner.
struct SnapshotShelf: Sendable {
    struct Item: Sendable {
        var record: SnapshotRecord
        let snapshot: StoreSnapshot
    }

    /// The name of what a mount that was started from an image, or as a fork, was at first.
    static let start = "start"

    var base: SnapshotBase?
    private(set) var items: [Item] = []

    /// The one of a name; without a name the newest.
    func item(_ name: String?) throws(MountError) -> Item {
        guard let name else {
            guard let last = items.last else {
                throw MountError(
                    .usage, code: .noSuchSnapshot,
                    "there is no snapshot yet: take one with `mayfly snapshot DIR`")
            }
            return last
        }
        guard let item = items.first(where: { Self.isSame($0.record.name, name) }) else {
            let names = items.map { ShellQuote.quoted($0.record.name) }.joined(separator: ", ")
            throw MountError(
                .usage, code: .noSuchSnapshot,
                "there is no snapshot \(Self.inQuotes(name)): "
                    + (names.isEmpty ? "take one with `mayfly snapshot DIR`" : "there are \(names)")
            )
        }
        return item
    }

    /// A name that is free, or the given one if it may be taken.
    func freeName(_ name: String?, replacing: Bool) throws(MountError) -> String {
        guard let name else {
            var number = 1
            while items.contains(where: { $0.record.name == "\(number)" }) { number += 1 }
            return "\(number)"
        }
        let plain = PathBytes(name).text
        guard Self.isName(plain) else { throw MountError(.usage, Self.badName(plain)) }
        if !replacing, items.contains(where: { Self.isSame($0.record.name, plain) }) {
            throw MountError(
                .usage, code: .nameTaken,
                "there is a snapshot \(Self.inQuotes(name)) already: give another name, or \(setting: .replace)"
            )
        }
        return plain
    }

    /// Whether a snapshot may be called so.
    static func isName(_ name: String) -> Bool {
        let bytes = PathBytes(name).bytes
        return !bytes.isEmpty && bytes.count <= 255
            && bytes.allSatisfy { $0 > 32 && $0 != UInt8(ascii: "/") && $0 != 127 }
    }

    static func badName(_ name: String) -> String {
        "bad snapshot name \(inQuotes(name)): give up to 255 bytes without blanks and slashes"
    }

    private static func inQuotes(_ name: String) -> String {
        let name = PathBytes(name)
        return ShellQuote.isPrintable(name.bytes) ? "'\(name.text)'" : ShellQuote.quoted(name)
    }

    /// Whether two names have the same bytes, which Strings that are equal need not have.
    private static func isSame(_ one: String, _ other: String) -> Bool {
        PathBytes(one) == PathBytes(other)
    }

    mutating func add(_ name: String, _ snapshot: StoreSnapshot) -> SnapshotRecord {
        let record = SnapshotRecord(
            name: name,
            timeNanoseconds: WallClock.nanoseconds,
            bytes: snapshot.pagesInUse * SizeText.pageBytes,
            inodes: snapshot.inodeSpaceInUse / InodeStore.inodeSpaceUnit,
            privateBytes: snapshot.privateBytes)
        items.removeAll { Self.isSame($0.record.name, name) }
        items.append(Item(record: record, snapshot: snapshot))
        base = snapshot.base
        return record
    }

    mutating func remove(_ name: String) throws(MountError) {
        _ = try item(name)
        items.removeAll { Self.isSame($0.record.name, name) }
    }
}
