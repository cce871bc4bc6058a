// RequestBody: the object that a request brings, with the fields that it may have and no others. A request
// that says something else than it means is carried out as something that nobody has asked for.

/// Why a request cannot be understood: 400, with what there is instead.
struct RequestFault: Error, Equatable {
    /// What is wrong, and what to give, in one line.
    let message: String
    /// The field that is wrong; nil where it is the whole.
    var field: String?
    /// What may stand there: names of fields, or values.
    var known: [String]?
}

/// A field that a request may have.
struct RequestField: Sendable {
    enum Kind: Sendable {
        case text, flag
        /// A whole number from 0.
        case count
        case fraction
        /// A list of such.
        case counts
        case texts

        /// What to give.
        var described: String {
            switch self {
            case .text: "a text"
            case .flag: "true or false"
            case .count: "a whole number from 0 to \(UInt64.max)"
            case .fraction: "a number"
            case .counts: "a list of whole numbers"
            case .texts: "a list of texts"
            }
        }
    }

    let name: String
    let kind: Kind

    init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// The fields of a request, each of which is known and of its kind.
struct RequestBody {
    private var texts: [String: String] = [:]
    private var flags: [String: Bool] = [:]
    private var numbers: [String: UInt64] = [:]
    private var fractions: [String: Double] = [:]
    private var lists: [String: [UInt64]] = [:]
    private var textLists: [String: [String]] = [:]

    /// - Parameters:
    ///   - bytes: none is an object without fields.
    ///   - fields: all that it may have; none where there is to be no body.
    init(_ bytes: [UInt8], _ fields: [RequestField]) throws(RequestFault) {
        if bytes.isEmpty {
            try self.init(members: [], fields)
            return
        }
        let value: JSONValue
        do throws(JSONFault) { value = try JSONReader.value(of: bytes) } catch {
            throw RequestFault(
                message: "the body is no JSON: \(error.reason); give \(Self.shape(fields))")
        }
        guard case .object(let members) = value else {
            throw RequestFault(message: "the body is \(value.kind): give \(Self.shape(fields))")
        }
        try self.init(members: members, fields)
    }

    /// The same for an object that was read.
    init(members: [JSONMember], _ fields: [RequestField]) throws(RequestFault) {
        for member in members {
            let name = member.name
            guard let field = fields.first(where: { $0.name == name }) else {
                let names = fields.map(\.name)
                throw RequestFault(
                    message: "there is no field '\(name)': "
                        + (names.isEmpty
                            ? "this takes none" : "known are \(names.joined(separator: ", "))"),
                    field: name, known: names)
            }
            try take(field, member.value)
        }
    }

    private static func shape(_ fields: [RequestField]) -> String {
        if fields.isEmpty { return "none, or {}" }
        return "an object of "
            + fields.map { "\($0.name) (\($0.kind.described))" }.joined(separator: ", ")
    }

    private mutating func take(_ field: RequestField, _ value: JSONValue) throws(RequestFault) {
        switch (field.kind, value) {
        case (.text, .text(let text)): texts[field.name] = text
        case (.flag, .flag(let flag)): flags[field.name] = flag
        case (.count, .number(let digits)):
            guard let number = UInt64(digits) else { throw Self.wrong(field, digits) }
            numbers[field.name] = number
        case (.fraction, .number(let digits)):
            guard let number = Double(digits), number.isFinite else {
                throw Self.wrong(field, digits)
            }
            fractions[field.name] = number
        case (.counts, .list(let values)):
            var list: [UInt64] = []
            for value in values {
                guard case .number(let digits) = value, let number = UInt64(digits) else {
                    throw Self.wrong(field, "a list with something else in it")
                }
                list.append(number)
            }
            lists[field.name] = list
        case (.texts, .list(let values)):
            textLists[field.name] = try values.map { value throws(RequestFault) in
                guard case .text(let text) = value else {
                    throw Self.wrong(field, "a list with something else in it")
                }
                return text
            }
        default: throw Self.wrong(field, value.kind)
        }
    }

    private static func wrong(_ field: RequestField, _ given: String) -> RequestFault {
        RequestFault(
            message: "\(field.name) is \(given): give \(field.kind.described)", field: field.name,
            known: [field.kind.described])
    }

    func text(_ name: String) -> String? { texts[name] }
    func flag(_ name: String) -> Bool? { flags[name] }
    func count(_ name: String) -> UInt64? { numbers[name] }
    func fraction(_ name: String) -> Double? { fractions[name] }
    func counts(_ name: String) -> [UInt64]? { lists[name] }
    func texts(_ name: String) -> [String]? { textLists[name] }

    /// A text that must be there.
    ///
    /// - Parameter what: what to give.
    func required(_ name: String, _ what: String) throws(RequestFault) -> String {
        guard let text = texts[name] else {
            throw RequestFault(
                message: "\(name) is missing: give \(what)", field: name, known: [what])
        }
        return text
    }
}
