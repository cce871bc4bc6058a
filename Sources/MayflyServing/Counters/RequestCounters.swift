// RequestCounters: what a worker has answered, how long that took, and about which inodes.
//
// Layout, in words of 8 bytes:
//
//     0      requests by opcode, 64 words       192    bytes read, bytes written, samples,
//     64     errors by opcode                          countdown, thread, timed
//     128    nanoseconds by opcode              256    nodeids of the hot table, 64 words
//                                               320    their sample counts
//                                               384    errors by errno, 128 words
//                                               512    64 histograms of 256 buckets
//
// A page that no opcode of this mount uses is never touched, so that a worker has some 60 KiB.

internal import CMayflyMemory
package import FuseTransport
internal import Synchronization
package import SystemPackage

/// One block of counters per worker; trivial to copy.
///
/// - Concurrency: written by the worker's thread alone, and so by a load and a store without the
///   bus lock of an atomic addition; read by anyone, all relaxed: statistics publish nothing.
@safe package struct RequestCounters: @unchecked Sendable {
    // Sendable: points to memory that lives as long as the mount.
    package static var count: Int { @_noLocks get { 64 } }
    /// One request of 16 is timed, and looked at for the hot table. Timing each would make a
    /// small request a tenth slower.
    /// How many are in between is spread over 0 to 31, so that no pattern of requests keeps step.
    private static var samplingBits: UInt64 { @_noLocks get { 5 } }
    package static var hotCount: Int { @_noLocks get { 64 } }
    /// After so many samples all of them count half: the table tells of the last requests.
    private static var samplesPerHalving: UInt64 { @_noLocks get { 4096 } }

    private static var errors: Int { @_noLocks get { 64 } }
    private static var nanoseconds: Int { @_noLocks get { 128 } }
    private static var readBytes: Int { @_noLocks get { 192 } }
    private static var writtenBytes: Int { @_noLocks get { 193 } }
    private static var samples: Int { @_noLocks get { 194 } }
    private static var untilSample: Int { @_noLocks get { 195 } }
    private static var threadNumber: Int { @_noLocks get { 196 } }
    private static var hotNodes: Int { @_noLocks get { 256 } }
    private static var hotSamples: Int { @_noLocks get { 320 } }
    private static var errnos: Int { @_noLocks get { 384 } }
    /// Errnos that have a word of their own; the few above, which no file system answers, share the first.
    package static var errnoCount: Int { @_noLocks get { 128 } }
    private static var histograms: Int { @_noLocks get { 512 } }
    private static var wordCount: Int { histograms + count * LatencyBuckets.count }

    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    private init(_ words: UnsafeMutablePointer<Atomic<UInt64>>) { unsafe self.words = words }

    /// - Throws: `ENOMEM`.
    package static func make() throws(Errno) -> RequestCounters {
        // Zero pages that come when they are touched.
        guard let memory = unsafe cmem_map(wordCount * 8) else { throw .noMemory }
        return unsafe RequestCounters(memory.assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    /// As many blocks, or none.
    package static func make(count: Int) throws(Errno) -> [RequestCounters] {
        var made: [RequestCounters] = []
        do throws(Errno) {
            for _ in 0..<count { made.append(try make()) }
        } catch {
            for counters in made { counters.deallocate() }
            throw error
        }
        return made
    }

    package func deallocate() { unsafe cmem_unmap(words, Self.wordCount * 8) }

    // MARK: the worker's thread

    @_noLocks package func count(_ opcode: UInt32) { add(1, Int(truncatingIfNeeded: opcode & 63)) }

    /// Whether the next request is one that is timed.
    @_noLocks package func isSampleNext() -> Bool {
        let waiting = unsafe words[Self.untilSample].load(ordering: .relaxed)
        if waiting > 0 {
            unsafe words[Self.untilSample].store(waiting - 1, ordering: .relaxed)
            return false
        }
        // Fibonacci hashing (D. Knuth, The Art of Computer Programming, 6.4).
        let spread = self[word: Self.samples] &* 0x9e37_79b9_7f4a_7c15
        unsafe words[Self.untilSample].store(
            spread >> (64 - Self.samplingBits), ordering: .relaxed)
        return true
    }

    @_noLocks package func countError(_ opcode: UInt32, _ errno: Int32) {
        add(1, Self.errors + Int(truncatingIfNeeded: opcode & 63))
        let hasWord = errno > 0 && errno < Self.errnoCount
        add(1, Self.errnos + (hasWord ? Int(truncatingIfNeeded: errno) : 0))
    }

    /// Notes a request that was timed.
    ///
    /// - Parameter nanoseconds: from its being taken to its answer.
    @inline(never) @_noLocks package func sample(_ request: FuseRequest, nanoseconds: UInt64) {
        let opcode = Int(truncatingIfNeeded: request.opcode & 63)
        add(nanoseconds, Self.nanoseconds + opcode)
        let bucket = LatencyBuckets.index(nanoseconds)
        add(1, Self.histograms + opcode * LatencyBuckets.count + bucket)
        countHot(request.nodeID)
    }

    @_noLocks package func countRead(_ bytes: UInt64) { add(bytes, Self.readBytes) }

    @_noLocks package func countWritten(_ bytes: UInt64) { add(bytes, Self.writtenBytes) }

    /// Counts a sample for an inode: "space saving" (A. Metwally, D. Agrawal, A. El Abbadi,
    /// "Efficient computation of frequent and top-k elements in data streams", 2005), where what
    /// is new takes the place and the count of the rarest.
    @_noLocks private func countHot(_ node: UInt64) {
        add(1, Self.samples)
        if self[word: Self.samples] % Self.samplesPerHalving == 0 { halve() }
        var rarest = 0
        var least = UInt64.max
        var index = 0
        while index < Self.hotCount {
            if self[word: Self.hotNodes + index] == node { return add(1, Self.hotSamples + index) }
            let seen = self[word: Self.hotSamples + index]
            if seen < least { (rarest, least) = (index, seen) }
            index += 1
        }
        unsafe words[Self.hotNodes + rarest].store(node, ordering: .relaxed)
        unsafe words[Self.hotSamples + rarest].store(least + 1, ordering: .relaxed)
    }

    @_noLocks private func halve() {
        var index = Self.hotSamples
        while index < Self.hotSamples + Self.hotCount {
            unsafe words[index].store(self[word: index] / 2, ordering: .relaxed)
            index += 1
        }
    }

    @_noLocks private func add(_ amount: UInt64, _ index: Int) {
        let sum = unsafe words[index].load(ordering: .relaxed) &+ amount
        unsafe words[index].store(sum, ordering: .relaxed)
    }

    // MARK: anyone

    /// The number of the thread that serves; 0 before it does.
    package var thread: Int32 {
        get { Int32(truncatingIfNeeded: self[word: Self.threadNumber]) }
        nonmutating set {
            unsafe words[Self.threadNumber].store(UInt64(newValue), ordering: .relaxed)
        }
    }

    /// Requests of one opcode.
    package subscript(opcode: Int) -> UInt64 { self[word: opcode & 63] }

    package var total: UInt64 { (0..<Self.count).reduce(0) { $0 + self[$1] } }

    package func errors(_ opcode: Int) -> UInt64 { self[word: Self.errors + (opcode & 63)] }

    /// Requests answered by an errno, whatever their opcode; by 0 those that have no word of their own.
    package func errors(errno: Int32) -> UInt64 {
        self[word: Self.errnos + Int(errno & 127)]
    }

    /// Adds what is known of an opcode's service times, a sample, to `histogram`.
    package func add(_ opcode: Int, to histogram: inout LatencyHistogram) {
        let start = Self.histograms + (opcode & 63) * LatencyBuckets.count
        for bucket in 0..<LatencyBuckets.count {
            histogram.counts[bucket] += self[word: start + bucket]
        }
        histogram.nanoseconds += self[word: Self.nanoseconds + (opcode & 63)]
    }

    /// Bytes that READ has given and WRITE has taken.
    package var transferred: (read: UInt64, written: UInt64) {
        (self[word: Self.readBytes], self[word: Self.writtenBytes])
    }

    /// The inodes that the last requests were about, with their samples; in no order.
    package var hot: [(node: UInt64, samples: UInt64)] {
        (0..<Self.hotCount).compactMap { index in
            let node = self[word: Self.hotNodes + index]
            let samples = self[word: Self.hotSamples + index]
            return node == 0 || samples == 0 ? nil : (node, samples)
        }
    }

    private subscript(word index: Int) -> UInt64 {
        @_noLocks get { unsafe words[index].load(ordering: .relaxed) }
    }
}
