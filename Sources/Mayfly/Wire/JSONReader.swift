// JSONReader: JSON as it stands, with what a decoder would pass over: names that are given twice, numbers
// that do not fit, and what comes after the end.

/// Why bytes are no JSON.
package struct JSONFault: Error, Equatable {
    /// As the end of "the body is no JSON: ".
    package let reason: String
}

/// Reads JSON from its beginning to its end.
package struct JSONReader {
    private let bytes: [UInt8]
    private var at = 0
    /// Lists and objects within each other; no request has more than two, and no index more than four.
    private static let deepest = 16
    private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The value that bytes hold, which are nothing else.
    package static func value(of bytes: [UInt8]) throws(JSONFault) -> JSONValue {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw JSONFault(reason: "it is not UTF-8")
        }
        var reader = JSONReader(bytes)
        let value = try reader.value(depth: 0)
        reader.skipBlanks()
        guard reader.at == bytes.count else { throw reader.fault("something comes after its end") }
        return value
    }

    private func fault(_ reason: String) -> JSONFault {
        JSONFault(reason: "\(reason) (byte \(at))")
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipBlanks() {
        while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { at += 1 }
    }

    private mutating func take(_ text: StaticString) -> Bool {
        let wanted = unsafe UnsafeBufferPointer(
            start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard unsafe bytes[at...].starts(with: wanted) else { return false }
        at += text.utf8CodeUnitCount
        return true
    }

    private mutating func value(depth: Int) throws(JSONFault) -> JSONValue {
        guard depth < Self.deepest else { throw fault("it is too deep") }
        skipBlanks()
        switch next {
        case UInt8(ascii: "{"): return .object(try members(depth))
        case UInt8(ascii: "["): return .list(try elements(depth))
        case UInt8(ascii: "\""): return .text(try text())
        case nil: throw fault("it ends too early")
        case let byte? where byte == UInt8(ascii: "-") || Self.digits.contains(byte):
            return .number(try number())
        default: break
        }
        if take("true") { return .flag(true) }
        if take("false") { return .flag(false) }
        if take("null") { return .null }
        throw fault("there is no value")
    }

    private mutating func members(_ depth: Int) throws(JSONFault) -> [JSONMember] {
        var members: [JSONMember] = []
        // By their bytes: two forms of one character are two names.
        var names: Set<[UInt8]> = []
        _ = take("{")
        skipBlanks()
        if take("}") { return [] }
        while true {
            skipBlanks()
            guard next == UInt8(ascii: "\"") else { throw fault("a name is missing") }
            let name = try text()
            guard names.insert(Array(name.utf8)).inserted else {
                throw fault("'\(name)' comes twice")
            }
            skipBlanks()
            guard take(":") else { throw fault("a colon is missing") }
            members.append(JSONMember(name, try value(depth: depth + 1)))
            skipBlanks()
            if take("}") { return members }
            guard take(",") else { throw fault("a comma or brace is missing") }
        }
    }

    private mutating func elements(_ depth: Int) throws(JSONFault) -> [JSONValue] {
        var elements: [JSONValue] = []
        _ = take("[")
        skipBlanks()
        if take("]") { return [] }
        while true {
            elements.append(try value(depth: depth + 1))
            skipBlanks()
            if take("]") { return elements }
            guard take(",") else { throw fault("a comma or bracket is missing") }
        }
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, Self.digits.contains(byte) { at += 1 }
        return at - start
    }

    private mutating func number() throws(JSONFault) -> String {
        let start = at
        _ = take("-")
        let first = next
        let count = digits()
        guard count == 1 || count > 1 && first != UInt8(ascii: "0") else {
            throw fault("a number is wrong")
        }
        if take(".") { guard digits() > 0 else { throw fault("a number is wrong") } }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            guard digits() > 0 else { throw fault("a number is wrong") }
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func text() throws(JSONFault) -> String {
        var content: [UInt8] = []
        _ = take("\"")
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                at += 1
                return String(decoding: content, as: UTF8.self)
            case UInt8(ascii: "\\"):
                at += 1
                content.append(contentsOf: String(try escaped()).utf8)
            case 0..<0x20: throw fault("a text has a control character that is not escaped")
            default:
                content.append(byte)
                at += 1
            }
        }
        throw fault("a text does not end")
    }

    private mutating func escaped() throws(JSONFault) -> Unicode.Scalar {
        let kinds: [UInt8: Unicode.Scalar] = [
            UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/",
            UInt8(ascii: "b"): "\u{8}", UInt8(ascii: "f"): "\u{C}", UInt8(ascii: "n"): "\n",
            UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
        ]
        if let byte = next, let scalar = kinds[byte] {
            at += 1
            return scalar
        }
        guard take("u") else { throw fault("an escape is wrong") }
        let first = try unit()
        if let scalar = Unicode.Scalar(UInt32(first)) { return scalar }
        // The first half of a pair.
        guard first < 0xDC00, take("\\u") else { throw fault("half a character is escaped") }
        let second = try unit()
        guard (0xDC00..<0xE000).contains(second) else { throw fault("half a character is escaped") }
        return Unicode.Scalar(0x10000 + (UInt32(first) - 0xD800) << 10 + UInt32(second) - 0xDC00)!
    }

    private mutating func unit() throws(JSONFault) -> UInt16 {
        let digits = bytes[at...].prefix(4)
        guard digits.count == 4, !digits.contains(UInt8(ascii: "+")),
            !digits.contains(UInt8(ascii: "-")),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw fault("an escape is wrong") }
        at += 4
        return unit
    }
}
