// SeededGenerator: random numbers that a seed gives again.

internal import Glibc

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014): small, and good enough to choose operations.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A number below `bound`, which is above 0; the slight bias is of no matter here.
    package mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// True once in `n` times.
    package mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

    /// One of the elements of an array that is not empty.
    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[below(elements.count)]
    }
}

/// What the environment asks of tests with random histories.
package enum FuzzSettings {
    /// `MAYFLY_FUZZ_SEED`: the one seed to run, to repeat a failure.
    package static var seed: UInt64? { number("MAYFLY_FUZZ_SEED") }
    /// `MAYFLY_FUZZ_OPERATIONS`: operations of each history instead of the test's own number.
    package static var operations: Int? { number("MAYFLY_FUZZ_OPERATIONS").map { Int($0) } }
    /// `MAYFLY_FUZZ_HISTORIES`: histories of a test that runs through several.
    package static var histories: Int? { number("MAYFLY_FUZZ_HISTORIES").map { Int($0) } }

    private static func number(_ name: String) -> UInt64? {
        guard let value = unsafe getenv(name) else { return nil }
        return UInt64(unsafe String(cString: value))
    }
}
