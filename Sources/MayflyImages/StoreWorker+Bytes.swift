// The store's operations with names as bytes, for one who has the store to itself. References of the
// kernel, of which there is none, are given back at once.

package import InodeStore
package import SystemPackage

extension ArraySlice<UInt8> {
    func withName<Result>(
        _ body: (Name) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe withUnsafeBufferPointer { buffer throws(Errno) in
            try body(unsafe Name(UnsafeRawBufferPointer(buffer)))
        }
    }

    fileprivate func withRaw<Result>(
        _ body: (UnsafeRawBufferPointer) throws(Errno) -> Result
    ) throws(Errno) -> Result {
        try unsafe withUnsafeBufferPointer { buffer throws(Errno) in
            try unsafe body(UnsafeRawBufferPointer(buffer))
        }
    }
}

/// All of these: the worker is entered.
extension StoreWorker {
    func peek(_ parent: NodeID, _ name: ArraySlice<UInt8>) throws(Errno) -> NodeID? {
        try name.withName { name throws(Errno) in try peek(parent, name) }
    }

    private func dropped(_ made: Attributes) -> NodeID {
        let node = NodeID(rawValue: made.nodeID)
        forget(node, count: 1)
        return node
    }

    func add(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, mode: UInt32, device: UInt32 = 0,
        _ owner: Caller
    ) throws(Errno) -> NodeID {
        dropped(
            try name.withName { name throws(Errno) in
                try make(parent, name, mode: mode, device: device, caller: owner)
            })
    }

    func addSymlink(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, target: [UInt8], _ owner: Caller
    ) throws(Errno) -> NodeID {
        dropped(
            try name.withName { name throws(Errno) in
                try unsafe target[...].withRaw { bytes throws(Errno) in
                    try unsafe makeSymlink(parent, name, target: bytes, caller: owner)
                }
            })
    }

    func addLink(
        _ node: NodeID, _ parent: NodeID, _ name: ArraySlice<UInt8>
    ) throws(Errno) {
        _ = dropped(
            try name.withName { name throws(Errno) in try link(node, parent, name) })
    }

    func remove(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, isDirectory: Bool
    ) throws(Errno) {
        try name.withName { name throws(Errno) in
            if isDirectory {
                try removeDirectory(parent, name)
            } else {
                try unlink(parent, name)
            }
        }
    }

    func setXattr(
        _ node: NodeID, _ name: ArraySlice<UInt8>, _ value: [UInt8]
    ) throws(Errno) {
        try name.withName { name throws(Errno) in
            try unsafe value[...].withRaw { bytes throws(Errno) in
                try unsafe setXattr(node, name, value: bytes, flags: 0)
            }
        }
    }

    /// Makes a file longer by a hole.
    func extend(_ node: NodeID, to size: UInt64) throws(Errno) {
        var change = AttributeChange()
        change.valid = AttributeChange.size
        change.size = size
        _ = try setAttributes(node, change, caller: Caller(userID: 0, groupID: 0))
    }

    /// Gives an inode the times back that it had.
    func restoreChangeTime(_ node: NodeID, _ before: Attributes) throws(Errno) {
        try restore(
            node,
            RestoredAttributes(
                permissions: before.mode & FileMode.permissions, userID: before.userID,
                groupID: before.groupID, flags: before.flags, time: before.modificationTime))
    }

    // MARK: reading

    /// The names and values of all extended attributes, sorted by name.
    package func allXattrs(_ node: NodeID) throws(Errno) -> [(name: [UInt8], value: [UInt8])] {
        if try !hasXattrs(node) { return [] }
        var list = [UInt8](repeating: 0, count: 65_536)
        let count = try unsafe list.withUnsafeMutableBufferPointer { buffer throws(Errno) in
            try unsafe listXattrs(
                node, into: UnsafeMutableRawPointer(buffer.baseAddress!),
                capacity: UInt64(buffer.count), seesTrusted: true)
        }
        var found: [(name: [UInt8], value: [UInt8])] = []
        for name in list.prefix(Int(count)).split(separator: 0) {
            let value = try name.withName { name throws(Errno) in
                unsafe [UInt8](try xattr(node, name))
            }
            found.append((Array(name), value))
        }
        return found.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }

    /// Copies content to an array as far as there is any.
    ///
    /// - Parameter most: bytes that are wanted, where the array has room for more.
    /// - Returns: the number of bytes.
    package func read(
        _ node: NodeID, offset: UInt64, into buffer: inout [UInt8], atMost most: UInt64 = .max
    ) throws(Errno) -> Int {
        let count = min(UInt64(buffer.count), most)
        return Int(
            try unsafe buffer.withUnsafeMutableBufferPointer { buffer throws(Errno) in
                try unsafe read(
                    node, offset: offset, into: UnsafeMutableRawPointer(buffer.baseAddress!),
                    count: count, touchesAccess: false)
            })
    }

    /// Stretches of a file that hold data, in order: offset and bytes.
    package func dataExtents(
        _ node: NodeID, size: UInt64
    ) throws(Errno) -> [(offset: UInt64, bytes: UInt64)] {
        var extents: [(offset: UInt64, bytes: UInt64)] = []
        var at: UInt64 = 0
        while at < size {
            let start: UInt64
            do throws(Errno) {
                start = try seek(node, offset: at, hole: false)
            } catch .noSuchAddressOrDevice {
                break
            }
            let end = min(size, try seek(node, offset: start, hole: true))
            guard end > start else { break }
            extents.append((start, end - start))
            at = end
        }
        return extents
    }
}
