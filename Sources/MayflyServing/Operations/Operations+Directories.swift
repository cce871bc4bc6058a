// Operations on directories: READDIR and READDIRPLUS.

internal import CFuseKernel
internal import CMayflyMemory
internal import FuseTransport
internal import InodeStore
internal import SystemPackage

extension Operations {
    /// Fills the reply with entries from a cookie on.
    ///
    /// Cookie 0 is ".", 1 is "..", the others are the store's. A reply that has no room for another
    /// entry ends; an empty reply is the end of the directory.
    @_noLocks func readDirectory(
        _ node: NodeID, _ request: FuseRequest, isPlus: Bool
    ) throws(Errno) -> Reply {
        let arguments = request.argument(as: cfk_read_in.self)
        let capacity = min(Int(arguments.size), request.replyCapacity)
        let directory = try worker.openDirectory(node)
        var list = DirectoryList(request: request, capacity: capacity, isPlus: isPlus)
        var cookie = arguments.offset
        if cookie == 0 {
            guard list.appendDots(1, nodeID: directory.nodeID, next: 1) else { return list.reply }
            cookie = 1
        }
        if cookie == 1 {
            guard list.appendDots(2, nodeID: directory.parentNodeID, next: 2) else {
                return list.reply
            }
            cookie = 2
        }
        while let found = worker.nextEntry(directory, from: cookie) {
            guard list.hasRoom(nameCount: Int(found.nameCount)) else { break }
            if isPlus {
                // An inode at its end is being removed this moment: it is not listed.
                if let attributes = worker.lookup(entry: found) {
                    list.append(found, entry(attributes))
                }
            } else {
                list.append(found, cfk_entry_out())
            }
            cookie = found.nextCookie
        }
        return list.reply
    }
}

/// A reply of directory entries under way.
@safe private struct DirectoryList {
    private let target: UnsafeMutableRawPointer
    private let capacity: Int
    private let isPlus: Bool
    private var used = 0

    @_noLocks init(request: FuseRequest, capacity: Int, isPlus: Bool) {
        unsafe target = request.reply
        self.capacity = capacity
        self.isPlus = isPlus
    }

    var reply: Reply { @_noLocks get { Reply(error: 0, bytes: used) } }

    /// Bytes before a name.
    private var head: Int {
        @_noLocks get {
            isPlus
                ? MemoryLayout<cfk_direntplus>.size : MemoryLayout<cfk_dirent>.size
        }
    }

    @_noLocks func hasRoom(nameCount: Int) -> Bool {
        used + (head + nameCount + 7) & ~7 <= capacity
    }

    /// "." or "..": with a nodeid of 0, as the kernel counts no reference for them.
    @_noLocks mutating func appendDots(_ count: Int, nodeID: UInt64, next: UInt64) -> Bool {
        guard hasRoom(nameCount: count) else { return false }
        var dots: UInt16 = 0x2E2E
        unsafe withUnsafeBytes(of: &dots) { bytes in
            if let start = bytes.baseAddress {
                unsafe put(
                    cfk_dirent(
                        ino: NodeID(rawValue: nodeID).inodeNumber, off: next,
                        namelen: UInt32(count), type: 4),
                    cfk_entry_out(), start)
            }
        }
        return true
    }

    @_noLocks mutating func append(_ found: DirectoryEntry, _ entry: cfk_entry_out) {
        let dirent = cfk_dirent(
            ino: NodeID(rawValue: found.nodeID).inodeNumber, off: found.nextCookie,
            namelen: found.nameCount,
            type: found.mode >> 12)
        unsafe put(dirent, entry, found.name)
    }

    @_noLocks private mutating func put(
        _ dirent: cfk_dirent, _ entry: cfk_entry_out, _ name: UnsafeRawPointer
    ) {
        let at = unsafe target + used
        let nameCount = Int(dirent.namelen)
        if isPlus {
            unsafe at.storeBytes(
                of: cfk_direntplus(entry_out: entry, dirent: dirent), as: cfk_direntplus.self)
        } else {
            unsafe at.storeBytes(of: dirent, as: cfk_dirent.self)
        }
        unsafe cmem_copy(at + head, name, nameCount)
        let bytes = head + nameCount
        let padded = (bytes + 7) & ~7
        if padded > bytes { unsafe cmem_zero(at + bytes, padded - bytes) }
        used += padded
    }
}
