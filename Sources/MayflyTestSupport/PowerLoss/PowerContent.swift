// PowerContent: what the content of one file may be after a power loss, as Docs/Fixtures.md says it.

/// Permissions and owner.
struct PowerOwner: Equatable, Sendable {
    var mode: UInt32
    var userID: UInt32
    var groupID: UInt32
}

/// A page of a file.
///
/// Both lists have more than one element only where somebody has stored into a mapping: the kernel
/// writes a page back when it likes to, so what the server has is one of several.
struct PowerPage: Sendable {
    static let bytes = 4096
    static let zeros = [UInt8](repeating: 0, count: bytes)
    /// What may have been synced last.
    var synced: [[UInt8]] = [zeros]
    /// What the server may have now; the last is what readers see.
    var now: [[UInt8]] = [zeros]

    mutating func change(_ body: (inout [UInt8]) -> Void) {
        for index in now.indices { body(&now[index]) }
        dropDoubles()
    }

    /// The kernel has written the page back.
    mutating func writeBack() { now = [now[now.count - 1]] }

    mutating func dropDoubles() {
        var kept: [[UInt8]] = []
        for version in now.reversed() where !kept.contains(version) { kept.append(version) }
        now = kept.reversed()
    }
}

/// Size, owner and pages of an inode, each as it is and as it was synced.
struct PowerContent: Sendable {
    static let pageCount = 8
    static let sectorBytes = 512

    var size = 0
    var syncedSize = 0
    var owner: PowerOwner
    var syncedOwner: PowerOwner
    var pages = [PowerPage](repeating: PowerPage(), count: pageCount)

    init(owner: PowerOwner) {
        self.owner = owner
        syncedOwner = owner
    }

    /// What is there is synced.
    init(owner: PowerOwner, bytes: [UInt8]) {
        self.init(owner: owner)
        write(bytes, at: 0)
        synchronize(pages: 0..<Self.pageCount)
    }

    /// What readers see.
    var visible: [UInt8] { Array(pages.flatMap { $0.now[$0.now.count - 1] }.prefix(size)) }

    // MARK: changes

    mutating func write(_ bytes: [UInt8], at offset: Int) {
        forEachPage(offset, bytes.count) { page, within, done, count in
            page.change {
                $0.replaceSubrange(within..<within + count, with: bytes[done..<done + count])
            }
        }
        if !bytes.isEmpty { size = max(size, offset + bytes.count) }
    }

    mutating func zero(_ offset: Int, _ count: Int) {
        forEachPage(offset, count) { page, within, _, count in
            let zeros = [UInt8](repeating: 0, count: count)
            page.change { $0.replaceSubrange(within..<within + count, with: zeros) }
        }
    }

    mutating func resize(_ to: Int) {
        if to < size { zero(to, Self.pageCount * PowerPage.bytes - to) }
        size = to
    }

    /// Through a mapping: the server has it when the kernel writes it back.
    mutating func store(_ bytes: [UInt8], at offset: Int) {
        forEachPage(offset, bytes.count) { page, within, done, count in
            var version = page.now[page.now.count - 1]
            version.replaceSubrange(within..<within + count, with: bytes[done..<done + count])
            page.now.append(version)
            page.dropDoubles()
        }
    }

    private mutating func forEachPage(
        _ offset: Int, _ count: Int, _ body: (inout PowerPage, Int, Int, Int) -> Void
    ) {
        var done = 0
        while done < count {
            let within = (offset + done) % PowerPage.bytes
            let piece = min(count - done, PowerPage.bytes - within)
            body(&pages[(offset + done) / PowerPage.bytes], within, done, piece)
            done += piece
        }
    }

    // MARK: syncing

    /// - Parameter range: pages that the kernel writes back for it.
    mutating func synchronize(pages range: Range<Int>) {
        for index in pages.indices {
            if range.contains(index) { pages[index].writeBack() }
            pages[index].synced = pages[index].now
        }
        syncedSize = size
        syncedOwner = owner
    }

    // MARK: after a power loss

    /// Why this content cannot be what is left; nil when it can.
    ///
    /// - Parameter isAllLost: whether nothing may be left that was not synced.
    func objection(_ bytes: [UInt8], isAllLost: Bool) -> String? {
        let sizes = isAllLost ? [syncedSize] : [syncedSize, size]
        guard sizes.contains(bytes.count) else {
            return "\(bytes.count) bytes, not one of \(sizes)"
        }
        var start = 0
        while start < bytes.count {
            let end = min(start + Self.sectorBytes, bytes.count)
            let page = pages[start / PowerPage.bytes]
            // What was cut off and is back can only be what it was.
            let isOld = isAllLost || start >= size
            let versions = isOld ? page.synced : page.synced + page.now
            let within = start % PowerPage.bytes..<start % PowerPage.bytes + end - start
            if !versions.contains(where: { $0[within].elementsEqual(bytes[start..<end]) }) {
                return "the sector at \(start) is \(Self.shown(bytes[start..<end])), not one of "
                    + versions.map { Self.shown($0[within]) }.joined(separator: " | ")
            }
            start = end
        }
        return nil
    }

    private static func shown(_ bytes: ArraySlice<UInt8>) -> String {
        var runs: [(byte: UInt8, count: Int)] = []
        for byte in bytes {
            if runs.last?.byte == byte {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((byte, 1))
            }
        }
        return runs.prefix(6).map { "\($0.byte)x\($0.count)" }.joined(separator: " ")
    }
}
