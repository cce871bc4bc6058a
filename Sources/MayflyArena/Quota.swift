// Quota: an exact limit that many shards draw on without meeting.
//
// The free amount is split: a global word, and a credit word in every shard header. A reservation
// takes from its own shard's credit; when that is short it takes a batch from the global word; and
// at the edge it gathers the other shards' credits under one lock word, so that it fails only when
// the sum of everything is short. Free = global + credits, at any quiet moment exactly.
//
// Ordering: every word is changed by compare-and-swap or add; the amounts guard no other memory.

internal import CMayflyMemory

/// One exact limit; the words lie in the region.
@frozen package struct Quota: Sendable {
    @usableFromInline let region: Region
    @usableFromInline let geometry: Geometry
    /// Superblock offset: +0 global free, +8 limit, +16 lock of the edge, +24 moves under way.
    @usableFromInline let global: UInt64
    /// Offset of the credit word inside a shard header.
    @usableFromInline let credit: UInt64
    /// What a shard takes from the global word at once.
    @usableFromInline let batch: UInt64

    @usableFromInline @_noLocks
    init(region: Region, geometry: Geometry, global: UInt64, credit: UInt64, batch: UInt64) {
        self.region = region
        self.geometry = geometry
        self.global = global
        self.credit = credit
        self.batch = batch
    }

    /// The limit.
    package var limit: UInt64 { @_noLocks get { region.load(global + 8) } }

    /// What is not reserved; exact when nobody is reserving.
    ///
    /// - Complexity: O(shards).
    package var free: UInt64 {
        @_noLocks get {
            var sum = region.load(global)
            var shard: UInt64 = 0
            while shard < geometry.shardCount {
                sum &+= region.load(geometry.shard(shard) + credit)
                shard += 1
            }
            // A reader between two movements may see one amount twice.
            return min(sum, limit)
        }
    }

    /// Sets the first limit. Only for a region that nobody uses yet.
    func initialize(limit: UInt64) {
        region.store(global, limit)
        region.store(global + 8, limit)
        region.store(global + 16, 0)
        region.store(global + 24, 0)
    }

    /// Takes all credits back and sets a limit, which is at least what is in use.
    ///
    /// - Precondition: nobody reserves meanwhile.
    func settle(limit newLimit: UInt64) {
        let used = limit - free
        for shard in 0..<geometry.shardCount {
            // Most were never touched, and are not to be.
            if region.load(geometry.shard(shard) + credit) != 0 {
                region.store(geometry.shard(shard) + credit, 0)
            }
        }
        initialize(limit: max(used, newLimit))
        region.store(global, max(used, newLimit) - used)
    }

    /// Makes the words say that so much is in use, whatever they say.
    ///
    /// - Precondition: as `settle`.
    func recover(inUse used: UInt64) {
        for shard in 0..<geometry.shardCount
        where region.load(geometry.shard(shard) + credit) != 0 {
            region.store(geometry.shard(shard) + credit, 0)
        }
        let most = max(used, limit)
        initialize(limit: most)
        region.store(global, most - used)
    }

    /// Changes the limit, never below what is in use.
    ///
    /// - Returns: whether it was changed.
    package func resize(to newLimit: UInt64, shard: UInt64) -> Bool {
        lockEdge()
        defer { unlockEdge() }
        let old = limit
        if newLimit >= old {
            region.store(global + 8, newLimit)
            region.add(global, newLimit - old)
            return true
        }
        guard gatherLocked(old - newLimit) else { return false }
        region.store(global + 8, newLimit)
        return true
    }

    /// Takes `amount`, or nothing.
    ///
    /// - Returns: false when less than `amount` is free in all shards together.
    /// - Complexity: O(1); O(shards) at the edge.
    @_noLocks package func reserve(_ amount: UInt64, shard: UInt64) -> Bool {
        if amount == 0 { return true }
        let mine = geometry.shard(shard) + credit
        if take(mine, amount) { return true }
        // Own credit is short: a batch from the global word, the rest of it becomes credit.
        beginMove()
        let isTaken = take(global, amount + batch)
        if isTaken { region.add(mine, batch) }
        endMove()
        if isTaken { return true }
        lockEdge()
        let found = gatherLocked(amount)
        unlockEdge()
        return found
    }

    /// Takes as much of `amount` as there is.
    ///
    /// - Returns: what was taken, 0 when nothing is free.
    @_noLocks package func reserve(atMost amount: UInt64, shard: UInt64) -> UInt64 {
        if reserve(amount, shard: shard) { return amount }
        lockEdge()
        defer { unlockEdge() }
        let collected = collectLocked(amount)
        let taken = min(amount, collected)
        region.add(global, collected - taken)
        return taken
    }

    /// Gives `amount` back.
    @_noLocks package func release(_ amount: UInt64, shard: UInt64) {
        if amount == 0 { return }
        let mine = geometry.shard(shard) + credit
        let now = region.add(mine, amount)
        // Whoever gathers may have been past this credit already, and must look again.
        if region.load(global + 16) != 0 { region.add(global + 24, 1 << 16) }
        // A shard that only frees must not hoard what others need: the surplus goes back.
        if now > batch * 4 {
            let surplus = now - batch
            beginMove()
            if take(mine, surplus) { region.add(global, surplus) }
            endMove()
        }
    }

    @_noLocks private func take(_ word: UInt64, _ amount: UInt64) -> Bool {
        var current = region.load(word)
        while current >= amount {
            if region.exchange(word, expected: current, desired: current - amount) { return true }
            current = region.load(word)
        }
        return false
    }

    /// Takes `amount` from the global word and the credits together, or nothing.
    ///
    /// With the edge locked nobody else gathers, so two reservations never hold a half each.
    @_noLocks private func gatherLocked(_ amount: UInt64) -> Bool {
        let collected = collectLocked(amount)
        let isEnough = collected >= amount
        region.add(global, isEnough ? collected - amount : collected)
        return isEnough
    }

    /// Takes all words' amounts until there is enough; what is too much is the caller's to put
    /// back. Less than `amount` only when a whole pass found nothing, and meanwhile no amount was
    /// given back or on its way from one word to another, where a pass may not see it.
    @_noLocks private func collectLocked(_ amount: UInt64) -> UInt64 {
        var collected: UInt64 = 0
        while true {
            let moves = region.loadAcquire(global + 24)
            let before = collected
            collected += region.swap(global, 0)
            var index: UInt64 = 0
            while collected < amount && index < geometry.shardCount {
                let word = geometry.shard(index) + credit
                if region.load(word) > 0 { collected += region.swap(word, 0) }
                index += 1
            }
            if collected >= amount { return collected }
            let isQuiet = moves & 0xFFFF == 0 && region.add(global + 24, 0) == moves
            if isQuiet && collected == before { return collected }
            if !isQuiet { cmem_yield() }
        }
    }

    /// An amount is on its way between two words: the low 16 bits count such moves, the others all
    /// that ever began, and what was given back under the eyes of one who gathers.
    @_noLocks private func beginMove() { region.add(global + 24, 1 << 16 | 1) }
    @_noLocks private func endMove() { region.subtract(global + 24, 1) }

    @_noLocks private func lockEdge() {
        while !region.exchange(global + 16, expected: 0, desired: 1) { cmem_yield() }
    }
    @_noLocks private func unlockEdge() { region.storeRelease(global + 16, 0) }
}
