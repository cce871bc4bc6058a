// What a server does for those that come after it (Docs/Survival.md).

internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import Synchronization

extension MountedFileSystem {
    /// What `mayfly stat` tells of a mount that survives its server; nil of any other.
    func survival(_ store: InodeStore) -> MountReport.Survival? {
        guard let deaths = store.arena.deaths else { return nil }
        let process = guardian.process
        return MountReport.Survival(guardian: process == 0 ? nil : process, deaths: Int(deaths))
    }

    /// Takes note of the process that guards the mount from now on; 0 for none.
    package func setGuardian(_ process: Int32) { guardian.set(process) }

    /// Says that this process ends by itself, so that no other takes its place.
    package func noteEnd() { _ = whileMounted { $0.store.arena.noteEnd() } }

    /// Stops between two requests, for a server that comes after this one and need not repair anything.
    ///
    /// - Parameter end: ends this process, while nobody can change anything any more; called where there is
    ///   something to hand over.
    /// - Concurrency: any thread but those that serve the mount.
    package func handOver(end: () -> Void) {
        whileMounted { parts in
            guard parts.store.arena.deaths != nil else { return }
            parts.store.handOver()
            // Answers of the last batches are on their way to the kernel.
            usleep(2000)
            end()
        }
    }
}

/// What a guardian needs to know of the memory.
package enum SurvivingMemory {
    /// Where a server says that it ends by itself, in bytes before the end of the file.
    package static var endedBeforeEnd: Int { SurvivingHeader.endedBeforeEnd }
}

/// The process that guards a mount, as its server sees it.
final class GuardianWatch: Sendable {
    private let number = Mutex<Int32>(0)

    /// Its number; 0 where there is none.
    var process: Int32 { number.withLock { $0 } }

    func set(_ process: Int32) { number.withLock { $0 = process } }
}
