// JSONLine: an object of JSON that is made field by field, for lists of tens of thousands.

/// An element that writes itself as JSON, in the bytes that `ControlJSON.encoded(_:isPretty:)` would make. JSONEncoder
/// takes 9 us for a fault rule.
protocol JSONLineElement: Encodable, Sendable {
    /// Appends the fields by name, in the order of their names.
    func write(to line: inout JSONLine)
}

/// JSON on one line, in the form of `ControlJSON`.
struct JSONLine {
    private(set) var bytes: [UInt8] = []
    private var isFirst = true

    init() { bytes.reserveCapacity(256) }

    /// Appends an object.
    mutating func append(_ element: some JSONLineElement) {
        let outer = isFirst
        isFirst = true
        bytes.append(UInt8(ascii: "{"))
        element.write(to: &self)
        bytes.append(UInt8(ascii: "}"))
        isFirst = outer
    }

    /// Appends a text, with its quotes.
    mutating func append(text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 { appendEscaped(byte) }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Appends digits as they are.
    mutating func append(number digits: String) { bytes += digits.utf8 }

    /// Appends what is no value.
    mutating func append(_ separator: StaticString) {
        unsafe bytes.append(
            contentsOf: UnsafeBufferPointer(
                start: separator.utf8Start, count: separator.utf8CodeUnitCount))
    }

    /// Appends a field, as the following do; none for nil.
    mutating func field(_ name: StaticString, _ value: (some BinaryInteger)?) {
        guard let value else { return }
        begin(name)
        append(number: String(value))
    }

    mutating func field(_ name: StaticString, _ value: Bool?) {
        guard let value else { return }
        begin(name)
        append(value ? "true" : "false")
    }

    /// - Precondition: it is finite.
    mutating func field(_ name: StaticString, _ value: Double?) {
        guard let value else { return }
        begin(name)
        let text = "\(value)"
        bytes += (text.hasSuffix(".0") ? text.dropLast(2) : text[...]).utf8
    }

    mutating func field(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        begin(name)
        append(text: value)
    }

    mutating func field(_ name: StaticString, _ value: some JSONLineElement) {
        begin(name)
        append(value)
    }

    private mutating func begin(_ name: StaticString) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        bytes.append(UInt8(ascii: "\""))
        append(name)
        append("\":")
    }

    /// - Source: RFC 8259, section 7.
    private mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append("\\\"")
        case UInt8(ascii: "\\"): append("\\\\")
        case 8: append("\\b")
        case 9: append("\\t")
        case 10: append("\\n")
        case 12: append("\\f")
        case 13: append("\\r")
        case ..<32:
            append("\\u00")
            let digits = Array("0123456789abcdef".utf8)
            bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: bytes.append(byte)
        }
    }
}
