// HostThread: a POSIX thread with a name, pinned to a CPU if it is to be.

internal import CMayflySystem
internal import Glibc
internal import Synchronization
package import SystemPackage

/// A started thread, which must be joined or detached.
package struct HostThread: Sendable {
    private let thread: pthread_t

    /// What the new thread takes over; alive until it has.
    private final class Start: Sendable {
        let body: @Sendable () -> Void
        let cpu: Int?
        let name: String

        init(cpu: Int?, name: String, body: @escaping @Sendable () -> Void) {
            self.body = body
            self.cpu = cpu
            self.name = name
        }
    }

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - cpu: Where it runs; where that CPU is offline or forbidden it runs anywhere.
    ///   - name: At most 15 bytes are shown.
    /// - Throws: `EAGAIN` where the system has no more threads to give.
    package static func start(
        cpu: Int? = nil, name: String, _ body: @escaping @Sendable () -> Void
    ) throws(Errno) -> HostThread {
        let start = unsafe Unmanaged.passRetained(Start(cpu: cpu, name: name, body: body))
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                unsafe csys_name_thread(String(start.name.prefix(15)))
                if let cpu = start.cpu, cpu >= 0 { _ = csys_pin_to_cpu(UInt32(cpu)) }
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            unsafe start.release()
            throw Errno(rawValue: code)
        }
        return HostThread(thread: thread)
    }

    /// Starts a thread that takes a value with it: a queue.
    package static func start<Value: ~Copyable>(
        cpu: Int? = nil, name: String, with value: consuming sending Value,
        _ body: @escaping @Sendable (consuming Value) -> Void
    ) throws(Errno) -> HostThread {
        let box = Handoff(value)
        return try start(cpu: cpu, name: name) { body(box.take()) }
    }

    /// Waits for the thread's end.
    package func join() {
        _ = pthread_join(thread, nil)
    }

    /// Lets the thread go: its stack is free as soon as it ends, and nobody can wait for it.
    package func detach() {
        _ = pthread_detach(thread)
    }
}

/// Carries a value that cannot be copied to another thread.
///
/// Sendable: the value is taken out exactly once, which the flag proves.
package final class Handoff<Value: ~Copyable>: @unchecked Sendable {
    // Written once before the object is shared, taken once.
    private nonisolated(unsafe) var value: Value?
    private let taken = Atomic<Bool>(false)

    package init(_ value: consuming sending Value) {
        unsafe self.value = consume value
    }

    /// - Precondition: it is called once.
    package func take() -> Value {
        let first = taken.compareExchange(
            expected: false, desired: true, ordering: .acquiringAndReleasing
        ).exchanged
        precondition(first, "Handoff.take: taken before")
        return unsafe value.take()!
    }
}
