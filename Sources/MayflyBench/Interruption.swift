internal import Glibc
package import Mayfly
internal import MayflyRunning
internal import Synchronization

/// Whether the benchmark is to end, as SIGINT, SIGTERM, SIGHUP or SIGQUIT has come.
///
/// The word is written by the thread that takes the signals, once, and publishes nothing else.
package final class Interruption: Sendable {
    private let asked = Atomic<Int32>(0)

    package init() {}

    /// The signal that has come, 0 for none.
    package var signal: Int32 { asked.load(ordering: .relaxed) }

    /// Ends what looks at this.
    package func ask(_ signal: Int32) -> Bool {
        asked.compareExchange(expected: 0, desired: signal, ordering: .relaxed).exchanged
    }

    /// Takes over the signals of this process. A second one ends it at once, for a folder that
    /// answers no more cannot be cleaned up either.
    ///
    /// - Precondition: the process has one thread.
    package static func watching() throws(MountError) -> Interruption {
        let interruption = Interruption()
        let watch = SignalWatch([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
        try watch.start { event in
            if !interruption.ask(event.signal) { _exit(ExitStatus.signalBase + event.signal) }
        }
        return interruption
    }
}
