import CMayflyTestSupport
import Glibc

/// One system call of a history, with everything it needs.
///
/// It names paths and descriptors by their place in small tables, so that a history stays
/// meaningful when operations are taken out of it, which is what shrinking does.
package struct DifferentialOperation: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case open, temporary, close, linkDescriptor
        case read, readAt, readVector, write, writeAt, writeVector, seek, mapWrite, synchronize
        case truncate, truncateDescriptor, allocate, copyRange
        case makeDirectory, removeDirectory, unlink, rename, link, symlink, readLink, makeNode
        case chmod, chmodDescriptor, chown, chownDescriptor, setTimes, access
        case setAttribute, getAttribute, listAttributes, removeAttribute, setAccessList
        case setFlags, getFlags, list, statfs
    }

    /// Who calls: an index into `identities`.
    var identity = 0
    /// An index into `capabilities`: root calls without this one, a user with it; 0 is none.
    var capability = 0
    var umask: UInt32 = 0o022
    var kind: Kind
    /// Indexes into `DifferentialPaths.all`.
    var path = 0
    var other = 0
    /// Indexes into the table of descriptors.
    var slot = 0
    var otherSlot = 0
    /// What the kind makes of them: open flags, rename flags, a mode of fallocate and so on.
    var flags: Int32 = 0
    var mode: UInt32 = 0
    var offset: Int64 = 0
    var length = 0
    /// Chooses contents, names of attributes and ids.
    var value: UInt32 = 0

    init(_ kind: Kind) { self.kind = kind }

    static let slotCount = 6
    static let identities: [(uid: UInt32, gid: UInt32, groups: [UInt32])] = [
        (0, 0, []), (1001, 1001, [1003]), (1002, 1002, [1001, 1004]), (1003, 1004, [1002, 1003]),
    ]
    /// Those that file systems ask for. Numbers are of capabilities(7).
    static let capabilities: [(name: String, number: Int32)] = [
        ("", -1), ("CHOWN", 0), ("DAC_OVERRIDE", 1), ("DAC_READ_SEARCH", 2), ("FOWNER", 3),
        ("FSETID", 4), ("LINUX_IMMUTABLE", 9), ("SYS_ADMIN", 21), ("SYS_RESOURCE", 24),
        ("MKNOD", 27), ("SETFCAP", 31),
    ]
    /// Whether permissions may refuse the caller something.
    var isRestricted: Bool { identity != 0 || capability != 0 }
    static let owners: [UInt32] = [.max, 0, 1001, 1002, 1003, 1004, 77_777]
    static let attributeNames = [
        "user.a", "user.b", "user.c", "user." + String(repeating: "n", count: 250), "trusted.t",
        "security.mayfly", "user.", "bogus.name", "user." + String(repeating: "n", count: 251),
        "security.capability",
    ]
    static let attributeSizes = [0, 1, 7, 64, 300, 3000, 65_536, 65_537]

    /// Whether one of its arguments is a second path.
    var hasOther: Bool { kind == .rename || kind == .link }
    /// Whether the result is a new descriptor, whose number means nothing.
    var makesDescriptor: Bool { kind == .open || kind == .temporary }
    var usesDescriptor: Bool {
        switch kind {
        case .open, .temporary, .close, .linkDescriptor, .read, .readAt, .readVector, .write,
            .writeAt, .writeVector, .seek, .mapWrite, .synchronize, .truncateDescriptor,
            .allocate, .copyRange, .chmodDescriptor, .chownDescriptor:
            true
        default: false
        }
    }
    var usesPath: Bool {
        switch kind {
        case .open, .temporary, .linkDescriptor: true
        default: !usesDescriptor && kind != .statfs
        }
    }

    var attributeName: String {
        Self.attributeNames[Int(value) % Self.attributeNames.count]
    }
    var attributeSize: Int {
        Self.attributeSizes[length % Self.attributeSizes.count]
    }
    var owner: (uid: UInt32, gid: UInt32) {
        let count = Self.owners.count
        return (Self.owners[Int(value) % count], Self.owners[Int(value) / count % count])
    }
}

extension DifferentialOperation: CustomStringConvertible {
    package var description: String {
        var words = [kind.rawValue]
        if usesPath { words.append("'\(DifferentialPaths.shown(path))'") }
        if hasOther { words.append("'\(DifferentialPaths.shown(other))'") }
        if usesDescriptor { words.append("fd\(slot)") }
        words += details
        if identity != 0 { words.append("uid=\(Self.identities[identity].uid)") }
        if capability != 0 {
            let name = Self.capabilities[capability].name
            words.append((identity == 0 ? "without" : "with") + " CAP_" + name)
        }
        if umask != 0o022 { words.append("umask=\(octal(umask))") }
        return words.joined(separator: " ")
    }

