// Threads for tests that need more of them than there are processors.

internal import Glibc

/// Runs `body` on `count` threads at once, with their numbers, and waits for all.
///
/// Threads of their own, not tasks: the store's waits are spins and yields, which would hold up a
/// pool that has as many threads as processors.
package func withThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Start: Sendable {
        let index: Int
        let body: @Sendable (Int) -> Void
        init(_ index: Int, _ body: @escaping @Sendable (Int) -> Void) {
            self.index = index
            self.body = body
        }
    }
    var threads: [pthread_t] = []
    for index in 0..<count {
        let start = unsafe Unmanaged.passRetained(Start(index, body)).toOpaque()
        var thread = pthread_t()
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                start.body(start.index)
                return nil
            }, start)
        precondition(error == 0, "pthread_create: \(error)")
        threads.append(thread)
    }
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
