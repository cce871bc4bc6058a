// JSONValue: any JSON as it stands, in the order and with the numbers that were written.

/// A value of JSON.
///
/// - Source: RFC 8259.
package indirect enum JSONValue: Sendable, Equatable {
    case null
    case flag(Bool)
    /// As it is written.
    case number(String)
    case text(String)
    case list([JSONValue])
    /// In its order; no name comes twice.
    case object([JSONMember])

    /// With its article.
    var kind: String {
        switch self {
        case .null: "null"
        case .flag: "a truth value"
        case .number: "a number"
        case .text: "a text"
        case .list: "a list"
        case .object: "an object"
        }
    }

    /// The value of a member; nil where there is none, and where this is no object.
    package subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package var text: String? { if case .text(let text) = self { text } else { nil } }
    /// A whole number of 64 bits.
    package var integer: Int64? {
        if case .number(let digits) = self { Int64(digits) } else { nil }
    }
    package var list: [JSONValue]? { if case .list(let list) = self { list } else { nil } }

    /// The text of the value, without blanks.
    package var encoded: [UInt8] {
        var line = JSONLine()
        write(to: &line)
        return line.bytes
    }

    private func write(to line: inout JSONLine) {
        switch self {
        case .null: line.append("null")
        case .flag(let flag): line.append(flag ? "true" : "false")
        case .number(let digits): line.append(number: digits)
        case .text(let text): line.append(text: text)
        case .list(let values):
            line.append("[")
            for (index, value) in values.enumerated() {
                if index > 0 { line.append(",") }
                value.write(to: &line)
            }
            line.append("]")
        case .object(let members):
            line.append("{")
            for (index, member) in members.enumerated() {
                if index > 0 { line.append(",") }
                line.append(text: member.name)
                line.append(":")
                member.value.write(to: &line)
            }
            line.append("}")
        }
    }
}

/// A member of an object.
package struct JSONMember: Sendable, Equatable {
    package var name: String
    package var value: JSONValue

    package init(_ name: String, _ value: JSONValue) {
        self.name = name
        self.value = value
    }
}
