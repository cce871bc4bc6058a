// Challenge: how a registry wants to be told who asks: RFC 9110, section 11.6.1, and the token authentication of
// registries.

/// A value of WWW-Authenticate.
struct Challenge: Equatable {
    /// In small letters.
    var scheme: String
    var parameters: [String: String]

    /// Nil for what is none.
    init?(_ text: String) {
        let bytes = Array(text.utf8.prefix(8192))
        var at = 0
        func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }
        func word(_ end: (UInt8) -> Bool) -> String {
            let start = at
            while at < bytes.count, !end(bytes[at]) { at += 1 }
            return String(decoding: bytes[start..<at], as: UTF8.self)
        }
        scheme = word(isBlank).lowercased()
        if scheme.isEmpty { return nil }
        parameters = [:]
        while at < bytes.count {
            while at < bytes.count, isBlank(bytes[at]) || bytes[at] == UInt8(ascii: ",") { at += 1 }
            let name = word { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ",") }.lowercased()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "=") else { continue }
            at += 1
            if at < bytes.count, bytes[at] == UInt8(ascii: "\"") {
                at += 1
                var value: [UInt8] = []
                while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
                    if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count { at += 1 }
                    value.append(bytes[at])
                    at += 1
                }
                at += 1
                parameters[name] = String(decoding: value, as: UTF8.self)
            } else {
                parameters[name] = word { isBlank($0) || $0 == UInt8(ascii: ",") }
            }
        }
    }

    /// A part of a URL's query, with all escaped that means something there.
    static func escaped(_ text: String) -> String {
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.utf8 {
            if plain.contains(byte) {
                result.append(byte)
            } else {
                result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
