// ControlRecord: what a server leaves beside its socket, so that it is known even when it hangs.

internal import FoundationEssentials
internal import Glibc

/// The content of NUMBER.json.
struct ControlRecord: Codable, Sendable, Equatable {
    var connection: UInt32
    var mountpoint: String
    var processID: Int32
    var userID: UInt32
    var version: String

    init(_ summary: MountSummary, connection: UInt32) {
        self.connection = connection
        mountpoint = summary.mountpoint
        processID = getpid()
        userID = geteuid()
        version = MayflyVersion.text
    }
}

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
