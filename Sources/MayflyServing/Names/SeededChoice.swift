// SeededChoice: chance that can be had again.

/// Pseudo-random numbers by position, so that the n-th is the same whoever asked before.
///
/// - Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
package struct SeededChoice: Sendable {
    package let seed: UInt64

    package func word(_ index: UInt64) -> UInt64 {
        var z = Self.mixed(seed &+ 0x6A09_E667_F3BC_C909) &+ (index &+ 1) &* 0x9E37_79B9_7F4A_7C15
        z = Self.mixed(z)
        return z
    }

    /// 0 up to, not including, 1.
    package func fraction(_ index: UInt64) -> Double { Double(word(index) >> 11) / Double(1 << 53) }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
