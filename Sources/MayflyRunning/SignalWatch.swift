// Signals as events: blocked everywhere, taken one by one on a thread of their own.

import Glibc
package import Mayfly
import MayflyHost

/// Takes over the signals that ask a process to end.
///
/// Made before any other thread, so that all inherit the blocked mask; `start` then gives every
/// signal that came or comes to the handler. A signal that the process was started to ignore (as
/// nohup(1) does with SIGHUP) stays ignored.
package struct SignalWatch: Sendable {
    /// A signal that arrived.
    package struct Event: Sendable {
        package var signal: Int32
        /// The terminal sent it, to this process's whole group at once.
        package var fromTerminal: Bool
    }

    /// The mask from before, which a child process is to get.
    let originalMask: sigset_t
    private let watched: sigset_t

    package init(_ signals: [Int32]) {
        var watched = sigset_t()
        unsafe sigemptyset(&watched)
        for signal in signals where !Self.isIgnored(signal) { unsafe sigaddset(&watched, signal) }
        // A reader of our output that is gone must not end the server: write(2) says EPIPE then.
        var blocked = watched
        unsafe sigaddset(&blocked, SIGPIPE)
        var original = sigset_t()
        unsafe pthread_sigmask(SIG_BLOCK, &blocked, &original)
        self.originalMask = original
        self.watched = watched
    }

    /// Calls `handler` for each signal, on one thread that lives as long as the process.
    package func start(_ handler: @escaping @Sendable (Event) -> Void) throws(MountError) {
        let watched = watched
        let thread = try? HostThread.start(name: "mayfly-signals") {
            var set = watched
            while true {
                var information = unsafe siginfo_t()
                let signal = unsafe sigwaitinfo(&set, &information)
                guard signal > 0 else { continue }  // EINTR
                let byKernel = unsafe information.si_code == SI_KERNEL
                handler(Event(signal: signal, fromTerminal: byKernel))
            }
        }
        guard let thread else {
            throw MountError(.system, "no thread can be started: raise `ulimit -u`")
        }
        thread.detach()
    }

    /// The first of the signals that has come and waits for `start`; nil where none has.
    var waiting: Int32? {
        var pending = sigset_t()
        unsafe sigpending(&pending)
        var watched = watched
        return (1..<32).first {
            unsafe sigismember(&pending, $0) == 1 && sigismember(&watched, $0) == 1
        }
    }

    private static func isIgnored(_ signal: Int32) -> Bool {
        var action = sigaction()
        guard unsafe sigaction(signal, nil, &action) == 0 else { return false }
        let current = unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
        return current == 1  // SIG_IGN
    }
}
