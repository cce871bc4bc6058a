internal import CMayflyMemory

/// The time that people mean.
enum WallClock {
    /// Since 1970.
    static var nanoseconds: UInt64 {
        let now = cmem_now()
        return UInt64(max(0, now.seconds)) * 1_000_000_000 + UInt64(now.nanoseconds)
    }
}
