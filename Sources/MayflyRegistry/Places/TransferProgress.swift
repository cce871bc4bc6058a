// TransferProgress: how far a transfer is, and whether it is to go on. Any thread writes, anybody reads.

internal import Mayfly
internal import Synchronization

package final class TransferProgress: Sendable {
    // Sums of what threads add; relaxed, as nothing is published with them.
    private let total = Atomic<UInt64>(0)
    private let done = Atomic<UInt64>(0)
    private let carried = Atomic<UInt64>(0)
    private let present = Atomic<UInt64>(0)
    private let blobs = Atomic<UInt64>(0)
    private let sentBlobs = Atomic<UInt64>(0)
    private let stopped = Atomic<Bool>(false)
    private let hurried = Atomic<Bool>(false)
    private let words = Mutex<String>("")

    package init() {}

    /// Bytes that there are to carry, as far as that is known; and of them those that are there.
    package var totalBytes: UInt64 { total.load(ordering: .relaxed) }
    package var doneBytes: UInt64 { done.load(ordering: .relaxed) }
    /// Bytes of blobs that went over the wire, those that went again among them.
    package var carriedBytes: UInt64 { carried.load(ordering: .relaxed) }
    /// Bytes of blobs that were there before.
    package var presentBytes: UInt64 { present.load(ordering: .relaxed) }
    /// Blobs, and of them those that were carried.
    package var blobCount: UInt64 { blobs.load(ordering: .relaxed) }
    package var carriedBlobs: UInt64 { sentBlobs.load(ordering: .relaxed) }
    /// What it does now, for people.
    package var text: String { words.withLock { $0 } }

    var isStopped: Bool { stopped.load(ordering: .relaxed) }
    /// Whether the time between two attempts is too long for somebody.
    var isHurried: Bool { hurried.load(ordering: .relaxed) }
    func hurry(_ isHurried: Bool) { hurried.store(isHurried, ordering: .relaxed) }
    func stop() { stopped.store(true, ordering: .relaxed) }
    func say(_ text: String) { words.withLock { $0 = text } }

    func expect(_ bytes: UInt64) { total.add(bytes, ordering: .relaxed) }
    func advance(_ bytes: UInt64) { done.add(bytes, ordering: .relaxed) }
    func takeBack(_ bytes: UInt64) { done.subtract(bytes, ordering: .relaxed) }
    func carry(_ bytes: UInt64) { carried.add(bytes, ordering: .relaxed) }
    func count(_ blob: BlobDescriptor, wasThere: Bool) {
        blobs.add(1, ordering: .relaxed)
        if wasThere {
            present.add(blob.size, ordering: .relaxed)
        } else {
            sentBlobs.add(1, ordering: .relaxed)
        }
    }
}
