// Bitmap: which units of a chunk are in use, one bit each.
//
// Only the chunk's owner sets bits, anyone clears them (one atomic AND frees a unit of another
// shard, with no list and no wait). So what the owner finds clear stays clear until it sets it.

/// Operations on a run of bits that starts at a word offset of the region.
@frozen package struct Bitmap: Sendable {
    @usableFromInline let region: Region
    @usableFromInline let words: UInt64
    @usableFromInline let units: UInt64

    @usableFromInline @_noLocks
    init(region: Region, words: UInt64, units: UInt64) {
        self.region = region
        self.words = words
        self.units = units
    }

    @_noLocks @inline(__always)
    private func remaining(_ unit: UInt64) -> UInt64 {
        region.loadAcquire(words + (unit >> 6) * 8) >> (unit & 63)
    }

    /// The first run of at least `count` clear bits at or after `start`, below `units`.
    ///
    /// - Complexity: O(units / 64) words in the worst case.
    @_noLocks func findRun(of count: UInt64, from start: UInt64) -> UInt64? {
        var position = start
        while position + count <= units {
            let bits = remaining(position)
            let left = 64 - (position & 63)
            if bits & 1 == 1 {
                position += min(UInt64((~bits).trailingZeroBitCount), left)
                continue
            }
            let run = clearRun(from: position, atMost: count)
            if run >= count { return position }
            position += run
        }
        return nil
    }

    /// Length of the clear run that starts at `position`, not counted beyond `limit`.
    @_noLocks func clearRun(from position: UInt64, atMost limit: UInt64) -> UInt64 {
        var length: UInt64 = 0
        var at = position
        while length < limit && at < units {
            let left = 64 - (at & 63)
            let clear = min(UInt64(remaining(at).trailingZeroBitCount), left)
            length += clear
            at += clear
            if clear < left { break }
        }
        return min(min(length, limit), units - position)
    }

    /// Sets a run of bits that the owner found clear.
    @_noLocks func set(_ start: UInt64, _ count: UInt64) {
        var at = start
        let end = start + count
        while at < end {
            let n = min(64 - (at & 63), end - at)
            region.setBits(words + (at >> 6) * 8, Self.mask(n) << (at & 63))
            at += n
        }
    }

    /// Clears a run of set bits.
    ///
    /// - Precondition: all of them are set; a unit that is freed twice is a broken invariant.
    @_noLocks func clear(_ start: UInt64, _ count: UInt64) {
        var at = start
        let end = start + count
        while at < end {
            let n = min(64 - (at & 63), end - at)
            let bits = Self.mask(n) << (at & 63)
            let old = region.clearBits(words + (at >> 6) * 8, bits)
            precondition(old & bits == bits, "Bitmap.clear: a unit was freed twice")
            at += n
        }
    }

    @_noLocks func isSet(_ unit: UInt64) -> Bool { remaining(unit) & 1 == 1 }

    /// Number of set bits.
    func population() -> UInt64 {
        var sum: UInt64 = 0
        for index in 0..<(units + 63) / 64 {
            sum += UInt64(region.load(words + index * 8).nonzeroBitCount)
        }
        return sum
    }

    @_noLocks private static func mask(_ count: UInt64) -> UInt64 {
        count >= 64 ? ~0 : (1 << count) - 1
    }
}
