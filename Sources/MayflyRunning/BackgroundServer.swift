// Starting the server in the background: a new process of this same program, not a fork of one
// that may have threads. The caller stays until the mount answers or the server has failed.

import CMayflySystem
import Glibc
package import Mayfly
package import MayflyHost
internal import MayflyServing
import Synchronization
import SystemPackage

/// Serving a mount in a process of its own.
package enum BackgroundServer {
    /// The descriptor on which the server says that it is ready.
    package static let readyDescriptor: Int32 = 3
    /// The descriptor that the server has the caller's standard input on, where it is to have it.
    package static let inputDescriptor: Int32 = 4

    /// Runs this program with `arguments` and waits until it is ready.
    ///
    /// It has no terminal, and stays in the caller's session, whose processes Linux schedules as one
    /// group with it (`ClientPlacement.swift`); but in one of its own where that group is what keeps
    /// a thread that yields from starving.
    ///
    /// Until then it has the caller's standard output and error, so what it prints arrives here.
    /// A signal that ends this wait ends the server too.
    ///
    /// - Parameter arguments: without the program's name; they make it call
    ///   `ForegroundServer.serve` with `readyDescriptor`.
    /// - Returns: 0 once it is ready, or the exit status that it failed with, its message printed.
    package static func start(arguments: [String]) throws(MountError) -> Int32 {
        try start(arguments: arguments.map { PathBytes($0) })
    }

    /// The same for arguments as they are.
    ///
    /// - Parameter keepsInput: whether the server gets the standard input, as `inputDescriptor`.
    package static func start(
        arguments: [PathBytes], keepsInput: Bool = false
    ) throws(MountError) -> Int32 {
        let signals = SignalWatch([SIGTERM, SIGINT, SIGHUP])
        var ends: [Int32] = [-1, -1]
        guard unsafe csys_pipe(&ends) == 0 else { throw cannotStart(errno) }
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        let process: pid_t
        do {
            defer { close(writing) }
            process = try spawn(
                arguments, ready: writing, keepsInput: keepsInput, mask: signals.originalMask)
        }
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

    private static func spawn(
        _ arguments: [PathBytes], ready: Int32, keepsInput: Bool, mask: sigset_t
    ) throws(MountError) -> pid_t {
        var mask = mask
        var process: pid_t = 0
        let failure = unsafe withCStrings(["mayfly"] + arguments) { vector in
            unsafe csys_start_self(
                vector, csys_environment(), &mask, ready, readyDescriptor,
                keepsInput ? STDIN_FILENO : -1,
                SchedulingPolicy.canReturn() ? 0 : 1, &process)
        }
        guard failure == 0 else { throw cannotStart(failure) }
        return process
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
