// DeviceReaders: the threads that read /dev/fuse side by side, and whether they are at rest.

internal import CMayflyMemory
internal import CMayflySystem
internal import Synchronization

/// What the readers of one /dev/fuse know of each other.
///
/// A FORGET that one of them has read is not in the kernel's queue any more, and may not be done with
/// yet: its thread may have lost its processor. Whether a thread waits for requests is known to the kernel
/// alone.
package final class DeviceReaders: Sendable {
    /// Thread numbers; 0 before the thread has begun, negative while it waits for the others.
    private let threads: [Slot]

    private final class Slot: Sendable {
        let thread = Atomic<Int32>(0)
    }

    package init(count: Int) {
        threads = (0..<count).map { _ in Slot() }
    }

    /// The calling thread is reader `index` from now on.
    package func begin(_ index: Int) {
        threads[index].thread.store(cmem_thread(), ordering: .relaxed)
    }

    /// Waits until what was read before this call has been answered.
    ///
    /// - Parameters:
    ///   - index: the caller's own number, which the others do not wait for meanwhile.
    ///   - deadline: of the monotonic clock, in nanoseconds; there the wait ends in any case.
    ///   - isEmpty: whether nothing waits to be read.
    package func awaitOthers(than index: Int, until deadline: UInt64, isEmpty: () -> Bool) {
        let own = threads[index].thread.load(ordering: .relaxed)
        threads[index].thread.store(-own, ordering: .releasing)
        defer { threads[index].thread.store(own, ordering: .relaxed) }
        // In this order: what is not there any more was taken by a thread that was awake then.
        while !isEmpty() || !othersRest(than: index), cmem_monotonic_nanoseconds() < deadline {
            cmem_yield()
        }
    }

    private func othersRest(than index: Int) -> Bool {
        threads.indices.allSatisfy { other in
            let thread = threads[other].thread.load(ordering: .acquiring)
            return other == index || thread <= 0 || csys_waits_for_requests(thread) != 0
        }
    }
}
