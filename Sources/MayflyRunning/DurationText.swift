// DurationText: a time as text: a number with its unit.

package import Mayfly

/// Times as text.
package enum DurationText {
    /// The nanoseconds that a text names: a number with ns, us, ms or s.
    ///
    /// - Throws: `.usage`.
    package static func nanoseconds(
        _ text: String, option: String = "--delay"
    ) throws(MountError) -> UInt64 {
        let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.utf8.count)), number >= 0,
                number * factor < 1e15
            else { break }
            return UInt64(number * factor)
        }
        throw MountError(
            .usage, "bad \(option) '\(text)': give a number with ns, us, ms or s, such as 20ms")
    }

    /// A time as it can be given, in the largest unit of which it is a whole number.
    package static func described(nanoseconds: UInt64) -> String {
        let units: [(String, UInt64)] = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)]
        for (unit, factor) in units where nanoseconds.isMultiple(of: factor) {
            return "\(nanoseconds / factor)\(unit)"
        }
        return "\(nanoseconds)ns"
    }
}
