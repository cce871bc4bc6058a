// PathBytes: a path as the kernel has it.
//
// A String is not that: two Strings are equal when they are canonically equivalent, so the names of two
// files can be one String, and a name that is not UTF-8 is none.

/// A path: bytes without NUL, in no particular encoding.
package struct PathBytes: Hashable, Sendable {
    package let bytes: [UInt8]

    package init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    package init(_ text: String) { bytes = Array(text.utf8) }

    /// For people and for JSON: U+FFFD stands for what is not UTF-8.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Whether `other` is this path or lies below it; both absolute and without links.
    func contains(_ other: PathBytes) -> Bool {
        self == "/" || self == other || other.bytes.starts(with: bytes + [UInt8(ascii: "/")])
    }

    /// The names between the slashes.
    var names: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "/")) }

    /// Calls `body` with the path, ended by NUL.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        unsafe (bytes + [0]).withUnsafeBytes { buffer in
            unsafe body(buffer.baseAddress!.assumingMemoryBound(to: CChar.self))
        }
    }
}

extension PathBytes: ExpressibleByStringInterpolation, CustomStringConvertible, Comparable {
    package init(stringLiteral text: String) { self.init(text) }

    package var description: String { text }

    /// In the order of the bytes.
    package static func < (one: PathBytes, other: PathBytes) -> Bool {
        one.bytes.lexicographicallyPrecedes(other.bytes)
    }
}
