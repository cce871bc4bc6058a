// TreeStream: the server's end of a tree that is sent. What lies in the slots can change at any time and be
// anything: each number is read once, and nothing is believed of it.

internal import CMayflyMemory
internal import InodeStore
internal import SystemPackage

/// Entries as a command sends them. One thread.
package final class TreeStream: EntrySource {
    private let line: TreeLine
    private var slot: Int?
    private var end = 0
    private var at = 0
    private var isEnded = false
    private var entries: UInt64 = 0
    private var hasUnknownName = false

    package init(_ line: TreeLine) { self.line = line }

    @safe private struct Record {
        let kind: TreeRecord
        let memory: UnsafeRawBufferPointer
    }

    /// The next record, which stays the next one; nil at the end.
    private func peek() throws(TreeError) -> Record? {
        while at >= end {
            if isEnded { return nil }
            try next(slotAfter: slot)
        }
        guard let index = slot, let memory = unsafe line.slot(index),
            end - at >= TreeRecord.headerBytes
        else { throw Self.broken }
        let kind = unsafe memory.loadUnaligned(fromByteOffset: at, as: UInt32.self)
        let bytes = Int(unsafe memory.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
        guard let kind = TreeRecord(rawValue: kind), bytes >= TreeRecord.headerBytes,
            bytes <= end - at
        else { throw Self.broken }
        return unsafe Record(
            kind: kind,
            memory: UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(memory)[at..<at + bytes]))
    }

    private func skip(_ record: Record) { at += (unsafe record.memory.count + 7) & ~7 }

    private func next(slotAfter previous: Int?) throws(TreeError) {
        do throws(Errno) {
            // One who has sent everything may have gone.
            if let previous { try? line.send(.free, slot: previous, count: entries) }
            slot = nil
            let (message, index, count, _) = try line.receive()
            switch message {
            case .block: (slot, at, end) = (index, 0, Int(count))
            case .end: isEnded = true
            default: throw .protocolError
            }
        } catch {
            throw error == .canceled
                ? TreeError("the mount is unmounted")
                : TreeError("the command that sent it has ended")
        }
    }

    private static let broken = TreeError("what was sent is no tree")

    package func next() throws(TreeError) -> SourceEntry? {
        while let record = try peek() {
            guard record.kind == .entry else {
                skip(record)
                continue
            }
            let memory = unsafe record.memory
            guard memory.count >= TreeRecord.entryBytes else { throw Self.broken }
            let numbers = (0..<9).map {
                unsafe memory.loadUnaligned(fromByteOffset: 8 + $0 * 4, as: UInt32.self)
            }
            let seconds = unsafe memory.loadUnaligned(fromByteOffset: 48, as: Int64.self)
            let size = unsafe memory.loadUnaligned(fromByteOffset: 56, as: UInt64.self)
            var at = TreeRecord.entryBytes
            func part(_ count: UInt32) throws(TreeError) -> [UInt8]? {
                if count == TreeRecord.absent { return nil }
                guard Int(count) <= memory.count - at else { throw Self.broken }
                defer { at += Int(count) }
                return unsafe [UInt8](memory[at..<at + Int(count)])
            }
            guard let path = try part(numbers[6]) else { throw Self.broken }
            let link = try part(numbers[7])
            let target = try part(numbers[8])
            // The kernel's names and targets end at a NUL.
            guard !path.contains(0), target?.contains(0) != true, size <= UInt64(Int64.max) else {
                throw Self.broken
            }
            skip(record)
            entries += 1
            return SourceEntry(
                path: path, mode: numbers[0],
                attributes: RestoredAttributes(
                    permissions: numbers[0] & 0o7777, userID: numbers[1], groupID: numbers[2],
                    flags: numbers[3],
                    time: cmem_time(
                        seconds: seconds, nanoseconds: min(numbers[5], 999_999_999))),
                hardLink: link, target: target, device: numbers[4], size: size)
        }
        return nil
    }

    package func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        while let record = try peek(), record.kind == .content {
            let memory = unsafe record.memory
            guard memory.count >= TreeRecord.contentBytes else { throw Self.broken }
            let offset = unsafe memory.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            guard offset <= UInt64(Int64.max) - UInt64(memory.count) else { throw Self.broken }
            if memory.count > TreeRecord.contentBytes {
                try unsafe body(
                    offset, UnsafeRawBufferPointer(rebasing: memory[TreeRecord.contentBytes...]))
            }
            skip(record)
        }
    }

    package func xattrs() -> [(name: [UInt8], value: [UInt8])] {
        var found: [(name: [UInt8], value: [UInt8])] = []
        while let record = try? peek() {
            if record.kind == .unknownName {
                hasUnknownName = true
                skip(record)
                continue
            }
            guard record.kind == .attribute else { break }
            let memory = unsafe record.memory
            guard memory.count >= TreeRecord.attributeBytes else { break }
            let count = Int(unsafe memory.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            let start = TreeRecord.attributeBytes
            guard count > 0, count <= 255, count <= memory.count - start else { break }
            let name = unsafe [UInt8](memory[start..<start + count])
            guard !name.contains(0) else { break }
            found.append((name, unsafe [UInt8](memory[(start + count)...])))
            skip(record)
        }
        return found
    }

    package func takeUnknownNames() -> Bool {
        defer { hasUnknownName = false }
        return hasUnknownName
    }
}
