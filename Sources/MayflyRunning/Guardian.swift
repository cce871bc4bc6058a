// The guardian of a mount that survives its server (Docs/Survival.md): it makes the memory file, starts
// the server, and starts it again when it dies. What it does from then on is in C (csys_guardian.h), so that
// it stays small and has no thread.

import CMayflySystem
import Glibc
package import Mayfly
package import MayflyHost
import SystemPackage

package enum Guardian {
    /// The descriptor on which a server has the memory file.
    package static let memoryDescriptor: Int32 = 5
    /// A server that dies so often within so many seconds is not started again; 0 for no such end.
    /// `MAYFLY_SURVIVE_DEATHS` is another number, for tests.
    private static let mostDeaths: Int32 =
        ProcessArguments.variable("MAYFLY_SURVIVE_DEATHS").flatMap { Int32($0.text) } ?? 8
    private static let seconds: Int32 = 60

    /// Guards a mount until its server ends by itself.
    ///
    /// - Parameters:
    ///   - arguments: of the first server.
    ///   - again: what those get beside them that take over.
    ///   - readyDescriptor: gets one byte once the mount answers.
    /// - Returns: the exit status.
    package static func run(
        arguments: [PathBytes], again: [PathBytes], readyDescriptor: Int32?
    ) throws(MountError) -> Int32 {
        _ = KillerPreference.beLast()
        let memory = unsafe csys_memory_file("mayfly-survive")
        guard memory >= 0 else {
            throw MountError(
                .system, "no memory file can be had (\(Errno(rawValue: errno))): raise `ulimit -n`")
        }
        var mask = sigset_t()
        unsafe sigprocmask(SIG_BLOCK, nil, &mask)
        return unsafe withCStrings(["mayfly"] + arguments) { first in
            unsafe withCStrings(["mayfly"] + arguments + again) { again in
                unsafe withUnsafePointer(to: &mask) { mask in
                    var plan = unsafe csys_guarded(
                        first: first, again: again, environment: csys_environment(), mask: mask,
                        memory: memory, memory_target: memoryDescriptor,
                        ready_target: BackgroundServer.readyDescriptor,
                        told: readyDescriptor ?? -1, most_deaths: mostDeaths, seconds: seconds)
                    return unsafe csys_guard(&plan)
                }
            }
        }
    }
}
