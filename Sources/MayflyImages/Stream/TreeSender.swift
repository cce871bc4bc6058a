// TreeSender: entries of a source as records in the slots of a line.
//
// A record begins with its kind and its bytes, four each. An entry is followed by its content, that by its
// extended attributes. A record lies in one slot; content is cut to what there is room for.

internal import CMayflyMemory
internal import InodeStore
internal import MayflyHost
internal import SystemPackage

/// What a record is.
enum TreeRecord: UInt32 {
    /// Eight numbers of four bytes (mode, user, group, flags, device, nanoseconds, bytes of the path, bytes
    /// of the link), bytes of the target, seconds and size of eight; then path, link and target.
    case entry = 1
    /// Offset of eight bytes; then the bytes.
    case content
    /// Bytes of the name; then name and value.
    case attribute
    /// Somebody who is unknown was left out of the entry's access list.
    case unknownName

    static var headerBytes: Int { 8 }
    static var entryBytes: Int { 8 + 9 * 4 + 4 + 2 * 8 }
    static var contentBytes: Int { 8 + 8 }
    static var attributeBytes: Int { 8 + 8 }
    /// What stands for a link or a target that an entry has not.
    static var absent: UInt32 { .max }
}

/// Sends a tree, and waits for what became of it. One thread.
package struct TreeSender {
    private let line: TreeLine
    private var freeSlots = Array(0..<TreeLine.slotCount)
    private var current: Int?
    private var used = 0
    private var inFlight = 0
    /// Entries that the server has put in.
    package private(set) var entries: UInt64 = 0

    package init(_ line: TreeLine) { self.line = line }

    /// Sends all entries of a source.
    ///
    /// - Parameters:
    ///   - isWanted: makes of an entry what is to be sent; nil for what is left out.
    ///   - progress: called now and then with the entries that are in and the bytes that were sent.
    /// - Returns: the server's answer.
    /// - Throws: what cannot be read; what the server says; the end of the server.
    package mutating func send(
        _ source: some EntrySource, isWanted: (SourceEntry) -> SourceEntry? = { $0 },
        progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(TreeError) -> [UInt8] {
        try sendAll(source, isWanted: isWanted, progress: progress)
        return try answer { () throws(Errno) in
            while true {
                let (message, _, count, text) = try line.receive()
                switch message {
                case .free: entries = max(entries, count)
                case .result: return .success(text)
                case .failure: return .failure(Self.told(text))
                default: throw Errno.protocolError
                }
            }
        }
    }

    /// Sends all entries of a source, and that they are all.
    package mutating func sendAll(
        _ source: some EntrySource, isWanted: (SourceEntry) -> SourceEntry? = { $0 },
        progress: (UInt64, UInt64) -> Void = { _, _ in }
    ) throws(TreeError) {
        var bytes: UInt64 = 0
        while let found = try source.next() {
            guard let entry = isWanted(found) else { continue }
            try put(entry)
            // Content that a further name repeats is not sent; cpio has it with the last.
            if entry.mode & 0o170000 == 0o100000, entry.hardLink == nil || entry.size > 0 {
                try unsafe source.forEachPiece { offset, piece throws(TreeError) in
                    try unsafe put(offset, piece)
                    bytes += UInt64(piece.count)
                }
            }
            for (name, value) in source.xattrs() { try put(name, value) }
            if source.takeUnknownNames() {
                try unsafe reserve(.unknownName, TreeRecord.headerBytes) { _ in }
            }
            progress(entries, bytes)
        }
        try flush()
        _ = try answer { () throws(Errno) in
            try line.send(.end)
            return .success([])
        }
    }

    // MARK: records

    private mutating func put(_ entry: SourceEntry) throws(TreeError) {
        let link = entry.hardLink ?? []
        let target = entry.target ?? []
        let bytes = TreeRecord.entryBytes + entry.path.count + link.count + target.count
        guard bytes <= TreeLine.slotBytes else {
            throw TreeError("\(ByteText.shortened(entry.path)) has too long a path")
        }
        try unsafe reserve(.entry, bytes) { record in
            var numbers: [UInt32] = [entry.mode, entry.attributes.userID, entry.attributes.groupID]
            numbers += [entry.attributes.flags, entry.device]
            numbers += [UInt32(entry.attributes.time.nanoseconds), UInt32(entry.path.count)]
            numbers.append(entry.hardLink.map { UInt32($0.count) } ?? TreeRecord.absent)
            numbers.append(entry.target.map { UInt32($0.count) } ?? TreeRecord.absent)
            for (index, number) in numbers.enumerated() {
                unsafe record.storeBytes(
                    of: number, toByteOffset: 8 + index * 4, as: UInt32.self)
            }
            unsafe record.storeBytes(
                of: entry.attributes.time.seconds, toByteOffset: 48, as: Int64.self)
            unsafe record.storeBytes(of: entry.size, toByteOffset: 56, as: UInt64.self)
            var at = TreeRecord.entryBytes
            for part in [entry.path, link, target] {
                unsafe UnsafeMutableRawBufferPointer(rebasing: record[at...]).copyBytes(from: part)
                at += part.count
            }
        }
    }

    private mutating func put(
        _ offset: UInt64, _ piece: UnsafeRawBufferPointer
    ) throws(TreeError) {
        var at = 0
        while at < piece.count {
            // A rest of a slot that is too small for a page is left.
            if TreeLine.slotBytes - used < TreeRecord.contentBytes + 4096 { try flush() }
            let room = TreeLine.slotBytes - used - TreeRecord.contentBytes
            // Whole pages, so that the next piece begins with one.
            let count = min(piece.count - at, room & ~4095)
            let start = at
            try unsafe reserve(.content, TreeRecord.contentBytes + count) { record in
                unsafe record.storeBytes(
                    of: offset + UInt64(start), toByteOffset: 8, as: UInt64.self)
                unsafe UnsafeMutableRawBufferPointer(
                    rebasing: record[TreeRecord.contentBytes...]
                ).copyMemory(from: UnsafeRawBufferPointer(rebasing: piece[start..<start + count]))
            }
            at += count
        }
    }

    private mutating func put(_ name: [UInt8], _ value: [UInt8]) throws(TreeError) {
        try unsafe reserve(.attribute, TreeRecord.attributeBytes + name.count + value.count) {
            record in
            unsafe record.storeBytes(of: UInt32(name.count), toByteOffset: 8, as: UInt32.self)
            unsafe UnsafeMutableRawBufferPointer(
                rebasing: record[TreeRecord.attributeBytes...]
            ).copyBytes(from: name + value)
        }
    }

    /// Calls `body` with the memory of a record, whose header is there.
    private mutating func reserve(
        _ kind: TreeRecord, _ bytes: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(TreeError) {
        // Records begin at multiples of eight.
        let rounded = (bytes + 7) & ~7
        if used + rounded > TreeLine.slotBytes { try flush() }
        let slot = try slot()
        guard let memory = unsafe line.slot(slot) else { throw Self.gone }
        let record = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[used..<used + bytes])
        unsafe record.storeBytes(of: kind.rawValue, as: UInt32.self)
        unsafe record.storeBytes(of: UInt32(bytes), toByteOffset: 4, as: UInt32.self)
        unsafe body(record)
        used += rounded
    }

    // MARK: slots

    private mutating func slot() throws(TreeError) -> Int {
        if let current { return current }
        while freeSlots.isEmpty {
            _ = try answer { () throws(Errno) in
                let (message, slot, count, text) = try line.receive()
                switch message {
                case .free:
                    freeSlots.append(slot)
                    entries = max(entries, count)
                    return .success([])
                case .failure: return .failure(Self.told(text))
                default: throw Errno.protocolError
                }
            }
        }
        let slot = freeSlots.removeFirst()
        current = slot
        used = 0
        return slot
    }

    private mutating func flush() throws(TreeError) {
        guard let slot = current else { return }
        current = nil
        let count = UInt64(used)
        used = 0
        _ = try answer { () throws(Errno) in
            do throws(Errno) {
                try line.send(.block, slot: slot, count: count)
            } catch {
                // It says why it has gone, if it could.
                while true {
                    let (message, _, _, text) = try line.receive()
                    if message == .failure {
                        return .failure(Self.told(text))
                    }
                }
            }
            return .success([])
        }
    }

    /// What a server says that could not do it.
    private static func told(_ text: [UInt8]) -> TreeError {
        TreeError(String(decoding: text, as: UTF8.self))
    }

    private static let gone = TreeError("the mount's server has ended: nothing was put in")

    private func answer(
        _ body: () throws(Errno) -> Result<[UInt8], TreeError>
    ) throws(TreeError) -> [UInt8] {
        let result: Result<[UInt8], TreeError>
        do throws(Errno) { result = try body() } catch {
            throw error == .protocolError
                ? TreeError("the mount's server is of another version of mayfly") : Self.gone
        }
        return try result.get()
    }
}
