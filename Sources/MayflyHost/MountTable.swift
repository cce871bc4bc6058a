// The mounts this process sees, from /proc/self/mountinfo. Reading it asks no mount anything.

/// The lines of a mount table.
package struct MountTable: Sendable {
    package struct Entry: Sendable, Equatable {
        /// The mount's number; one that is given again when the mount is gone.
        package var mountID: UInt64
        /// The number of the mount that it is mounted on.
        package var parentID: UInt64
        /// "major:minor" as /proc spells it; the minor number is the FUSE connection's.
        package var device: String
        /// The part of the file system that is mounted: "/" unless it is a bind mount of a part.
        package var root: PathBytes
        /// The absolute path mounted on.
        package var mountpoint: PathBytes
        /// "fuse.mayfly" for instance.
        package var type: String
        package var source: String
        /// Those of the file system, as it tells them: "rw,user_id=0,group_id=0" for instance.
        package var options = ""
    }

    /// The type of a mount that was given no other.
    package static let ownType = "fuse.mayfly"

    /// In the order of mounting, so that the last one at a path is the visible one.
    package var entries: [Entry]

    package static func current() -> MountTable { MountTable(ofProcess: "self") }

    /// The mounts that a process sees; none where it may not be looked at.
    package init(ofProcess process: String) {
        self.init(parsing: HostFile.bytes(at: "/proc/\(process)/mountinfo") ?? [])
    }

    package init(parsing text: String) { self.init(parsing: Array(text.utf8)) }

    /// - Source: proc_pid_mountinfo(5).
    package init(parsing bytes: [UInt8]) {
        func text(_ field: ArraySlice<UInt8>) -> String { ByteText.text(of: field) }
        entries = bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "))
            guard let dash = fields.firstIndex(of: [UInt8(ascii: "-")]), dash >= 6,
                fields.count > dash + 2, let mountID = UInt64(text(fields[0])),
                let parentID = UInt64(text(fields[1]))
            else { return nil }
            return Entry(
                mountID: mountID, parentID: parentID, device: text(fields[2]),
                root: PathBytes(bytes: Self.unescaped(fields[3])),
                mountpoint: PathBytes(bytes: Self.unescaped(fields[4])),
                type: text(fields[dash + 1]),
                source: text(Self.unescaped(fields[dash + 2])[...]),
                options: fields.count > dash + 3 ? text(fields[dash + 3]) : "")
        }
    }

    /// A field in which space, tab, newline and backslash stand as \ and three octal digits.
    package static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(field.count)
        var rest = field
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                result.append(code)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }

    /// The visible mount at exactly `path`; nil when none is mounted there.
    package func entry(at path: PathBytes) -> Entry? { entries.last { $0.mountpoint == path } }

    /// The same for a path that was given as text.
    package func entry(at path: String) -> Entry? { entry(at: PathBytes(path)) }

    /// Whether something is mounted below a path, which is absolute and has no links.
    package func hasMount(below path: PathBytes) -> Bool {
        entries.contains { $0.mountpoint != path && $0.mountpoint.names.starts(with: path.names) }
    }

    /// The mount that `path`, absolute and without links, lies in.
    package func entry(around path: PathBytes) -> Entry? {
        var folder = path.bytes[...]
        while true {
            let place: PathBytes = folder.isEmpty ? "/" : PathBytes(bytes: folder)
            if let entry = entry(at: place) { return entry }
            guard let slash = folder.lastIndex(of: UInt8(ascii: "/")) else { return nil }
            folder = folder[..<slash]
        }
    }

    /// `path` without "." and "..", and without symbolic links, but for those in a Mayfly mount:
    /// its server may hang, and what asks it then waits for as long as it does and cannot even be
    /// killed. nil for links without end.
    package func place(of path: PathBytes) -> PathBytes? {
        let slash = UInt8(ascii: "/")
        var place: [UInt8] = []
        var rest = Array(path.names.reversed())
        if path.bytes.first != slash {
            rest += (HostFile.linkBytes(at: "/proc/self/cwd") ?? "/").names.reversed()
        }
        var links = 0
        while let name = rest.popLast() {
            if name == [UInt8(ascii: ".")] { continue }
            if name == Array("..".utf8)[...] {
                place = place.lastIndex(of: slash).map { Array(place[..<$0]) } ?? []
                continue
            }
            let next = PathBytes(bytes: place + [slash] + name)
            if entry(around: next)?.isOwn != true, let target = HostFile.linkBytes(at: next) {
                links += 1
                if links > 40 { return nil }  // as many as the kernel follows
                if target.bytes.first == slash { place = [] }
                rest += target.names.reversed()
            } else {
                place = next.bytes
            }
        }
        return place.isEmpty ? "/" : PathBytes(bytes: place)
    }
}

extension MountTable.Entry {
    /// Whether it is a Mayfly mount, as far as the mount table tells.
    package var isOwn: Bool { type == MountTable.ownType || (type == "fuse" && source == "mayfly") }

    /// The number of the FUSE connection.
    package var connection: UInt32? { device.split(separator: ":").last.flatMap { UInt32($0) } }

    /// Which mount it is, whatever its path becomes; nil on a device that is no FUSE connection's.
    package var identity: MountIdentity? {
        guard device.hasPrefix("0:") else { return nil }
        return connection.map { MountIdentity(connection: $0, mountID: mountID) }
    }

    /// The user that mounted it.
    ///
    /// - Source: fs/fuse/inode.c, `fuse_show_options()`.
    package var userID: UInt32? {
        let prefix = "user_id="
        let option = options.split(separator: ",").first { $0.hasPrefix(prefix) }
        return option.flatMap { UInt32($0.dropFirst(prefix.count)) }
    }
}
