// StoreWorker with Swift's own types: names as strings, bytes as arrays, one entry per call.

internal import CMayflyMemory
package import InodeStore
package import SystemPackage

extension Name {
    /// Calls `body` with the name of a string's UTF-8.
    package static func with<Result>(
        _ text: String, _ body: (Name) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try with([UInt8](text.utf8), body)
    }

    package static func with<Result>(
        _ bytes: [UInt8], _ body: (Name) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe bytes.withRaw { buffer throws(Errno) -> Result in
            try unsafe body(Name(buffer))
        }
    }
}

extension Caller {
    package static var root: Caller { Caller(userID: 0, groupID: 0, umask: 0o022) }
}

/// An entry of a directory, as `list` finds it.
package struct PlainEntry: Hashable, Sendable {
    package let name: String
    package let node: UInt64
    package let type: UInt32
    package let nextCookie: UInt64
}

extension AttributeChange {
    /// Sets both times to seconds and some nanoseconds.
    package mutating func setTimes(access: Int64, modification: Int64) {
        accessTime = cmem_time(seconds: access, nanoseconds: 2)
        modificationTime = cmem_time(seconds: modification, nanoseconds: 4)
    }
}

extension StoreWorker {
    /// Runs `body` inside the worker, as one request of a queue.
    package func request<Result>(
        _ body: () throws(Errno) -> Result
    ) throws(Errno) -> Result {
        enter()
        defer { leave() }
        return try body()
    }

    package func lookup(_ parent: NodeID, _ name: String) throws(Errno) -> Attributes? {
        try Name.with(name) { name throws(Errno) in try lookup(parent, name) }
    }

    package func make(
        _ parent: NodeID, _ name: String, mode: UInt32, device: UInt32 = 0,
        caller: Caller = .root
    ) throws(Errno) -> Attributes {
        try Name.with(name) { name throws(Errno) in
            try make(parent, name, mode: mode, device: device, caller: caller)
        }
    }

    package func peek(_ parent: NodeID, _ name: String) throws(Errno) -> NodeID? {
        try Name.with(name) { name throws(Errno) in try peek(parent, name) }
    }

    /// What a path from the root leads to.
    package func node(at path: String) throws(Errno) -> NodeID {
        var node = NodeID.root
        for name in path.split(separator: "/") {
            guard let next = try peek(node, String(name)) else { throw .noSuchFileOrDirectory }
            node = next
        }
        return node
    }

    package func makeFile(_ parent: NodeID, _ name: String) throws(Errno) -> NodeID {
        NodeID(rawValue: try make(parent, name, mode: FileMode.regular | 0o644).nodeID)
    }

    package func makeDirectory(_ parent: NodeID, _ name: String) throws(Errno) -> NodeID {
        NodeID(rawValue: try make(parent, name, mode: FileMode.directory | 0o755).nodeID)
    }

    package func makeSymlink(
        _ parent: NodeID, _ name: String, target: [UInt8], caller: Caller = .root
    ) throws(Errno) -> Attributes {
        try Name.with(name) { name throws(Errno) in
            try unsafe target.withRaw { bytes throws(Errno) in
                try unsafe makeSymlink(parent, name, target: bytes, caller: caller)
            }
        }
    }

    package func link(
        _ node: NodeID, _ parent: NodeID, _ name: String
    ) throws(Errno) -> Attributes {
        try Name.with(name) { name throws(Errno) in try link(node, parent, name) }
    }

    package func unlink(_ parent: NodeID, _ name: String) throws(Errno) {
        try Name.with(name) { name throws(Errno) in try unlink(parent, name) }
    }

    package func removeDirectory(_ parent: NodeID, _ name: String) throws(Errno) {
        try Name.with(name) { name throws(Errno) in try removeDirectory(parent, name) }
    }

    package func rename(
        _ oldParent: NodeID, _ oldName: String, _ newParent: NodeID, _ newName: String,
        flags: UInt32 = 0, caller: Caller = .root
    ) throws(Errno) {
        try Name.with(oldName) { old throws(Errno) in
            try Name.with(newName) { new throws(Errno) in
                try rename(oldParent, old, newParent, new, flags: flags, caller: caller)
            }
        }
    }

