// BlockWriter: content in blocks of 1 MiB, whatever pieces it comes in, so that what a store looks
// like afterwards does not depend on them.

internal import InodeStore
internal import SystemPackage

/// Gathers the content of one file at a time.
struct BlockWriter {
    private static let blockBytes: UInt64 = 1 << 20

    private var node = NodeID.root
    private var start: UInt64 = 0
    private var block: [UInt8] = []

    init() { block.reserveCapacity(Int(Self.blockBytes)) }

    mutating func begin(_ node: NodeID) {
        self.node = node
        block.removeAll(keepingCapacity: true)
    }

    /// Takes a piece, which lies behind all that came before.
    mutating func write(
        _ worker: StoreWorker, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer,
        _ roomFor: (UInt64) -> Errno?
    ) throws(Errno) {
        var offset = offset
        var rest = unsafe bytes[...]
        while unsafe !rest.isEmpty {
            if !block.isEmpty, offset != start + UInt64(block.count) {
                try flush(worker, roomFor)
            }
            if block.isEmpty { start = offset }
            let room = Self.blockBytes - (start % Self.blockBytes) - UInt64(block.count)
            let count = unsafe min(Int(room), rest.count)
            unsafe block.append(contentsOf: rest.prefix(count))
            unsafe rest = unsafe rest.dropFirst(count)
            offset += UInt64(count)
            if UInt64(count) == room { try flush(worker, roomFor) }
        }
    }

    /// Puts what was gathered into the store.
    mutating func flush(
        _ worker: StoreWorker, _ roomFor: (UInt64) -> Errno?
    ) throws(Errno) {
        if block.isEmpty { return }
        if let failure = roomFor(UInt64(block.count)) { throw failure }
        let (node, start) = (node, start)
        let count = UInt64(block.count)
        let written = try unsafe block.withUnsafeBufferPointer { buffer throws(Errno) in
            worker.enter()
            defer { worker.leave() }
            // A block is never empty here.
            return try unsafe worker.write(
                node, offset: start, from: UnsafeRawPointer(buffer.baseAddress!), count: count,
                killPrivileges: false)
        }
        if written < count { throw .noSpace }
        block.removeAll(keepingCapacity: true)
    }
}
