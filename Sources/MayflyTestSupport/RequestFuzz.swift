// RequestFuzz: bytes, read as requests of a kernel that nobody should believe.
//
// Any bytes are an input, so a fuzzer may change them as it likes, and the same bytes always do the
// same. Requests are about inodes that earlier replies named, or about numbers out of the air.

internal import CFuseKernel
internal import FuseTransport
internal import InodeStore
internal import Mayfly
internal import MayflyMeasure
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

    /// - Parameters:
    ///   - store: for two workers; it is unmapped by `run`.
    ///   - nodes: inodes that requests are about from the beginning.
    init(_ input: [UInt8], serving store: InodeStore, nodes: [UInt64]) {
        self.input = input
        self.store = store
        self.nodes = nodes
        queues = [DetachedQueue(store.worker(0)), DetachedQueue(store.worker(1))]
    }

    package init(_ input: [UInt8]) {
        self.input = input
        var options = StoreOptions()
        options.checksOpen = (input.first ?? 0) & 1 != 0
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
        // Half of them mean something: others hardly ever get past the first test of an operation.
        if flags & 0x10 == 0, let opcode {
            payloadBytes = make(opcode, sensibleOn: queue, payloadBytes)
        }
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

    /// Makes types, offsets, nodes and names of a request some that there are.
    ///
    /// - Returns: the bytes of its payload.
    private func make(_ opcode: Opcode, sensibleOn queue: DetachedQueue, _ bytes: UInt32) -> UInt32
    {
        let argument = unsafe queue.argument
        let payload = unsafe queue.payload
        func bound(_ offset: Int, _ mask: UInt64 = 0x3_ffff) {
            let word = unsafe argument.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            unsafe argument.storeBytes(of: word & mask, toByteOffset: offset, as: UInt64.self)
        }
        func known(_ offset: Int) {
            let node = unsafe nodes[Int(argument[offset]) % nodes.count]
            unsafe argument.storeBytes(of: node, toByteOffset: offset, as: UInt64.self)
        }
        func type(_ offset: Int, _ types: [UInt32]) {
            let mode = unsafe argument.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            let fresh = types[Int(mode) % types.count] | mode & 0o7777
            unsafe argument.storeBytes(of: fresh, toByteOffset: offset, as: UInt32.self)
        }
        func texts(_ prefix: String, _ count: Int, rest: Int = 0) -> UInt32 {
            let letters = (0..<count).map { unsafe 97 + payload[$0] % 4 }
            var text: [UInt8] = []
            for letter in letters { text += Array(prefix.utf8) + [letter, 0] }
            unsafe payload.copyBytes(from: text)
            return UInt32(text.count + rest)
        }
        // The layouts are those of cfk_abi.h.
        switch opcode {
        case .lookup, .unlink, .rmdir, .mkdir: return texts("", 1)
        case .mknod:
            type(0, [0o100000, 0o100000, 0o010000, 0o020000])
            return texts("", 1)
        case .create, .tmpfile:
            type(4, [0o100000])
            return texts("", 1)
        case .symlink: return texts("", 2)
        case .link:
            known(0)
            return texts("", 1)
        case .rename:
            known(0)
            return texts("", 2)
        case .rename2:
            known(0)
            bound(8, 7)
            return texts("", 2)
        case .setxattr:
            unsafe argument.storeBytes(of: bytes % 128, toByteOffset: 0, as: UInt32.self)
            return texts("user.", 1, rest: Int(bytes % 128))
        case .getxattr, .removexattr: return texts("user.", 1)
        case .write:
            bound(8)
            unsafe argument.storeBytes(of: bytes, toByteOffset: 16, as: UInt32.self)
        case .read, .readdir, .readdirplus:
            bound(8)
            bound(16, 0xffff)
        case .setattr, .lseek: bound(opcode == .lseek ? 8 : 16)
        case .fallocate:
            bound(8)
            bound(16)
            bound(24, 0x13)
        case .copyFileRange, .copyFileRange64:
            bound(8)
            known(16)
            bound(32)
            bound(40)
        default: break
        }
        return bytes
    }

    /// An input for who has no fuzzer: requests of all kinds about few nodes, names that come again, small numbers, and now and then
    /// anything.
    package static func input(seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        func any() -> UInt8 {
            switch random.below(8) {
            case 0: UInt8(random.below(256))
            case 1: UInt8(97 + random.below(3))
            case 2...4: UInt8(random.below(16))
            default: 0
            }
        }
        var input: [UInt8] = []
        let count = 200 + random.below(3000)
        while input.count < count {
            let opcode = UInt8(random.below(56))
            let payloadBytes = Int(any())
            let argumentBytes = Opcode(rawValue: UInt32(opcode))?.argumentBytes ?? 0
            input += [opcode, any(), random.below(4) == 0 ? any() : 0, UInt8(payloadBytes)]
            for _ in 0..<(argumentBytes + payloadBytes) { input.append(any()) }
        }
        return input
    }
}
