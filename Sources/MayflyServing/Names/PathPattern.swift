// PathPattern: a glob over paths in the mount, and one of its components.

internal import InodeStore
package import MayflyHost

/// Components, divided by slashes; `*` and `?` stay within one, `**` alone stands for any number, and `.`
/// alone for nothing.
package struct PathPattern: Sendable {
    package let components: [[UInt8]]

    static let anyNumber = Array("**".utf8)

    package init(_ text: String) { self.init(PathBytes(text)) }

    package init(_ pattern: PathBytes) {
        components = pattern.names.map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
    }
}

/// One component with a star or a question mark. What is literal at its ends is known apart, so that an
/// index finds the few patterns that a name can match.
struct NamePattern: Sendable, Equatable {
    let bytes: [UInt8]
    /// Literal bytes at the beginning and at the end.
    let headCount: Int
    let tailCount: Int

    private static let star = UInt8(ascii: "*")
    private static let any = UInt8(ascii: "?")

    /// - Returns: nil for what has neither star nor question mark.
    package init?(_ bytes: [UInt8]) {
        func isWild(_ byte: UInt8) -> Bool { byte == Self.star || byte == Self.any }
        guard let first = bytes.firstIndex(where: isWild),
            let last = bytes.lastIndex(where: isWild)
        else { return nil }
        self.bytes = bytes
        headCount = first
        tailCount = bytes.count - last - 1
    }

    /// Linear in the name for each star.
    func matches(_ name: UnsafeRawBufferPointer) -> Bool {
        unsafe bytes.withUnsafeBytes { pattern in unsafe Self.matches(pattern, name) }
    }

    private static func matches(
        _ pattern: UnsafeRawBufferPointer, _ name: UnsafeRawBufferPointer
    ) -> Bool {
        var at = 0
        var position = 0
        // Where the last star stood, and how much of the name it has taken.
        var star: (pattern: Int, name: Int)?
        while position < name.count {
            if at < pattern.count, unsafe pattern[at] == Self.star {
                star = (at, position)
                at += 1
            } else if at < pattern.count,
                unsafe pattern[at] == name[position] || pattern[at] == Self.any
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
        while at < pattern.count, unsafe pattern[at] == Self.star { at += 1 }
        return at == pattern.count
    }
}
