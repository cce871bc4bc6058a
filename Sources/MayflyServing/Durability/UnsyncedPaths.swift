// UnsyncedPaths: what the log of changes holds, by the paths that it has now.

package import InodeStore
internal import MayflyHost

/// Names and files that have changed since they were synced.
package struct UnsyncedPaths: Sendable {
    package enum NameKind: Sendable { case made, removed, replaced }

    package var names: [(place: NamePlace, path: String, change: NameKind)] = []
    /// With how many pages have changed; 0 where only attributes did.
    package var files: [(node: UInt64, path: String, pages: Int, isDropped: Bool)] = []
}

extension DurabilityLog.State {
    /// In the order of the paths. What has no path any more is left out: nobody can meet it again.
    ///
    /// - Precondition: the store is frozen, or the worker entered.
    package func paths(_ worker: StoreWorker) -> UnsyncedPaths {
        var paths = UnsyncedPaths()
        for (place, change) in names.changes where change.isChange {
            guard let above = Self.path(of: place.parent, worker) else { continue }
            let kind: UnsyncedPaths.NameKind =
                change.synced == 0 ? .made : change.current == 0 ? .removed : .replaced
            let path = above.isEmpty ? place.name : above + [UInt8(ascii: "/")] + place.name
            paths.names.append((place, ByteText.text(of: path), kind))
        }
        func note(_ node: UInt64, _ pages: Int, isDropped: Bool) {
            guard let path = Self.path(of: node, worker) else { return }
            paths.files.append((node, ByteText.text(of: path), pages, isDropped))
        }
        for (node, change) in files {
            let more = dropped[node]?.pages.keys.count { change.pages[$0] == nil } ?? 0
            note(node, change.pages.count + more, isDropped: dropped[node] != nil)
        }
        for (node, change) in dropped where files[node] == nil {
            note(node, change.pages.count, isDropped: true)
        }
        paths.names.sort { PathBytes($0.path) < PathBytes($1.path) }
        paths.files.sort { PathBytes($0.path) < PathBytes($1.path) }
        return paths
    }

    /// The first of an inode's paths; empty for the root, nil where it has none.
    private static func path(of node: UInt64, _ worker: StoreWorker) -> [UInt8]? {
        if node == NodeID.root.rawValue { return [] }
        var components: [Name] = []
        let node = NodeID(rawValue: node)
        guard worker.names(of: node) > 0,
            worker.appendComponents(of: node, name: 0, to: &components)
        else { return nil }
        return unsafe Array(
            components.reversed().map { name in
                unsafe UnsafeRawBufferPointer(start: name.bytes, count: Int(name.count))
            }.joined(separator: [UInt8(ascii: "/")]))
    }
}
