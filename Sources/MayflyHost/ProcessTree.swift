// Which processes come from which, by what /proc/PID/stat tells everybody.

import Glibc

package enum ProcessTree {
    /// A line of /proc/PID/stat, as far as it matters here.
    package struct Entry: Equatable {
        package var processID: Int32
        package var command: String
        /// "Z" has ended and is not yet waited for.
        package var state: Character
        package var parent: Int32

        /// - Source: proc_pid_stat(5). The command may hold blanks and parentheses.
        package init?(parsing text: String) {
            guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"),
                open < close,
                let number = Int32(text[..<open].prefix { $0 != " " })
            else { return nil }
            let rest = text[text.index(after: close)...].split(separator: " ", maxSplits: 2)
            guard rest.count >= 2, let state = rest[0].first, let parent = Int32(rest[1])
            else { return nil }
            processID = number
            command = String(text[text.index(after: open)..<close])
            self.state = state
            self.parent = parent
        }
    }

    /// What lives below the process `root`, without what has ended, in the order of the numbers.
    ///
    /// - Complexity: O(threads of `root`) where it has no child, O(processes of the machine) otherwise.
    package static func descendants(of root: Int32) -> [MountHolder] {
        if hasChild(root) == false { return [] }
        let entries = ProcessScan.of(MountHolders.processIDs()) {
            HostFile.text(at: "/proc/\($0)/stat").flatMap(Entry.init(parsing:))
        }.found.map(\.value)
        return descendants(of: root, among: entries)
    }

    /// Whether a thread of `process` has a child, one that has ended included; nil where the kernel
    /// does not tell. Only whether, as a list of them may lack some.
    ///
    /// - Source: proc_tid_children(5); fs/proc/array.c, `get_children_pid()`.
    private static func hasChild(_ process: Int32) -> Bool? {
        let threads = HostFile.names(in: "/proc/\(process)/task")
        if threads.isEmpty { return nil }
        for thread in threads {
            guard let list = HostFile.text(at: "/proc/\(process)/task/\(thread)/children") else {
                return nil
            }
            if !list.isEmpty { return true }
        }
        return false
    }

    package static func descendants(of root: Int32, among entries: [Entry]) -> [MountHolder] {
        var children: [Int32: [Entry]] = [:]
        for entry in entries { children[entry.parent, default: []].append(entry) }
        var found: [Entry] = []
        var open = [root]
        while let next = open.popLast() {
            // A listing is no snapshot: a number that came round must not send this in a circle.
            let below = children.removeValue(forKey: next) ?? []
            found += below
            open += below.map(\.processID)
        }
        return found.filter { $0.state != "Z" && $0.state != "X" }
            .sorted { $0.processID < $1.processID }
            .map { MountHolder(processID: $0.processID, command: $0.command) }
    }
}
