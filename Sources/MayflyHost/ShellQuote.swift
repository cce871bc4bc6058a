// ShellQuote: names for people, in the style that ls(1) calls shell-escape: what a shell would not take as it
// stands is quoted, and what cannot be printed is escaped, so that a line can be copied to a shell, and no
// name steers a terminal or looks like two.
//
// Source: gnulib, lib/quotearg.c, `quotearg_buffer_restyled()`.

internal import CMayflySystem
internal import Glibc

/// Names as ls(1) shows them with `--quoting-style=shell-escape`, in UTF-8.
public enum ShellQuote {
    /// What a shell takes for something else, wherever it stands.
    private static let special = Set(" !\"$&()*;<=>[^`|?'".utf8)
    /// What double quotes leave alone, beside letters, digits and what is not ASCII.
    private static let plainInDoubleQuotes = Set(" %+,-./:@]_'".utf8)

    /// A name as it is, or quoted where that is needed.
    public static func quoted(_ name: PathBytes) -> String { quoted(name.bytes) }

    /// The same for the text of a name.
    public static func quoted(_ text: String) -> String { quoted(PathBytes(text).bytes) }

    package static func isPrintable(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard let count = printable(rest) else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Text for a terminal, of which parts may be anybody's: what cannot be printed is escaped as `ls -b`
    /// does it.
    public static func escaped(_ text: String) -> String {
        let bytes = PathBytes(text).bytes
        if isPrintable(bytes) { return text }
        return parts(bytes).map {
            $0.isPrintable ? String(decoding: $0.bytes, as: UTF8.self) : escape($0.bytes)
        }
        .joined()
    }

    package static func quoted(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "''" }
        if isPrintable(bytes) {
            if !isSpecial(bytes) { return String(decoding: bytes, as: UTF8.self) }
            // A single quote without what double quotes leave alone is in those.
            if bytes.contains(UInt8(ascii: "'")), bytes.allSatisfy(isPlainInDoubleQuotes) {
                return "\"\(String(decoding: bytes, as: UTF8.self))\""
            }
        }
        var text = "'"
        var isInEscape = false
        for part in parts(bytes) {
            if part.isPrintable {
                if isInEscape { text += "''" }
                text +=
                    part.bytes == [UInt8(ascii: "'")]
                    ? "'\\''" : String(decoding: part.bytes, as: UTF8.self)
            } else {
                if !isInEscape { text += "'$'" }
                text += escape(part.bytes)
            }
            isInEscape = !part.isPrintable
        }
        return text + "'"
    }

    private static func isSpecial(_ bytes: [UInt8]) -> Bool {
        if [UInt8(ascii: "#"), UInt8(ascii: "~")].contains(bytes[0]) { return true }
        if bytes == Array("{".utf8) || bytes == Array("}".utf8) { return true }
        return bytes.contains { special.contains($0) || $0 == UInt8(ascii: "\\") }
    }

    private static func isPlainInDoubleQuotes(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...0xFF:
            true
        default: plainInDoubleQuotes.contains(byte)
        }
    }

    private static func escape(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            switch byte {
            case 7: "\\a"
            case 8: "\\b"
            case 9: "\\t"
            case 10: "\\n"
            case 11: "\\v"
            case 12: "\\f"
            case 13: "\\r"
            default:
                "\\" + String(byte >> 6) + String(byte >> 3 & 7) + String(byte & 7)
            }
        }.joined()
    }

    /// Characters that can be printed, and bytes that cannot.
    private static func parts(_ bytes: [UInt8]) -> [(bytes: [UInt8], isPrintable: Bool)] {
        var found: [(bytes: [UInt8], isPrintable: Bool)] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = printable(rest)
            let length = count ?? ByteText.scalar(at: rest)?.count ?? 1
            found.append((Array(rest.prefix(length)), count != nil))
            rest = rest.dropFirst(length)
        }
        return found
    }

    /// Bytes of the character that bytes begin with; nil for what cannot be printed.
    private static func printable(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard let (scalar, count) = ByteText.scalar(at: bytes) else { return nil }
        if scalar.isASCII { return (32..<127).contains(scalar.value) ? count : nil }
        return csys_is_printable(scalar.value) != 0 ? count : nil
    }
}
