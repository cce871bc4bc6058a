// PathBytes: a name, a path or an argument as the kernel has it.
//
// A String is not that: two Strings are equal when they are canonically equivalent, so the names of two
// files can be one String, a name that is not UTF-8 is none, and an accent at the beginning of a name hides
// the slash in front of it.

/// A path, a name or an argument: bytes without NUL, in no particular encoding.
public struct PathBytes: Hashable, Sendable {
    /// As the kernel has them.
    public let bytes: [UInt8]

    /// - Parameter bytes: without NUL.
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// The bytes that a text stands for: those of its UTF-8, where characters that `text` has for other
    /// bytes stand for those.
    public init(_ text: String) { bytes = ByteText.bytes(of: text) }

    /// Text from which the bytes can be had back. What is UTF-8 is itself, and any other byte is the
    /// character U+10FC00 and the byte.
    public var text: String { ByteText.text(of: bytes) }

    /// Whether `other` is this path or lies below it; both absolute and without links.
    package func contains(_ other: PathBytes) -> Bool {
        self == "/" || self == other || other.bytes.starts(with: bytes + [UInt8(ascii: "/")])
    }

    /// The names between the slashes.
    package var names: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

    /// The path without its last name; of a single name ".", and of what lies in the root "/".
    package var parent: PathBytes {
        let above = Array(names.dropLast().joined(separator: [UInt8(ascii: "/")]))
        if isAbsolute { return PathBytes(bytes: [UInt8(ascii: "/")] + above) }
        return above.isEmpty ? "." : PathBytes(bytes: above)
    }

    /// Whether it begins with a slash.
    package var isAbsolute: Bool { bytes.first == UInt8(ascii: "/") }

    /// Whether it ends with the bytes of a text, such as ".tar".
    package func hasSuffix(_ suffix: String) -> Bool {
        bytes.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    }

    /// This path and what follows.
    package static func + (path: PathBytes, end: PathBytes) -> PathBytes {
        PathBytes(bytes: path.bytes + end.bytes)
    }

    /// Calls `body` with the path, ended by NUL.
    package func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        unsafe (bytes + [0]).withUnsafeBytes { buffer in
            unsafe body(buffer.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
    }
}

extension PathBytes: ExpressibleByStringInterpolation, CustomStringConvertible, Comparable {
    /// As `init(_:)`.
    public init(stringLiteral text: String) { self.init(text) }

    /// For people: as it is, or quoted for the shell where a part of it cannot be printed.
    public var description: String {
        ShellQuote.isPrintable(bytes) ? text : ShellQuote.quoted(bytes)
    }

    /// In the order of the bytes.
    public static func < (one: PathBytes, other: PathBytes) -> Bool {
        one.bytes.lexicographicallyPrecedes(other.bytes)
    }
}
