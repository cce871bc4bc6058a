import Glibc

/// How long tests wait for what should come at once.
package enum Patience {
    /// `MAYFLY_PATIENCE`: how many times the usual limits, for a machine that is emulated.
    package static let factor: Int =
        unsafe getenv("MAYFLY_PATIENCE").flatMap { unsafe Int(String(cString: $0)) } ?? 1
}
