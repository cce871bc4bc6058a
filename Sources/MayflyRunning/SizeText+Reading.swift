// Sizes, counts and modes from text, the way tmpfs reads them.

package import Mayfly

/// Reads byte sizes and counts.
///
/// - Source: mm/shmem.c, `shmem_parse_one()`; lib/cmdline.c, `memparse()`; tmpfs(5).
extension SizeText {
    /// The bytes that `text` names, rounded up to whole pages as tmpfs does.
    ///
    /// `text` is a number, with one of k, m, g, t, p, e (of 1024, either case) after it, or with
    /// `%` for a share of memory. 0 means no limit but memory.
    ///
    /// - Parameters:
    ///   - text: what the user wrote.
    ///   - option: what the error names, `--size` for instance.
    ///   - memory: what a percentage is a share of.
    /// - Throws: `.usage` when `text` is no such thing or passes 2^63 - 1 bytes.
    package static func bytes(
        _ text: String, option: String, memory: SystemMemory
    ) throws(MountError) -> UInt64 {
        let wrong = MountError(
            .usage,
            "bad \(option) '\(text)': give bytes, a number with k, m, g or t, "
                + "or a share of memory such as 50%")
        guard let (number, rest) = leadingNumber(text[...]) else { throw wrong }
        let bytes: UInt64?
        if rest == "%" {
            bytes = share(percent: number, of: memory.usableBytes)
        } else {
            bytes = scaled(number, unit: rest)
        }
        guard let bytes, bytes <= UInt64(Int64.max) - (pageBytes - 1) else { throw wrong }
        return (bytes + pageBytes - 1) / pageBytes * pageBytes
    }

    /// The count that `text` names: a number, with a unit as for `bytes` after it.
    ///
    /// - Throws: `.usage` when `text` is no such thing or passes 2^63 - 1.
    package static func count(_ text: String, option: String) throws(MountError) -> UInt64 {
        guard let (number, rest) = leadingNumber(text[...]),
            let count = scaled(number, unit: rest), count <= UInt64(Int64.max)
        else {
            throw MountError(
                .usage, "bad \(option) '\(text)': give a number, or one with k, m or g")
        }
        return count
    }

    /// The file mode that `text` names in octal, 0 to 7777.
    package static func mode(_ text: String, option: String) throws(MountError) -> UInt32 {
        let digits = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
        guard digits, let mode = UInt32(text, radix: 8), mode <= 0o7777 else {
            throw MountError(
                .usage, "bad \(option) '\(text)': give permissions in octal, such as 1777 or 0755")
        }
        return mode
    }

    /// The decimal number at the start of `text` and what follows it; nil when there is none or it
    /// does not fit.
    private static func leadingNumber(_ text: Substring) -> (UInt64, Substring)? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let number = UInt64(digits) else { return nil }
        return (number, text.dropFirst(digits.count))
    }

    private static func scaled(_ number: UInt64, unit: Substring) -> UInt64? {
        let shift: UInt64
        switch unit.lowercased() {
        case "": shift = 0
        case "k": shift = 10
        case "m": shift = 20
        case "g": shift = 30
        case "t": shift = 40
        case "p": shift = 50
        case "e": shift = 60
        default: return nil
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : value
    }

    private static func share(percent: UInt64, of bytes: UInt64) -> UInt64? {
        let product = bytes.multipliedFullWidth(by: percent)
        guard product.high < 100 else { return nil }
        return UInt64(100).dividingFullWidth(product).quotient
    }
}
