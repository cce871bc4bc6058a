// The chunks that are nobody's: taken when a shard needs one, given back empty.

internal import CMayflyMemory

extension Arena {
    /// The bitmap of a chunk.
    @_noLocks func bitmap(_ kind: ChunkKind, _ chunk: UInt64) -> Bitmap {
        let words =
            kind.rawValue == 0
            ? geometry.descriptor(chunk) + Descriptor.bitmap : geometry.chunkStart(chunk)
        return Bitmap(region: region, words: words, units: kind.unitCount)
    }

    /// An empty chunk, recycled before new memory is touched.
    @_noLocks func takeChunk() -> UInt64? {
        guard isAllowed() else { return nil }
        var head = region.loadAcquire(Superblock.pool)
        while head & 0xFFFF_FFFF != 0 {
            let chunk = (head & 0xFFFF_FFFF) - 1
            let next = region.load(geometry.descriptor(chunk) + Descriptor.next)
            let tagged = ((head >> 32) &+ 1) << 32 | next & 0xFFFF_FFFF
            if region.exchange(Superblock.pool, expected: head, desired: tagged) { return chunk }
            head = region.loadAcquire(Superblock.pool)
        }
        var fresh = region.load(Superblock.freshChunk)
        while fresh < geometry.chunkCount {
            let chunk = geometry.holdsDescriptors(fresh) ? fresh + 1 : fresh
            if chunk >= geometry.chunkCount { return nil }
            if region.exchange(Superblock.freshChunk, expected: fresh, desired: chunk + 1) {
                return chunk
            }
            fresh = region.load(Superblock.freshChunk)
        }
        return nil
    }

    /// Counts a chunk off the allowance, and its memory off the process's budget; false when nothing
    /// is left of either.
    @_noLocks private func isAllowed() -> Bool {
        guard isWithinAllowance() else { return false }
        if takeChunkMemory() { return true }
        if region.load(Superblock.chunkAllowance) != .max {
            region.add(Superblock.chunkAllowance, 1)
        }
        return false
    }

    @_noLocks private func isWithinAllowance() -> Bool {
        var left = region.load(Superblock.chunkAllowance)
        while left != .max {
            if left == 0 { return false }
            let old = left
            if region.exchange(Superblock.chunkAllowance, expected: old, desired: old - 1) {
                return true
            }
            left = region.load(Superblock.chunkAllowance)
        }
        return true
    }

    /// Gives an empty chunk's memory back, and puts it on the pool.
    func giveBack(_ chunk: UInt64) {
        let descriptor = geometry.descriptor(chunk)
        let start = geometry.chunkStart(chunk)
        let isReleased = region.release(start, Geometry.chunkBytes, shared: isShared)
        // What a private mapping shows then is the file's.
        let isZero = isReleased && start >= baseBytes
        region.store(descriptor + Descriptor.clean, isZero ? 0 : Descriptor.notZero)
        region.storeRelease(descriptor + Descriptor.state, Descriptor.pool)
        var head = region.load(Superblock.pool)
        repeat {
            head = region.load(Superblock.pool)
            region.store(descriptor + Descriptor.next, head & 0xFFFF_FFFF)
        } while !region.exchange(
            Superblock.pool, expected: head, desired: ((head >> 32) &+ 1) << 32 | (chunk + 1))
    }
}
