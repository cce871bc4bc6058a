import Testing

@testable import MayflyServing

/// Which changed names are kept or lost together (Docs/Fixtures.md).
@Suite struct NameLogTests {
    private func place(_ parent: UInt64, _ name: String) -> NamePlace {
        NamePlace(parent: parent, name: Array(name.utf8))
    }

    private func note(
        _ log: inout NameLog, _ place: NamePlace, _ old: UInt64, _ new: UInt64, _ sequence: UInt64,
        directories: Set<UInt64> = []
    ) {
        log.note(
            place, old: old, new: new, sequence: sequence,
            isOldDirectory: directories.contains(old), isNewDirectory: directories.contains(new))
    }

    /// The first change says what was synced, the last what there is.
    @Test func changesOfOneNameAreOne() {
        var log = NameLog()
        let a = place(1, "a")
        note(&log, a, 5, 0, 1)
        note(&log, a, 0, 6, 2)
        #expect(log.changes[a]?.synced == 5 && log.changes[a]?.current == 6)
        #expect(log.changes[a]?.isChange == true && log.hadName(5) && !log.hadName(6))
        #expect(log.groupsInOrder.map(\.sequence) == [1])
        note(&log, a, 6, 5, 3)
        #expect(log.changes[a]?.isChange == false && log.isIdle(a))
        let gone = log.remove(a)
        #expect(gone?.synced == 5 && log.changes.isEmpty && !log.hadName(5))
        #expect(log.remove(a) == nil && log.groupsInOrder.isEmpty)
    }

    /// A name that is what it was counts all the same while others go with it.
    @Test func aGroupIsOne() {
        var log = NameLog()
        let (a, b, c) = (place(1, "a"), place(2, "b"), place(3, "c"))
        note(&log, a, 5, 0, 1)
        note(&log, b, 0, 5, 2)
        note(&log, c, 0, 7, 3)
        log.join(a, b)
        #expect(log.groupsInOrder.map(\.places) == [[a, b], [c]])
        note(&log, a, 0, 5, 4)
        #expect(log.changes[a]?.isChange == false && !log.isIdle(a))
        #expect(log.group(ofDirectory: 1) == [a, b] && log.group(ofDirectory: 2) == [a, b])
        #expect(log.group(ofDirectory: 3) == [c] && log.group(ofDirectory: 4) == [])
        // Groups grow together, whichever is named first, and again changes nothing.
        log.join(c, a)
        log.join(b, c)
        #expect(log.groupsInOrder.count == 1 && log.group(ofDirectory: 3) == [a, b, c])
        // With a name that is not in the log nothing is joined.
        log.join(a, place(9, "none"))
        #expect(log.groupsInOrder.count == 1)
        _ = log.remove(b)
        #expect(log.groupsInOrder.map(\.places) == [[a, c]] && log.names(in: 2) == [])
    }

    /// A directory is where its last name is.
    @Test func directoriesAreFound() {
        var log = NameLog()
        let (a, b) = (place(1, "a"), place(1, "b"))
        note(&log, a, 0, 8, 1, directories: [8])
        #expect(log.placeOfDirectory(8) == a)
        note(&log, b, 0, 8, 2, directories: [8])
        note(&log, a, 8, 0, 3, directories: [8])
        #expect(log.placeOfDirectory(8) == b && log.names(in: 1) == [a, b])
        _ = log.remove(b)
        #expect(log.placeOfDirectory(8) == nil)
    }

    /// Two names of one inode are counted apart.
    @Test func linksAreCounted() {
        var log = NameLog()
        let (a, b) = (place(1, "a"), place(1, "b"))
        note(&log, a, 5, 0, 1)
        note(&log, b, 5, 0, 2)
        _ = log.remove(a)
        #expect(log.hadName(5))
        _ = log.remove(b)
        #expect(!log.hadName(5))
    }
}
