// ByteText: bytes of a name or a path as text, and back.
//
// A name is bytes in no particular encoding, and JSON and String hold characters alone. So a byte that is
// not part of valid UTF-8 becomes a character of a private plane, which no two byte sequences share:
//
//     byte 0x80 ... 0xFF  <->  U+10FC80 ... U+10FCFF
//
// These characters themselves, should a name have one, are written by their four bytes. In UTF-16, which
// JSON escapes are, they are DBFF with the DC80 ... DCFF that Python's surrogateescape has for the same bytes.

/// The reversible text of bytes (Docs/Control.md, Names).
package enum ByteText {
    /// What stands for a byte is this and the byte.
    private static let base: UInt32 = 0x10FC00

    /// The text of bytes; what is UTF-8 is itself.
    ///
    /// - Complexity: O(bytes).
    package static func text(of bytes: some Collection<UInt8>) -> String {
        // The first byte of what stands for bytes is F4.
        if !bytes.contains(0xF4), let text = String(validating: bytes, as: UTF8.self) {
            return text
        }
        var text = ""
        var rest = Array(bytes)[...]
        while let first = rest.first {
            if let (scalar, count) = scalar(at: rest), byte(of: scalar) == nil {
                text.unicodeScalars.append(scalar)
                rest = rest.dropFirst(count)
            } else {
                text.unicodeScalars.append(standIn(first))
                rest = rest.dropFirst()
            }
        }
        return text
    }

    /// The bytes that a text stands for: `bytes(of: text(of: x))` is x.
    package static func bytes(of text: String) -> [UInt8] {
        let plain = Array(text.utf8)
        if !plain.contains(0xF4) { return plain }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(plain.count)
        for scalar in text.unicodeScalars {
            if let byte = byte(of: scalar) {
                bytes.append(byte)
            } else {
                bytes.append(contentsOf: UTF8.encode(scalar)!)
            }
        }
        return bytes
    }

    /// The text of a path for an error, which is to have room for a reason: of a long one the end.
    package static func shortened(_ path: [UInt8]) -> String {
        if path.count <= 400 { return text(of: path) }
        let end = path.suffix(300)
        let begin = end.firstIndex(of: UInt8(ascii: "/")) ?? end.startIndex
        return "..." + text(of: Array(end[begin...]))
    }

    /// Text in which every byte above ASCII stands alone, for what takes text apart by characters: an
    /// accent would stick to the sign in front of it, and hide that sign.
    package static func separated(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes {
            text.unicodeScalars.append(byte < 0x80 ? Unicode.Scalar(byte) : standIn(byte))
        }
        return text
    }

    /// The byte that a character stands for; nil for one that stands for itself.
    package static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        (base + 0x80...base + 0xFF).contains(scalar.value)
            ? UInt8(truncatingIfNeeded: scalar.value) : nil
    }

    /// - Precondition: the byte is above ASCII.
    private static func standIn(_ byte: UInt8) -> Unicode.Scalar {
        assert(byte >= 0x80)
        return Unicode.Scalar(base + UInt32(byte))!
    }

    /// The character that bytes begin with, and how many bytes it has; nil where they are not UTF-8.
    package static func scalar(
        at bytes: ArraySlice<UInt8>
    ) -> (scalar: Unicode.Scalar, count: Int)? {
        guard let first = bytes.first else { return nil }
        if first < 0x80 { return (Unicode.Scalar(first), 1) }
        for count in 2...4 where bytes.count >= count {
            guard let text = String(validating: bytes.prefix(count), as: UTF8.self) else {
                continue
            }
            return text.unicodeScalars.first.map { ($0, count) }
        }
        return nil
    }
}
