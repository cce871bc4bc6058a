// The mounts this process sees, from /proc/self/mountinfo. Reading it asks no mount anything.

/// One line of the mount table.
struct MountTable: Sendable {
    struct Entry: Sendable, Equatable {
        /// "major:minor" as /proc spells it; the minor number is the FUSE connection's.
        var device: String
        /// The absolute path mounted on.
        var mountpoint: String
        /// "fuse.mayfly" for instance.
        var type: String
        var source: String
        /// Those of the file system, as it tells them: "rw,user_id=0,group_id=0" for instance.
        var options = ""
    }

    /// The type of a mount that was given no other.
    static let ownType = "fuse.mayfly"

    /// In the order of mounting, so that the last one at a path is the visible one.
    var entries: [Entry]

    static func current() -> MountTable {
        MountTable(parsing: HostFile.text(at: "/proc/self/mountinfo") ?? "")
    }

    /// - Source: proc_pid_mountinfo(5).
    init(parsing text: String) {
        entries = text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 2
            else { return nil }
            return Entry(
                device: String(fields[2]), mountpoint: Self.unescaped(fields[4]),
                type: String(fields[dash + 1]), source: Self.unescaped(fields[dash + 2]),
                options: fields.count > dash + 3 ? String(fields[dash + 3]) : "")
        }
    }

    /// The visible mount at exactly `path`; nil when none is mounted there.
    func entry(at path: String) -> Entry? { entries.last { $0.mountpoint == path } }

    /// The mount that `path`, absolute and without links, lies in.
    func entry(around path: String) -> Entry? {
        var folder = path[...]
        while true {
            if let entry = entry(at: folder.isEmpty ? "/" : String(folder)) { return entry }
            guard let slash = folder.lastIndex(of: "/") else { return nil }
            folder = folder[..<slash]
        }
    }

    /// `path` without "." and "..", and without symbolic links, but for those in a Mayfly mount:
    /// its server may hang, and what asks it then waits for as long as it does and cannot even be
    /// killed. nil for links without end.
    func place(of path: String) -> String? {
        var place = ""
        var rest = Array(path.split(separator: "/").reversed())
        if !path.hasPrefix("/") {
            rest += (HostFile.link(at: "/proc/self/cwd") ?? "/").split(separator: "/").reversed()
        }
        var links = 0
        while let name = rest.popLast() {
            if name == "." { continue }
            if name == ".." {
                place = place.lastIndex(of: "/").map { String(place[..<$0]) } ?? ""
                continue
            }
            let next = "\(place)/\(name)"
            if entry(around: next)?.isOwn != true, let target = HostFile.link(at: next) {
                links += 1
                if links > 40 { return nil }  // as many as the kernel follows
                if target.hasPrefix("/") { place = "" }
                rest += target.split(separator: "/").reversed()
            } else {
                place = next
            }
        }
        return place.isEmpty ? "/" : place
    }

    /// Text in which space, tab, newline and backslash stand as \ and three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        guard field.contains("\\") else { return String(field) }
        let source = Array(field.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < source.count {
            if source[index] == UInt8(ascii: "\\"), index + 3 < source.count,
                let value = UInt8(
                    String(decoding: source[(index + 1)...(index + 3)], as: UTF8.self), radix: 8)
            {
                result.append(value)
                index += 4
            } else {
                result.append(source[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

extension MountTable.Entry {
    /// Whether it is a Mayfly mount, as far as the mount table tells.
    var isOwn: Bool { type == MountTable.ownType || (type == "fuse" && source == "mayfly") }
}