    private var details: [String] {
        switch kind {
        case .open: [openFlags, "mode=\(octal(mode))"]
        case .temporary: [flags & O_EXCL != 0 ? "O_EXCL" : "", "mode=\(octal(mode))"]
        case .read, .write: ["length=\(length)"]
        case .readAt, .readVector, .writeAt, .writeVector, .mapWrite:
            ["offset=\(offset)", "length=\(length)"]
        case .allocate: ["mode=\(flags)", "offset=\(offset)", "length=\(length)"]
        case .seek: ["offset=\(offset)", ["SET", "CUR", "END", "DATA", "HOLE"][Int(flags)]]
        case .truncate, .truncateDescriptor: ["size=\(offset)"]
        case .copyRange:
            ["offset=\(offset)", "to=fd\(otherSlot)", "at=\(otherOffset)", "length=\(length)"]
        case .makeDirectory, .chmod, .chmodDescriptor: ["mode=\(octal(mode))"]
        case .makeNode: ["mode=\(octal(mode))", "device=\(value % 3)"]
        case .rename, .access: ["flags=\(flags)"]
        case .link: [flags != 0 ? "FOLLOW" : ""]
        case .symlink: ["target=\(DifferentialPaths.target(value).count) bytes"]
        case .chown, .chownDescriptor:
            [
                "\(Int32(bitPattern: owner.uid)):\(Int32(bitPattern: owner.gid))",
                flags != 0 ? "FOLLOW" : "",
            ]
        case .setTimes: ["form=\(flags)", "value=\(value)"]
        case .setAttribute:
            [attributeName.prefix(20).description, "size=\(attributeSize)", "flags=\(flags)"]
        case .getAttribute, .removeAttribute: [attributeName.prefix(20).description]
        case .setAccessList: [flags == 0 ? "access" : "default", "value=\(value)"]
        case .setFlags: ["flags=\(mode)"]
        default: []
        }
    }

    /// Where copy_file_range(2) writes.
    var otherOffset: Int64 { DifferentialGenerator.offsets[Int(value) % 16] }

    private var openFlags: String {
        let names: [(Int32, String)] = [
            (O_CREAT, "CREAT"), (O_EXCL, "EXCL"), (O_TRUNC, "TRUNC"), (O_APPEND, "APPEND"),
            (CPS_O_DIRECT, "DIRECT"), (O_DIRECTORY, "DIRECTORY"), (O_NOFOLLOW, "NOFOLLOW"),
        ]
        let set = names.filter { flags & $0.0 != 0 }.map(\.1)
        return ([["RDONLY", "WRONLY", "RDWR", "3"][Int(flags & 3)]] + set).joined(separator: "|")
    }

    private func octal(_ number: UInt32) -> String { "0" + String(number, radix: 8) }
}

/// The names that histories use, relative to a root.
enum DifferentialPaths {
    static let all: [String] = {
        let top = ["a", "b", "c", "d"]
        let deep = ["a", "b"]
        var paths = top
        paths += top.flatMap { folder in ["a", "b", "c"].map { "\(folder)/\($0)" } }
        paths += deep.flatMap { x in deep.flatMap { y in deep.map { "\(x)/\(y)/\($0)" } } }
        paths += ["a/" + String(repeating: "l", count: 255), String(repeating: "l", count: 256)]
        return paths + [".", "a/.", "b/..", "c/", "a/b/"]
    }()

    /// Places of `all` that most operations use.
    static let plainCount = 25

    static func shown(_ index: Int) -> String {
        let path = all[index]
        return path.count > 40 ? path.prefix(8) + "...(\(path.count))" : path
    }

    static func parent(_ index: Int) -> String {
        let parts = all[index].split(separator: "/").dropLast()
        return parts.isEmpty ? "." : parts.joined(separator: "/")
    }

    /// Contents of symbolic links: near ones, a loop, none, and lengths where storage changes.
    static func target(_ value: UInt32) -> [UInt8] {
        let near = ["a", "b", "../a", "a/b", "../b/c", "c", "missing", "./d"]
        let lengths = [63, 64, 65, 127, 128, 129, 4095, 4096]
        let choice = Int(value)
        if choice % 3 > 0 { return Array(near[choice % near.count].utf8) }
        return [UInt8](repeating: UInt8(ascii: "t"), count: lengths[choice % lengths.count])
    }
}
