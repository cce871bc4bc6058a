// ControlJSON: what is said over the control socket, as bytes.

internal import FoundationEssentials

/// JSON as it is written everywhere here: keys in order, so that outputs can be compared.
public enum ControlJSON {
    /// - Parameters:
    ///   - value: what is to be written.
    ///   - isPretty: for people, with a line for each value.
    public static func encoded(_ value: some Encodable, isPretty: Bool = false) -> [UInt8] {
        let encoder = encoder(isPretty: isPretty)
        // Nothing here has a value that JSON does not know.
        return (try? encoder.encode(value)).map(Array.init) ?? []
    }

    static func encoder(isPretty: Bool = false) -> JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            isPretty
            ? [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            : [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }

    /// nil for what is not JSON of this shape.
    public static func decoded<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) -> Value? {
        try? JSONDecoder().decode(type, from: Data(bytes))
    }
}
