// MountsInside: the mounts that stand on folders and files of a tree, in every mount namespace that
// can be seen (Docs/Rollback.md).

internal import CMayflySystem
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyHost

/// A mount on a folder or file of the tree.
struct MountInside: Sendable {
    /// Where the names begin: the root of the tree, or the root of a process.
    var start: NodeID = .root
    /// The names from there to the mountpoint.
    var names: [[UInt8]]
    /// What a message calls the mountpoint: a path in the tree.
    var description: String
}

enum MountsInside {
    /// Enough for the first line of a mount table.
    private static let lineBytes = 256

    /// The mounts whose mountpoints lie in the tree.
    ///
    /// Mount tables are open to all, unlike the links below /proc/PID/ns. The first line of one begins
    /// with a number that no other namespace has, nor another root of a process.
    ///
    /// - Parameter connection: the number of the tree's device, which is 0:connection.
    /// - Complexity: three system calls for each process, and a mount table for each namespace.
    static func find(connection: UInt32) -> [MountInside] {
        var found: [MountInside] = []
        var seen: Set<[UInt8]> = []
        for name in ["self"] + HostFile.names(in: "/proc") {
            let process = Int32(name)
            guard process != nil || name == "self",
                let start = HostFile.bytes(at: "/proc/\(name)/mountinfo", atMost: lineBytes),
                seen.insert(Array(start.prefix { $0 != UInt8(ascii: "\n") })).inserted
            else { continue }
            found += mounts(
                MountTable(ofProcess: name), connection: connection, process: process)
        }
        return found
    }

    /// The lines of a mount table whose parent is a mount of the tree.
    ///
    /// - Parameter process: whose table it is; nil for this one's.
    /// - Source: proc_pid_mountinfo(5). A mount above the process's root has no line.
    private static func mounts(
        _ table: MountTable, connection: UInt32, process: Int32?
    ) -> [MountInside] {
        let device = "0:\(connection)"
        let parents = Dictionary(
            table.entries.filter { $0.device == device }.map { ($0.mountID, $0) }
        ) { $1 }
        let above = process.flatMap { ProcessRoot($0, connection: connection) }
        if parents.isEmpty && above == nil { return [] }
        let listed = Set(table.entries.map(\.mountID))
        return table.entries.compactMap { entry in
            let place = entry.mountpoint.names.map(Array.init)
            if let parent = parents[entry.parentID] {
                let start = parent.mountpoint.names.count
                guard place.count >= start else { return nil }
                return MountInside(
                    names: parent.root.names.map(Array.init) + place.dropFirst(start))
            }
            guard let above, !listed.contains(entry.parentID), entry.parentID == above.mount else {
                return nil
            }
            var mount = MountInside(names: place)
            mount.start = above.node
            mount.description += " below the root of process \(above.process)"
            return mount
        }
    }
}

extension MountInside {
    fileprivate init(names: [[UInt8]]) {
        self.names = names
        description = "/" + names.map { ByteText.text(of: $0) }.joined(separator: "/")
    }
}

/// The root of a process, where it is a folder of the tree.
private struct ProcessRoot {
    let process: Int32
    let node: NodeID
    /// The number of the mount that it lies in.
    let mount: UInt64

    /// nil where it is no folder of the tree.
    init?(_ process: Int32, connection: UInt32) {
        var inode: UInt64 = 0
        let descriptor = unsafe csys_open_on_device(-1, "/proc/\(process)/root", connection, &inode)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard let facts = HostFile.text(at: "/proc/self/fdinfo/\(descriptor)"),
            let mount = HostFile.field("mnt_id", in: facts)?.last.flatMap({ UInt64($0) })
        else { return nil }
        self.process = process
        node = NodeID(rawValue: inode)
        self.mount = mount
    }
}