    package func readLinkBytes(_ node: NodeID) throws(Errno) -> [UInt8] {
        unsafe [UInt8](try readLink(node))
    }

    package func read(
        _ node: NodeID, offset: UInt64, count: Int, touchesAccess: Bool = true
    ) throws(Errno) -> [UInt8] {
        // Not zeros: what is not written must not look like a hole.
        var bytes = [UInt8](repeating: 0xEE, count: max(count, 1))
        let done = try unsafe bytes.withRawMutable { buffer throws(Errno) in
            try unsafe read(
                node, offset: offset, into: buffer.baseAddress!, count: UInt64(count),
                touchesAccess: touchesAccess)
        }
        return [UInt8](bytes.prefix(Int(done)))
    }

    package func write(
        _ node: NodeID, offset: UInt64, _ bytes: [UInt8], killPrivileges: Bool = false
    ) throws(Errno) -> UInt64 {
        try unsafe bytes.withRaw { buffer throws(Errno) in
            try unsafe write(
                node, offset: offset,
                from: buffer.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!,
                count: UInt64(buffer.count), killPrivileges: killPrivileges)
        }
    }

    package func truncate(_ node: NodeID, to size: UInt64) throws(Errno) {
        var change = AttributeChange()
        change.valid = AttributeChange.size
        change.size = size
        _ = try setAttributes(node, change, caller: .root)
    }

    package func xattrBytes(_ node: NodeID, _ name: String) throws(Errno) -> [UInt8] {
        try Name.with(name) { name throws(Errno) in unsafe [UInt8](try xattr(node, name)) }
    }

    package func setXattr(
        _ node: NodeID, _ name: String, _ value: [UInt8], flags: UInt32 = 0
    ) throws(Errno) {
        try Name.with(name) { name throws(Errno) in
            try unsafe value.withRaw { bytes throws(Errno) in
                try unsafe setXattr(node, name, value: bytes, flags: flags)
            }
        }
    }

    package func removeXattr(_ node: NodeID, _ name: String) throws(Errno) {
        try Name.with(name) { name throws(Errno) in try removeXattr(node, name) }
    }

    package func xattrNames(_ node: NodeID) throws(Errno) -> [String] {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = try unsafe bytes.withRawMutable { buffer throws(Errno) in
            try unsafe listXattrs(
                node, into: buffer.baseAddress!, capacity: UInt64(buffer.count),
                seesTrusted: true)
        }
        return bytes.prefix(Int(count)).split(separator: 0).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// The entries from `cookie` on, at most `limit`.
    package func list(
        _ node: NodeID, from cookie: UInt64 = 0, limit: Int = .max
    ) throws(Errno) -> [PlainEntry] {
        let directory = try openDirectory(node)
        var entries: [PlainEntry] = []
        var next = cookie
        while entries.count < limit, let entry = nextEntry(directory, from: next) {
            let name = unsafe UnsafeRawBufferPointer(
                start: entry.name, count: Int(entry.nameCount))
            entries.append(
                PlainEntry(
                    name: unsafe String(decoding: name, as: UTF8.self), node: entry.nodeID,
                    type: entry.mode & FileMode.typeMask, nextCookie: entry.nextCookie))
            next = entry.nextCookie
        }
        return entries
    }
}

extension [UInt8] {
    // `withUnsafeBytes` throws anything; these throw what their body does.

    fileprivate func withRaw<Result>(
        _ body: (UnsafeRawBufferPointer) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe withUnsafeBufferPointer { buffer throws(Errno) in
            try unsafe body(UnsafeRawBufferPointer(buffer))
        }
    }

    fileprivate mutating func withRawMutable<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe withUnsafeMutableBufferPointer { buffer throws(Errno) in
            try unsafe body(UnsafeMutableRawBufferPointer(buffer))
        }
    }
}
