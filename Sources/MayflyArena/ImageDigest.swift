// ImageDigest: what an image or a layer is known by, wherever it lies and whatever it is called.

internal import CMayflyMemory

/// SHA-256 of something.
package struct ImageDigest: Hashable, Sendable {
    /// The bytes of the digest, the first in the lowest byte of the first word.
    let words: SIMD4<UInt64>

    init(words: SIMD4<UInt64>) { self.words = words }

    /// Of bytes that are all there.
    package init(of bytes: UnsafeRawBufferPointer) {
        var sum = DigestSum()
        unsafe sum.add(bytes)
        self = sum.end()
    }

    /// The 64 digits of a text, with or without "sha256:" in front; nil for another text.
    package init?(_ text: String) {
        var digits = Array(text.utf8)
        if digits.starts(with: "sha256:".utf8) { digits.removeFirst(7) }
        guard digits.count == 64 else { return nil }
        var words = SIMD4<UInt64>()
        for (place, digit) in digits.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            let shift = UInt64(place / 2 % 8 * 8 + (place % 2 == 0 ? 4 : 0))
            words[place / 16] |= UInt64(value) << shift
        }
        self.words = words
    }

    /// 64 digits from 0 to f.
    package var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: (0..<32).flatMap { byte -> [UInt8] in
                let value = words[byte / 8] >> UInt64(byte % 8 * 8) & 0xFF
                return [digits[Int(value >> 4)], digits[Int(value & 15)]]
            }, as: UTF8.self)
    }

    /// As manifests and people write it.
    package var text: String { "sha256:\(hexadecimal)" }

    /// Enough of it to know it by, for errors.
    package var short: String { "sha256:\(hexadecimal.prefix(12))" }
}

/// A digest that is being taken.
package struct DigestSum {
    private var sum = cmem_sha256()

    /// Of nothing so far.
    package init() { unsafe cmem_sha256_begin(&sum) }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        if let start = bytes.baseAddress { unsafe cmem_sha256_add(&sum, start, bytes.count) }
    }

    /// The digest of all that was added; the next is of nothing again.
    package mutating func end() -> ImageDigest {
        var bytes = [UInt8](repeating: 0, count: 32)
        unsafe cmem_sha256_end(&sum, &bytes)
        unsafe cmem_sha256_begin(&sum)
        var words = SIMD4<UInt64>()
        for (place, byte) in bytes.enumerated() {
            words[place / 8] |= UInt64(byte) << UInt64(place % 8 * 8)
        }
        return ImageDigest(words: words)
    }
}
