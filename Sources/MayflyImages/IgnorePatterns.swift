// IgnorePatterns: which paths of a folder are left out, in the words of .gitignore.

internal import Glibc

/// Patterns as gitignore(5) has them: the last that matches decides, and nothing below a folder that is left
/// out can be taken in again.
package struct IgnorePatterns: Sendable {
    private struct Pattern: Sendable {
        /// Names between slashes, each ended by NUL; nil for "**".
        let parts: [[CChar]?]
        let takesIn: Bool
        let isForFolders: Bool
    }
    private var patterns: [Pattern] = []

    package init() {}

    package var isEmpty: Bool { patterns.isEmpty }

    /// Adds the lines of a file like .gitignore.
    package mutating func add(file: [UInt8]) {
        for line in file.split(separator: UInt8(ascii: "\n")) {
            var line = Array(line)
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if line.first == UInt8(ascii: "#") { continue }
            // Blanks at the end count only behind a backslash.
            while line.last == UInt8(ascii: " "), line.dropLast().last != UInt8(ascii: "\\") {
                line.removeLast()
            }
            add(line)
        }
    }

    /// Adds one pattern.
    package mutating func add(_ text: [UInt8]) {
        let slash = UInt8(ascii: "/")
        var text = text[...]
        let takesIn = text.first == UInt8(ascii: "!")
        if takesIn { text = text.dropFirst() }
        let isForFolders = text.last == slash
        if isForFolders { text = text.dropLast() }
        if text.isEmpty { return }
        let isAnchored = text.contains(slash)
        // "./name" is what a shell completes.
        let names = text.split(separator: slash).filter { !$0.elementsEqual(".".utf8) }
        var parts: [[CChar]?] = names.map { part in
            part.elementsEqual("**".utf8) ? nil : part.map { CChar(bitPattern: $0) } + [0]
        }
        if parts.isEmpty { return }
        if !isAnchored { parts.insert(nil, at: 0) }
        patterns.append(Pattern(parts: parts, takesIn: takesIn, isForFolders: isForFolders))
    }

    /// Whether a path is left out, provided that no folder above it is.
    ///
    /// - Parameter path: from the folder that the patterns are for, without a slash in front.
    package func leavesOut(_ path: [UInt8], isFolder: Bool) -> Bool {
        if patterns.isEmpty || path.isEmpty { return false }
        let names = path.split(separator: UInt8(ascii: "/")).map { name in
            name.map { CChar(bitPattern: $0) } + [0]
        }
        let last = patterns.last { pattern in
            (isFolder || !pattern.isForFolders) && Self.matches(pattern.parts[...], names[...])
        }
        return last.map { !$0.takesIn } ?? false
    }

    /// Whether a path, or a folder above it, is left out.
    package func leavesOutWithAbove(_ path: [UInt8], isFolder: Bool) -> Bool {
        if patterns.isEmpty { return false }
        for index in path.indices where path[index] == UInt8(ascii: "/") {
            if leavesOut(Array(path[..<index]), isFolder: true) { return true }
        }
        return leavesOut(path, isFolder: isFolder)
    }

    private static func matches(
        _ parts: ArraySlice<[CChar]?>, _ names: ArraySlice<[CChar]>
    ) -> Bool {
        guard let part = parts.first else { return names.isEmpty }
        guard let part else {
            // At the end it is everything within, which has a name at least.
            let rest = parts.dropFirst()
            if rest.isEmpty { return !names.isEmpty }
            return (0..<names.count).contains { matches(rest, names.dropFirst($0)) }
        }
        guard let name = names.first, unsafe fnmatch(part, name, 0) == 0 else { return false }
        return matches(parts.dropFirst(), names.dropFirst())
    }
}
