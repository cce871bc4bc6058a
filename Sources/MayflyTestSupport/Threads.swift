// Threads for tests that need more of them than there are processors.

package import Glibc

private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs `body` on a thread of its own.
@discardableResult
package func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    let start = unsafe Unmanaged.passRetained(Start(body)).toOpaque()
    var thread = pthread_t()
    let error = unsafe pthread_create(
        &thread, nil,
        { argument in
            unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, start)
    precondition(error == 0, "pthread_create: \(error)")
    return thread
}

/// Runs `body` on `count` threads at once, with their numbers, and waits for all.
///
/// Threads of their own, not tasks: the store's waits are spins and yields, which would hold up a
/// pool that has as many threads as processors.
package func withThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let threads = (0..<count).map { index in startThread { body(index) } }
    for thread in threads { pthread_join(thread, nil) }
}

/// Whether this process runs under the thread sanitizer.
package let isThreadSanitized: Bool = unsafe dlsym(nil, "__tsan_init") != nil

/// A value behind a lock of pthreads: the thread sanitizer does not see `Mutex` lock.
@safe package final class Guarded<Value>: @unchecked Sendable {
    // Sendable: the value is touched with the lock held only.
    private var value: Value
    private let lock: UnsafeMutablePointer<pthread_mutex_t>

    package init(_ value: Value) {
        self.value = value
        unsafe lock = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(lock)
        unsafe lock.deallocate()
    }

    package func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return body(&value)
    }
}
