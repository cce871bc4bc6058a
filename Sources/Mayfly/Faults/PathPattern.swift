// PathPattern: a glob over paths in the mount.

/// Components, divided by slashes; `*` and `?` stay within one, `**` alone stands for any number.
struct PathPattern: Sendable {
    private let components: [[UInt8]]

    init(_ text: String) {
        components = Self.split(Array(text.utf8))
    }

    /// - Parameter path: from the root of the mount, without a slash at its beginning; the root
    ///   itself is empty.
    func matches(_ path: [UInt8]) -> Bool {
        Self.match(components[...], Self.split(path)[...])
    }

    private static func split(_ bytes: [UInt8]) -> [[UInt8]] {
        bytes.split(separator: UInt8(ascii: "/")).map(Array.init)
    }

    private static func match(_ pattern: ArraySlice<[UInt8]>, _ path: ArraySlice<[UInt8]>) -> Bool {
        guard let first = pattern.first else { return path.isEmpty }
        let rest = pattern.dropFirst()
        if first == Array("**".utf8) {
            return (path.startIndex...path.endIndex).contains { match(rest, path[$0...]) }
        }
        guard let name = path.first, matches(first, name) else { return false }
        return match(rest, path.dropFirst())
    }

    /// One component: linear in the name for each `*`.
    private static func matches(_ pattern: [UInt8], _ name: [UInt8]) -> Bool {
        var at = 0
        var position = 0
        // Where the last star stood, and how much of the name it has taken.
        var star: (pattern: Int, name: Int)?
        while position < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, position)
                at += 1
            } else if at < pattern.count,
                pattern[at] == name[position] || pattern[at] == UInt8(ascii: "?")
            {
                at += 1
                position += 1
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                at = last.pattern + 1
                position = last.name + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
