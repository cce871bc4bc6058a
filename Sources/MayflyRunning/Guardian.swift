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

    /// The descriptor on which a guardian has the memory that another one held before, and the one on which
    /// it has that one's program.
    private static let heldDescriptor: Int32 = 6
    private static let beforeDescriptor: Int32 = 7

    /// The hidden options of a guardian that takes a memory over, each with a value. They stand before all
    /// others.
    private static let ownOptions: [PathBytes] = ["--guard-fd", "--before-fd", "--adopt", "--at"]

    /// What a guardian is to take over.
    package struct Held: Sendable {
        /// The memory file.
        let memory: Int32
        /// The program before this one; -1 where there is none.
        let before: Int32
        /// A server that is there already; 0 where one is to be started.
        let server: Int32

        package init(memory: Int32, before: Int32?, server: Int32?) {
            self.memory = memory
            self.before = before ?? -1
            self.server = server ?? 0
        }
    }

    /// The arguments that start a guardian of a memory which lies on `heldDescriptor`.
    ///
    /// - Parameters:
    ///   - mountPath: absolute.
    ///   - given: what the user has given to `mayfly mount`.
    private static func arguments(
        _ mountPath: PathBytes, _ given: [PathBytes], hasBefore: Bool = false, server: Int32? = nil
    ) -> [PathBytes] {
        ["mount", "--guard-fd", PathBytes("\(heldDescriptor)")]
            + (hasBefore ? ["--before-fd", PathBytes("\(beforeDescriptor)")] : [])
            + (server.map { ["--adopt", PathBytes("\($0)")] } ?? [])
            + ["--at", mountPath] + given
    }

    /// Guards a mount until its server ends by itself.
    ///
    /// - Parameters:
    ///   - arguments: of this command, behind the word `mount`.
    ///   - mountPath: where it is mounted, absolute.
    ///   - held: what is taken over; nil for a new mount.
    ///   - readyDescriptor: gets one byte once the mount answers.
    /// - Returns: the exit status.
    package static func run(
        arguments: [PathBytes], mountPath: PathBytes, held: Held? = nil, readyDescriptor: Int32?
    ) throws(MountError) -> Int32 {
        _ = KillerPreference.beLast()
        let memory: Int32
        if let held {
            // Its own numbers are free for the servers.
            memory = fcntl(held.memory, F_DUPFD_CLOEXEC, 32)
            close(held.memory)
        } else {
            memory = unsafe csys_memory_file("mayfly-survive")
        }
        guard memory >= 0 else {
            throw MountError(
                .system, "no memory file can be had (\(Errno(rawValue: errno))): raise `ulimit -n`")
        }
        var before: Int32 = -1
        if let held, held.before >= 0 {
            before = fcntl(held.before, F_DUPFD_CLOEXEC, 32)
            close(held.before)
        }
        var mask = sigset_t()
        if held == nil {
            unsafe sigprocmask(SIG_BLOCK, nil, &mask)
        } else {
            // All are blocked until this guardian takes them.
            unsafe sigemptyset(&mask)
        }
        let given = userArguments(arguments)
        let server = ["mayfly", "mount", "--memory-fd", PathBytes("\(memoryDescriptor)")] + given
        let again = server + ["--recover", "--at", mountPath]
        let next = ["mayfly"] + Self.arguments(mountPath, given, hasBefore: true)
        let back = ["mayfly"] + Self.arguments(mountPath, given)
        let probe = ["mayfly", "mount", "--can-guard"] + back.dropFirst(2)
        return unsafe withCStrings(server) { first in
            unsafe withCStrings(again) { again in
                unsafe withCStrings(next) { next in
                    unsafe withCStrings(probe) { probe in
                        unsafe withCStrings(back) { back in
                            unsafe withUnsafePointer(to: &mask) { mask in
                                var plan = unsafe csys_guarded(
                                    first: held == nil ? first : nil, again: again,
                                    environment: csys_environment(), mask: mask, memory: memory,
                                    memory_target: memoryDescriptor,
                                    ready_target: BackgroundServer.readyDescriptor,
                                    told: readyDescriptor ?? -1, most_deaths: mostDeaths,
                                    seconds: seconds, next: next, probe: probe,
                                    memory_next: heldDescriptor,
                                    before_next: beforeDescriptor, back: back, before: before,
                                    adopted: held?.server ?? 0,
                                    ended_before_end: SurvivingMemory.endedBeforeEnd)
                                return unsafe csys_guard(&plan)
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether this program can guard a memory.
    package static func canGuard(_ held: Held) -> Bool { KeptContent.canBeServed(held.memory) }

    /// The status by which a program says that it can.
    package static var canGuardStatus: Int32 { Int32(CSYS_CAN_GUARD) }

    /// What the user has given to `mayfly mount`, of the arguments of a server or a guardian.
    package static func userArguments(_ arguments: [PathBytes]) -> [PathBytes] {
        var left = arguments[...]
        while let first = left.first, ownOptions.contains(first) { left = left.dropFirst(2) }
        return Array(left)
    }

    /// Starts a guardian for a mount that this process serves, in place of one that was killed.
    ///
    /// - Parameters:
    ///   - arguments: of this server, behind the word `mount`.
    ///   - memory: the memory file.
    /// - Returns: its process; nil where none can be started.
    /// - Source: posix_spawn(3). It has the capabilities that this process has kept.
    static func start(
        arguments: [PathBytes], mountPath: PathBytes, memory: Int32
    ) -> Int32? {
        // Behind the server's own: `--memory-fd N`, and what a server that has recovered was told.
        var given = arguments
        if given.first == "--memory-fd" { given.removeFirst(2) }
        if given.suffix(3).first == "--recover" { given.removeLast(3) }
        let words = ["mayfly"] + Self.arguments(mountPath, given, server: getpid())
        return unsafe withCStrings(words) { words in
            let process = unsafe csys_start_guardian(words, memory, heldDescriptor)
            return process > 0 ? process : nil
        }
    }
}
