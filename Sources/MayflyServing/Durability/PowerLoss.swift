// PowerLoss: which of the unsynced changes a power loss leaves, by a seed, and undoing the others.
//
// For each change the seed decides by itself: so later ones may be there and earlier ones not, as a
// disk reorders them. A page that was not synced is new, old, or torn: each of its eight sectors of
// 512 bytes is one or the other.

package import InodeStore
internal import SystemPackage

/// What a power loss has done, by kind.
package struct LossCounts: Sendable, Equatable {
    /// Changed names (of a rename both) that stayed, and those that were undone.
    package var namesKept = 0
    package var namesLost = 0
    /// Files and directories that had changed since they were synced.
    package var files = 0
    /// Changed pages of 4 KiB that are new, old, or partly each.
    package var pagesKept = 0
    package var pagesLost = 0
    package var pagesTorn = 0
    /// What there was no room for any more.
    package var notRestored = 0
}

/// One power loss under way; the store is frozen.
package struct PowerLoss {
    package private(set) var counts = LossCounts()
    /// Nodeids that are not what the kernel may have cached.
    package private(set) var changedNodes: Set<UInt64> = []
    /// Names that do not lead where the kernel may have cached that they lead.
    package private(set) var changedPlaces: [NamePlace] = []
    /// Names that are what they were when they were synced.
    package private(set) var undonePlaces: Set<NamePlace> = []
    /// Files that are not as they were before the loss, with how many pages are old or torn.
    package private(set) var lostPages: [UInt64: Int] = [:]
    /// Removed directories that have their names back: the kernel must meet them as others.
    package private(set) var revivedDirectories: [NodeID] = []

    private let worker: StoreWorker
    private let choice: SeededChoice
    /// How much of everything stays: nothing for every fourth seed, up to three quarters.
    private let kept: Double
    private static let sectorBytes = 512

    package init(seed: UInt64, worker: StoreWorker) {
        self.worker = worker
        choice = SeededChoice(seed: seed)
        kept = Double(seed % 4) / 4
    }

    package mutating func undo(_ log: DurabilityLog.State) {
        undoNames(log.names)
        for (node, change) in log.files.sorted(by: { $0.value.sequence < $1.value.sequence }) {
            undoFile(NodeID(rawValue: node), change)
        }
        for (node, change) in log.dropped.sorted(by: { $0.key < $1.key }) {
            let known = log.files[node]?.pages ?? [:]
            undoDropped(
                NodeID(rawValue: node), change.pages.filter { known[$0.key] == nil },
                isCounted: log.files[node] == nil)
        }
    }

    /// Puts back what was on the disk of pages that never reached it, whatever the seed.
    private mutating func undoDropped(
        _ node: NodeID, _ pages: [UInt64: [UInt8]], isCounted: Bool
    ) {
        guard let now = worker.durableState(node), now.isRegular else { return }
        if isCounted { counts.files += 1 }
        changedNodes.insert(node.rawValue)
        let zeros = [UInt8](repeating: 0, count: 4096)
        let old = pages.filter { $0.key << 12 < now.size }.sorted { $0.key < $1.key }
            .map { (index: $0.key, bytes: $0.value.isEmpty ? zeros : $0.value) }
        counts.pagesLost += old.count
        lostPages[node.rawValue, default: 0] += old.count
        do throws(Errno) {
            try worker.restoreContentFrozen(node, size: now.size, pages: old)
        } catch { counts.notRestored += 1 }
    }

    // MARK: names

    private mutating func undoNames(_ names: NameLog) {
        var undone: [(place: NamePlace, change: NameChange)] = []
        for group in names.groupsInOrder {
            let changes = group.places.compactMap { place in
                names.changes[place].map { (place, $0) }
            }
            .filter { $0.1.isChange }
            if choice.fraction(group.sequence << 24 | 1) < kept {
                counts.namesKept += changes.count
            } else {
                counts.namesLost += changes.count
                undone += changes
                undonePlaces.formUnion(changes.map(\.0))
            }
        }
        for (place, change) in undone where change.current != 0 {
            worker.dropNameFrozen(NodeID(rawValue: place.parent), place.name)
        }
        for (place, change) in undone where change.synced != 0 {
            let node = NodeID(rawValue: change.synced)
            let state = worker.durableState(node)
            do throws(Errno) {
                try worker.restoreNameFrozen(
                    NodeID(rawValue: place.parent), place.name, to: node)
                if let state, state.isDirectory, state.isRemoved { revivedDirectories.append(node) }
            } catch {
                // A directory that is gone has no names.
                if error == .noSpace { counts.notRestored += 1 }
            }
        }
        for (place, change) in undone {
            changedPlaces.append(place)
            changedNodes.formUnion([place.parent, change.synced, change.current])
            empty(change.current)
            // It may have been made, emptied and removed since all was synced: then nothing names it, and what
            // was moved out of it is as lost as the directory is.
            if change.synced != 0 { empty(place.parent) }
        }
        changedNodes.remove(0)
    }

    /// Removes what lies in a directory, if the power loss has left it without a name.
    private mutating func empty(_ node: UInt64) {
        let node = NodeID(rawValue: node)
        guard node.rawValue != 0, let state = worker.durableState(node), state.isDirectory,
            state.isRemoved
        else { return }
        for (parent, name) in worker.emptyFrozen(node) {
            changedPlaces.append(NamePlace(parent: parent, name: name))
            changedNodes.insert(parent)
        }
    }

    // MARK: content

    private mutating func undoFile(_ node: NodeID, _ change: FileChange) {
        guard let now = worker.durableState(node) else { return }
        counts.files += 1
        changedNodes.insert(node.rawValue)
        let base = change.sequence << 24
        let before = counts.pagesLost + counts.pagesTorn
        if choice.fraction(base | 2) >= kept { worker.restoreOwnerFrozen(node, change.synced) }
        guard now.isRegular else { return }
        let size = choice.fraction(base | 3) < kept ? now.size : change.synced.size
        var pages: [(index: UInt64, bytes: [UInt8])] = []
        for (index, old) in change.pages.sorted(by: { $0.key < $1.key }) where index << 12 < size {
            let new = worker.page(node, index)
            let position = base | (index &* 16) & 0xFF_FFFF
            let newBytes = newBytes(old, new, start: index << 12, size: size, now: now.size)
            if let bytes = mixed(old, new, position, newBytes: newBytes) {
                pages.append((index, bytes))
            }
        }
        do throws(Errno) {
            try worker.restoreContentFrozen(node, size: size, pages: pages)
        } catch { counts.notRestored += 1 }
        let lost = counts.pagesLost + counts.pagesTorn - before
        if lost > 0 || size != now.size { lostPages[node.rawValue] = lost }
    }

    /// How much of a changed page there may be, in whole sectors: what was cut off and is back can only
    /// be what it was.
    ///
    /// The sector in which the file ends now is new where something was written to it. What was only
    /// cut is as it was to its end.
    private func newBytes(
        _ old: [UInt8], _ new: [UInt8], start: UInt64, size: UInt64, now: UInt64
    ) -> Int {
        if size <= now || start + 4096 <= now { return 4096 }
        if start >= now { return 0 }
        let left = Int(now - start)
        let sector = left / Self.sectorBytes * Self.sectorBytes
        let isCut =
            !old.isEmpty && !new.isEmpty && old[sector..<left].elementsEqual(new[sector..<left])
        return isCut || sector == left ? sector : sector + Self.sectorBytes
    }

    /// A page after the loss; nil where it stays as it is.
    ///
    /// - Parameters:
    ///   - position: what chances go by.
    ///   - newBytes: how much of the new page there is, in whole sectors; what is behind it is old in any
    ///     case.
    private mutating func mixed(
        _ old: [UInt8], _ new: [UInt8], _ position: UInt64, newBytes: Int
    ) -> [UInt8]? {
        let zeros = [UInt8](repeating: 0, count: 4096)
        let old = old.isEmpty ? zeros : old
        let fraction = newBytes == 0 ? 1 : choice.fraction(position | 4)
        if fraction >= kept {
            counts.pagesLost += 1
            return old
        }
        var bytes = Array((new.isEmpty ? zeros : new).prefix(newBytes)) + old.dropFirst(newBytes)
        // A fifth of what is not lost altogether is torn.
        if fraction < kept * 0.8 {
            counts.pagesKept += 1
            return newBytes < 4096 ? bytes : nil
        }
        counts.pagesTorn += 1
        let sectors = choice.word(position | 5)
        for sector in 0..<4096 / Self.sectorBytes where sectors >> UInt64(sector) & 1 == 0 {
            let range = sector * Self.sectorBytes..<(sector + 1) * Self.sectorBytes
            bytes.replaceSubrange(range, with: old[range])
        }
        return bytes
    }
}
