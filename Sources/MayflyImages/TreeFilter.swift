// TreeFilter: which entries of a source are taken, and by what names.

internal import Glibc

/// What tar(1) calls --exclude and --strip-components, for one reading of a source.
package final class TreeFilter {
    private let excludes: [[CChar]]
    private let strippedNames: Int
    private let hasContentOfLinks: Bool
    /// Files of several names whose first was left out, and the name that stands for it.
    private var firstNames: [[UInt8]: [UInt8]] = [:]

    /// - Parameters:
    ///   - excludes: patterns of fnmatch(3) for a path, or for the part of it behind any slash; what lies
    ///     below a match is left out with it.
    ///   - strippedNames: leading names that are taken off; what has no more of them is left out.
    ///   - hasContentOfLinks: whether the source can tell the content of a file by any of its names, as a
    ///     directory can and an archive cannot.
    package init(
        excludes: [[UInt8]] = [], strippedNames: Int = 0, hasContentOfLinks: Bool = false
    ) {
        self.excludes = excludes.map { ($0 + [0]).map { CChar(bitPattern: $0) } }
        self.strippedNames = strippedNames
        self.hasContentOfLinks = hasContentOfLinks
    }

    /// The entry as it is to be; nil for what is left out.
    package func wanted(_ entry: SourceEntry) -> SourceEntry? {
        if isExcluded(entry.path) { return nil }
        var entry = entry
        if hasContentOfLinks, let link = entry.hardLink {
            if isExcluded(link) {
                entry.hardLink = firstNames[link]
                if entry.hardLink == nil { firstNames[link] = entry.path }
            }
            if entry.hardLink != nil { entry.size = 0 }
        }
        if strippedNames == 0 { return entry }
        guard let path = stripped(entry.path) else { return nil }
        entry.path = path
        if let link = entry.hardLink { entry.hardLink = stripped(link) ?? link }
        return entry
    }

    /// Whether a pattern leaves a path out.
    package func isExcluded(_ path: [UInt8]) -> Bool {
        if excludes.isEmpty { return false }
        // GNU: a match of what leads to the path counts.
        let leadingFolder: Int32 = 1 << 3
        let text = path.map { CChar(bitPattern: $0) } + [0]
        return text.indices.contains { start in
            guard start == 0 || path[start - 1] == UInt8(ascii: "/") else { return false }
            let end = Array(text[start...])
            return excludes.contains { unsafe fnmatch($0, end, leadingFolder) == 0 }
        }
    }

    private func stripped(_ path: [UInt8]) -> [UInt8]? {
        let names = path.split(separator: UInt8(ascii: "/")).filter { Array($0) != [0x2E] }
        guard names.count > strippedNames else { return nil }
        return Array(names.dropFirst(strippedNames).joined(separator: [UInt8(ascii: "/")]))
    }
}
