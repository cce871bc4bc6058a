// Starting the server in the background: a fork of this process, which has one thread yet, so that the
// program is loaded and its arguments are read once. The caller stays until the mount answers or the
// server has failed.

import CMayflySystem
import Glibc
package import Mayfly
import MayflyHost
internal import MayflyServing
import Synchronization
import SystemPackage

/// Serving a mount in a process of its own.
package enum BackgroundServer {
    /// The descriptor on which the server says that it is ready.
    package static let readyDescriptor: Int32 = 3
    /// The descriptor that the server has the caller's standard input on, where it is to have it.
    package static let inputDescriptor: Int32 = 4

    /// Forks the server, and waits until it is ready.
    ///
    /// It has no terminal, and stays in the caller's session, whose processes Linux schedules as one
    /// group with it (`ClientPlacement.swift`); but in one of its own where that group is what keeps
    /// a thread that yields from starving.
    ///
    /// Until then it has the caller's standard output and error, so what it prints arrives here.
    /// A signal that ends this wait ends the server too.
    ///
    /// - Precondition: this process has one thread, and holds no descriptor that the server needs.
    /// - Parameter keepsInput: whether the server gets the standard input, as `inputDescriptor`.
    /// - Returns: nil in the server, which is to call `ForegroundServer.serve` with `readyDescriptor`; in
    ///   the caller 0 once it is ready, or the exit status that it failed with, its message printed.
    package static func start(keepsInput: Bool = false) throws(MountError) -> Int32? {
        let signals = SignalWatch([SIGTERM, SIGINT, SIGHUP])
        var ends: [Int32] = [-1, -1]
        guard unsafe csys_pipe(&ends) == 0 else { throw cannotStart(errno) }
        let (reading, writing) = (ends[0], ends[1])
        fflush(nil)
        var mask = signals.originalMask
        let process = unsafe csys_fork_server(
            &mask, writing, readyDescriptor, keepsInput ? STDIN_FILENO : -1,
            SchedulingPolicy.canReturn() ? 0 : 1)
        let failure = errno
        if process == 0 { return nil }
        close(writing)
        defer { close(reading) }
        guard process > 0 else { throw cannotStart(failure) }
        let interruption = Interruption()
        try signals.start { event in
            // A server that hangs before it is ready takes no signal but this.
            let again = interruption.signal.exchange(event.signal, ordering: .relaxed) != 0
            kill(process, again ? SIGKILL : event.signal)
        }
        let ready = awaitByte(on: reading)
        if ready, interruption.signal.load(ordering: .relaxed) == 0 { return 0 }
        let status = ChildStatus.waiting(for: process)
        let interrupted = interruption.signal.load(ordering: .relaxed)
        if interrupted != 0 { return ExitStatus.signalBase + interrupted }
        if case .signal(let number) = status {
            throw MountError(
                .mount, "the server died of signal \(number) before it was ready: see dmesg(1)")
        }
        return status.exitCode == 0 ? ExitStatus.mount : status.exitCode
    }

    /// The signal that interrupted the wait; 0 while there was none. The watch alone writes it, and
    /// nothing else is published with it.
    private final class Interruption: Sendable {
        let signal = Atomic<Int32>(0)
    }

    private static func cannotStart(_ error: Int32) -> MountError {
        MountError(
            .system,
            "the server cannot be started (\(Errno(rawValue: error))): use --foreground, "
                + "or raise `ulimit -u` and `ulimit -n`")
    }

    /// Whether a byte came before the other end was closed.
    private static func awaitByte(on descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        while true {
            let count = unsafe read(descriptor, &byte, 1)
            if count < 0, errno == EINTR { continue }
            return count == 1
        }
    }
}
