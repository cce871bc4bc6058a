// TreeLine: a tree on its way from a command, which reads it with the rights of whoever runs it, to the
// server, which puts it into its store. A socket carries small messages; what they tell of lies in memory
// that both have mapped, in slots that are filled and emptied in turns (Docs/Trees.md).
//
//     command                                     server
//     request, with the memory's descriptor  ->
//     block: slot and bytes                  ->
//                                            <-   free: slot, entries so far
//     end                                    ->
//                                            <-   result

internal import CMayflySystem
internal import Glibc
package import SystemPackage

/// What a message is.
package enum TreeMessage: UInt32, Sendable {
    case request = 1
    case block
    case end
    case free
    case result
    case failure
}

/// One end of a connection. One thread.
@safe package final class TreeLine {
    package static let slotCount = 8
    package static let slotBytes = 1 << 20
    /// Of the JSON of a request or a result.
    private static let textLimit: UInt64 = 1 << 20
    private static let headerBytes = 16
    /// How long a wait goes on before `isOver` is asked again.
    private static let roundMilliseconds: Int32 = 100

    private let socket: Int32
    private let isOver: @Sendable () -> Bool
    private var memory: UnsafeMutableRawPointer?

    /// - Parameters:
    ///   - socket: connected, and taken over.
    ///   - isOver: whether there is nothing to wait for any more.
    package init(socket: Int32, isOver: @escaping @Sendable () -> Bool = { false }) {
        self.socket = socket
        self.isOver = isOver
    }

    deinit {
        if let memory = unsafe memory { unsafe munmap(memory, Self.slotCount * Self.slotBytes) }
        close(socket)
    }

    /// The user at the other end.
    package var user: UInt32 { csys_peer(socket).user }

    /// A slot's memory. The other end can write it, too: what is judged must be copied first.
    package func slot(_ index: Int) -> UnsafeMutableRawBufferPointer? {
        guard let memory = unsafe memory, index >= 0, index < Self.slotCount else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(
            start: memory + index * Self.slotBytes, count: Self.slotBytes)
    }

    // MARK: sending

    /// - Throws: `EPIPE` where the other end has gone.
    package func send(
        _ message: TreeMessage, slot: Int = 0, count: UInt64 = 0
    ) throws(Errno) {
        try send(message, slot: slot, count: count, descriptor: -1)
    }

    /// Sends a message with text.
    package func send(_ message: TreeMessage, _ text: [UInt8]) throws(Errno) {
        try send(message, slot: 0, count: UInt64(text.count), descriptor: -1)
        try raw(text, descriptor: -1)
    }

    /// Sends the first message, with memory that is made for it.
    package func sendRequest(_ text: [UInt8]) throws(Errno) {
        let descriptor = try Self.makeMemory()
        defer { close(descriptor) }
        try sendRequest(text, memory: descriptor)
    }

    /// Makes memory for the slots of a line, or of two.
    ///
    /// - Returns: a descriptor, to be closed.
    package static func makeMemory() throws(Errno) -> Int32 {
        let descriptor = unsafe csys_shared_memory("mayfly-tree", slotCount * slotBytes)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        return descriptor
    }

    /// Sends the first message, with memory that is there.
    package func sendRequest(_ text: [UInt8], memory descriptor: Int32) throws(Errno) {
        try map(descriptor)
        try send(.request, slot: 0, count: UInt64(text.count), descriptor: descriptor)
        try raw(text, descriptor: -1)
    }

    private func send(
        _ message: TreeMessage, slot: Int, count: UInt64, descriptor: Int32
    ) throws(Errno) {
        var header = [UInt8](repeating: 0, count: Self.headerBytes)
        unsafe header.withUnsafeMutableBytes { bytes in
            unsafe bytes.storeBytes(of: message.rawValue, as: UInt32.self)
            unsafe bytes.storeBytes(of: UInt32(slot), toByteOffset: 4, as: UInt32.self)
            unsafe bytes.storeBytes(of: count, toByteOffset: 8, as: UInt64.self)
        }
        try raw(header, descriptor: descriptor)
    }

    private func raw(_ bytes: [UInt8], descriptor: Int32) throws(Errno) {
        let code = unsafe csys_send(socket, bytes, bytes.count, descriptor)
        if code != 0 { throw Errno(rawValue: code) }
    }

    // MARK: receiving

    /// Waits until one of two lines has a message, or has ended.
    ///
    /// - Returns: whether it is the first; where both have, it is.
    static func isFirstReady(_ first: TreeLine, _ second: TreeLine) -> Bool {
        var ends = [first, second].map { pollfd(fd: $0.socket, events: Int16(POLLIN), revents: 0) }
        while unsafe poll(&ends, 2, -1) <= 0 {}
        return ends[0].revents != 0
    }

    /// Waits for the next message.
    ///
    /// - Throws: `EPIPE` where the other end has gone, `ECANCELED` when there is nothing to wait for,
    ///   `EPROTO` for what is no message.
    package func receive() throws(Errno) -> (
        message: TreeMessage, slot: Int, count: UInt64, text: [UInt8]
    ) {
        var header = [UInt8](repeating: 0, count: Self.headerBytes)
        let descriptor = try fill(&header)
        let (kind, slot, count) = unsafe header.withUnsafeBytes { bytes in
            unsafe (
                bytes.load(as: UInt32.self), bytes.load(fromByteOffset: 4, as: UInt32.self),
                bytes.load(fromByteOffset: 8, as: UInt64.self)
            )
        }
        defer { if descriptor >= 0 { close(descriptor) } }
        guard let message = TreeMessage(rawValue: kind), slot < Self.slotCount else {
            throw .protocolError
        }
        var text: [UInt8] = []
        switch message {
        case .request, .result, .failure:
            guard count <= Self.textLimit else { throw .protocolError }
            text = [UInt8](repeating: 0, count: Int(count))
            let extra = try fill(&text)
            if extra >= 0 { close(extra) }
            if message == .request, descriptor >= 0 { try map(descriptor) }
        case .block:
            guard count <= UInt64(Self.slotBytes) else { throw .protocolError }
        case .free, .end: break
        }
        return (message, Int(slot), count, text)
    }

    private func fill(_ bytes: inout [UInt8]) throws(Errno) -> Int32 {
        if bytes.isEmpty { return -1 }
        while true {
            var descriptor: Int32 = -1
            let count = bytes.count
            // A message is sent at once: only its first byte is waited for.
            var ready = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            let events = unsafe poll(&ready, 1, Self.roundMilliseconds)
            if isOver() { throw .canceled }
            if events == 0 || events < 0 && errno == EINTR { continue }
            let code = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe csys_receive(socket, buffer.baseAddress, count, 10_000, &descriptor)
            }
            if code != 0 { throw Errno(rawValue: code) }
            return descriptor
        }
    }

    private func map(_ descriptor: Int32) throws(Errno) {
        let bytes = Self.slotCount * Self.slotBytes
        guard unsafe memory == nil, csys_is_shared_memory(descriptor, bytes) != 0 else {
            throw .protocolError
        }
        let mapped = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw Errno(rawValue: errno)
        }
        unsafe memory = mapped
    }
}

extension Errno {
    static var protocolError: Errno { Errno(rawValue: Glibc.EPROTO) }
}
