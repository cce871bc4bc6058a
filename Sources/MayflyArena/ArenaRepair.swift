// ArenaRepair: the allocator's words made anew from what is reached, the writing twin of
// ArenaCheck.finish. For a region whose process has died.

internal import SystemPackage

extension ArenaCheck {
    /// Makes bitmaps, lists and quotas say what was claimed, and frees all else.
    ///
    /// - Precondition: nobody else uses the arena; everything that is to stay was claimed.
    /// - Complexity: O(chunks), and their units.
    package func rebuild(pagesInUse: UInt64, inodeSpaceInUse: UInt64) {
        for shard in 0..<geometry.shardCount {
            let header = geometry.shard(shard)
            for kind in [ChunkKind.pages, .inodes, .small] {
                for word in 0..<UInt64(3) { clear(header + Shard.lists(kind) + word * 8) }
            }
            clear(header + Shard.pending)
        }
        region.store(Superblock.pool, 0)
        region.store(Superblock.chunkAllowance, .max)
        for chunk in 0..<min(used, geometry.chunkCount) where !geometry.holdsDescriptors(chunk) {
            if let claims = claimed[Int(chunk)] {
                keep(chunk, claims)
            } else {
                free(chunk)
            }
        }
        arena.pages.recover(inUse: pagesInUse)
        arena.inodeSpace.recover(inUse: inodeSpaceInUse)
    }

    /// Most words were never written, and their pages are not to be touched.
    private func clear(_ word: UInt64) {
        if region.load(word) != 0 { region.store(word, 0) }
    }

    private func free(_ chunk: UInt64) {
        let descriptor = geometry.descriptor(chunk)
        for word in 0..<Geometry.descriptorBytes / 8 { clear(descriptor + word * 8) }
        arena.giveBack(chunk)
    }

    private func keep(_ chunk: UInt64, _ claims: Claims) {
        let descriptor = geometry.descriptor(chunk)
        let tag = region.load(descriptor + Descriptor.tag)
        let kind = ChunkKind.known(tag >> 32)
        // A shard that no worker has any more is looked after by another.
        let shard = (tag & 0xFFFF_FFFF) % UInt64(arena.workerCount)
        region.store(descriptor + Descriptor.tag, kind.rawValue << 32 | shard)
        let bitmap = arena.bitmap(kind, chunk)
        var count: UInt64 = 0
        for (index, word) in claims.words.enumerated() {
            region.store(bitmap.words + UInt64(index) * 8, word)
            count += UInt64(word.nonzeroBitCount)
        }
        region.store(descriptor + Descriptor.used, count)
        region.store(descriptor + Descriptor.hint, kind.firstUnit)
        let clean = region.load(descriptor + Descriptor.clean)
        if clean < kind.firstUnit || clean > kind.unitCount {
            region.store(descriptor + Descriptor.clean, kind.unitCount)
        }
        if kind.rawValue == ChunkKind.inodes.rawValue { emptySlots(chunk, claims) }
        rebuildShares(chunk)
        if kind.capacity - count < kind.capacity / 8 {
            region.store(descriptor + Descriptor.state, Descriptor.full)
        } else {
            region.store(descriptor + Descriptor.state, Descriptor.active)
            ArenaWorker(arena: arena, index: shard).appendPartial(kind, chunk)
        }
    }

    /// The first word of a slot says whether there is an inode.
    private func emptySlots(_ chunk: UInt64, _ claims: Claims) {
        let kind = ChunkKind.inodes
        for unit in kind.firstUnit..<kind.unitCount
        where claims.words[Int(unit >> 6)] & 1 << (unit & 63) == 0 {
            let slot = geometry.chunkStart(chunk) + unit << kind.unitShift
            if region.load32(slot) != 0 { region.store32(slot, 0) }
        }
    }
}
