// RequestFuzz: bytes, read as requests of a kernel that nobody should believe.
//
// Any bytes are an input, so a fuzzer may change them as it likes, and the same bytes always do the
// same. Requests are about inodes that earlier replies named, or about numbers out of the air.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import Mayfly
internal import SystemPackage

/// One input's requests on a small file system of its own.
package struct RequestFuzz {
    private let input: [UInt8]
    private var position = 0
    private let store: InodeStore
    private let queues: [DetachedQueue]
    private var nodes: [UInt64] = [1]
    /// Requests answered.
    package private(set) var count = 0

    package init(_ input: [UInt8]) {
        self.input = input
        var options = StoreOptions()
        options.checksOpen = input.first ?? 0 & 1 != 0
        do throws(Errno) {
            store = try InodeStore(
                pageLimit: 96, inodeLimit: 40, workerCount: 2,
                owner: Caller(userID: 0, groupID: 0), options: options)
        } catch {
            preconditionFailure("RequestFuzz: no store (\(error))")
        }
        queues = [DetachedQueue(store.worker(0)), DetachedQueue(store.worker(1))]
    }

    /// Makes all requests, and gives the memory back.
    ///
    /// - Returns: what a check of the store finds wrong afterwards.
    package mutating func run() -> [String] {
        while position < input.count, count < 2000 {
            step()
            count += 1
        }
        let problems = store.worker(0).check().problems
        for queue in queues { queue.deallocate() }
        store.unmap()
        return problems
    }

    // MARK: the input; zeros behind its end

    private mutating func byte() -> UInt8 {
        defer { position += 1 }
        return position < input.count ? input[position] : 0
    }

    private mutating func word(bytes: Int) -> UInt64 {
        (0..<bytes).reduce(0) { word, index in word | UInt64(byte()) << UInt64(8 * index) }
    }

    private mutating func fill(_ buffer: UnsafeMutableRawBufferPointer, _ count: Int) {
        for index in 0..<min(count, buffer.count) { unsafe buffer[index] = byte() }
    }

    // MARK: one request

    private mutating func step() {
        let first = byte()
        var header = cfk_in_header()
        header.opcode = first < 250 ? UInt32(first) % 56 : UInt32(word(bytes: 4))
        let about = byte()
        header.nodeid = about < 250 ? nodes[Int(about) % nodes.count] : word(bytes: 8)
        let flags = byte()
        header.uid = [0, 1000, .max, 0][Int(flags & 3)]
        header.gid = header.uid
        let queue = queues[Int(flags >> 2 & 1)]
        let opcode = Opcode(rawValue: header.opcode)
        let argumentBytes = opcode?.argumentBytes ?? 0
        var payloadBytes = UInt32(byte())
        if flags & 8 != 0 { payloadBytes *= 256 }
        unsafe fill(queue.argument, argumentBytes)
        unsafe fill(queue.payload, min(Int(payloadBytes), 300))
        header.len = UInt32(40 + argumentBytes) + payloadBytes
        if flags & 0xf0 == 0xf0 {
            // Sizes that are not true.
            header.len = UInt32(truncatingIfNeeded: word(bytes: 4))
            payloadBytes = UInt32(truncatingIfNeeded: word(bytes: 4))
        }
        let reply = queue.answer(header, payloadBytes: payloadBytes)
        precondition(
            reply.error >= 0 && reply.error < 512 && reply.bytes >= 0
                && reply.bytes <= DetachedQueue.capacity,
            "RequestFuzz: reply \(reply) to opcode \(header.opcode)")
        if reply.error == 0, reply.bytes == MemoryLayout<cfk_entry_out>.size {
            let node = unsafe queue.payload.load(as: UInt64.self)
            if node != 0, nodes.count < 200, !nodes.contains(node) { nodes.append(node) }
        }
    }

    /// An input for who has no fuzzer: names that come again, small numbers, and now and then
    /// anything.
    package static func input(seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return (0..<(200 + random.below(3000))).map { _ in
            switch random.below(8) {
            case 0: UInt8(random.below(256))
            case 1: UInt8(97 + random.below(3))
            case 2...4: UInt8(random.below(16))
            default: 0
            }
        }
    }
}
