// NameLog: names that have changed since their directories were synced.
//
// For each name that changed it has what the name led to when its directory was last synced, and what
// it leads to now. Names that only make sense together are in one group, which is kept or undone as a
// whole, as a journal does it:
// - the two names of a rename, with the new names of the directories that it moved into,
// - a directory that was removed, with what was removed from it.
// So no power loss loses an inode whose name was synced and that nobody removed, and no directory can
// come to lie in itself.

/// One name that has changed.
struct NameChange: Sendable {
    /// Nodeids; 0 is no such name.
    var synced: UInt64
    var current: UInt64
    /// When it first changed: what chances go by.
    let sequence: UInt64
    var group: UInt64

    var isChange: Bool { synced != current }
}

/// Changed names by directory and group. A value, guarded by its owner, which also holds a reference to
/// every inode that `synced` or `current` names.
struct NameLog: Sendable {
    private(set) var changes: [NamePlace: NameChange] = [:]
    private var places: [UInt64: Set<NamePlace>] = [:]
    private var groups: [UInt64: Set<NamePlace>] = [:]
    /// Where directories lie whose names have changed.
    private var directories: [UInt64: NamePlace] = [:]
    /// How many names each inode had that are in the log.
    private var syncedNames: [UInt64: Int] = [:]

    /// Takes note of a name's new target.
    ///
    /// - Parameters:
    ///   - old: what it led to before this change, if that is the first; its kind.
    ///   - sequence: of the change.
    mutating func note(
        _ place: NamePlace, old: UInt64, new: UInt64, sequence: UInt64,
        isOldDirectory: Bool, isNewDirectory: Bool
    ) {
        if isOldDirectory, directories[old] == place { directories[old] = nil }
        if isNewDirectory { directories[new] = place }
        if changes[place] != nil {
            changes[place]?.current = new
            return
        }
        changes[place] = NameChange(synced: old, current: new, sequence: sequence, group: sequence)
        places[place.parent, default: []].insert(place)
        groups[sequence] = [place]
        if old != 0 { syncedNames[old, default: 0] += 1 }
    }

    /// Whether a name in the log led to the inode when it was synced.
    func hadName(_ node: UInt64) -> Bool { syncedNames[node] != nil }

    func placeOfDirectory(_ node: UInt64) -> NamePlace? { directories[node] }

    func names(in directory: UInt64) -> Set<NamePlace> { places[directory] ?? [] }

    /// Makes one group of the groups of two names, if both are in the log.
    mutating func join(_ one: NamePlace, _ other: NamePlace) {
        guard let a = changes[one]?.group, let b = changes[other]?.group, a != b else { return }
        let isFirstLarger = (groups[a]?.count ?? 0) >= (groups[b]?.count ?? 0)
        let (into, from) = isFirstLarger ? (a, b) : (b, a)
        for place in groups.removeValue(forKey: from) ?? [] {
            changes[place]?.group = into
            groups[into]?.insert(place)
        }
    }

    /// Every name that is synced when a directory is.
    func group(ofDirectory directory: UInt64) -> Set<NamePlace> {
        let touched = Set(names(in: directory).compactMap { changes[$0]?.group })
        return touched.reduce(into: []) { $0.formUnion(groups[$1] ?? []) }
    }

    /// Every group, by the first of its changes.
    var groupsInOrder: [(sequence: UInt64, places: [NamePlace])] {
        groups.values.map { members in
            let sorted = members.sorted { sequence($0) < sequence($1) }
            return (sorted.first.map(sequence) ?? 0, sorted)
        }.sorted { $0.sequence < $1.sequence }
    }

    private func sequence(_ place: NamePlace) -> UInt64 { changes[place]?.sequence ?? 0 }

    /// Whether a name stands for itself and is what it was.
    func isIdle(_ place: NamePlace) -> Bool {
        guard let change = changes[place] else { return false }
        return !change.isChange && groups[change.group]?.count == 1
    }

    mutating func remove(_ place: NamePlace) -> NameChange? {
        guard let change = changes.removeValue(forKey: place) else { return nil }
        places[place.parent]?.remove(place)
        if places[place.parent]?.isEmpty == true { places[place.parent] = nil }
        groups[change.group]?.remove(place)
        if groups[change.group]?.isEmpty == true { groups[change.group] = nil }
        if directories[change.current] == place { directories[change.current] = nil }
        if let count = syncedNames[change.synced] {
            syncedNames[change.synced] = count > 1 ? count - 1 : nil
        }
        return change
    }
}
