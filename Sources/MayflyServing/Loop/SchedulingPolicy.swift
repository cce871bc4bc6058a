// SchedulingPolicy: what Linux lets a thread be scheduled as.

internal import FuseTransport
internal import Glibc
internal import MayflyHost
internal import Synchronization

/// How a thread is scheduled.
///
/// - Source: sched(7).
package enum SchedulingPolicy: Int32, Sendable {
    case ordinary = 0  // SCHED_OTHER
    case yielding = 5  // SCHED_IDLE

    /// - Parameter thread: its number; 0 is the caller.
    /// - Returns: whether the system allowed it.
    @discardableResult
    package func apply(to thread: Int32 = 0) -> Bool {
        var parameters = sched_param()
        return unsafe sched_setscheduler(thread, rawValue, &parameters) == 0
    }

    /// What a thread is scheduled as; nil for another policy, or when there is no such thread.
    package static func current(of thread: Int32) -> SchedulingPolicy? {
        SchedulingPolicy(rawValue: sched_getscheduler(thread))
    }

    /// Whether a thread of this process that yields may be made an ordinary one again, which takes
    /// CAP_SYS_NICE or an RLIMIT_NICE of 20. Tried out, on a thread of its own.
    ///
    /// - Source: kernel/sched/syscalls.c, `user_check_sched_setscheduler()`.
    package static func canReturn() -> Bool {
        let answer = Answer()
        let thread = try? HostThread.start(name: "mayfly-probe") {
            let returned = yielding.apply() && ordinary.apply()
            answer.isYes.store(returned, ordering: .relaxed)
        }
        thread?.join()
        return answer.isYes.load(ordering: .relaxed)
    }

    private final class Answer: Sendable { let isYes = Atomic<Bool>(false) }

    /// Whether Linux schedules this process's threads as one group beside those of other sessions,
    /// so that none of those can starve them.
    ///
    /// - Source: sched(7), "The autogroup feature"; kernel/sched/autogroup.c,
    ///   `task_wants_autogroup()`.
    package static func isGroupOfItsOwn(contents: (String) -> String? = HostFile.text(at:)) -> Bool
    {
        getsid(0) == getpid() && hasNoSharedGroup(contents: contents)
    }

    /// Whether the kernel groups by session at all, and no cgroup comes before that.
    package static func hasNoSharedGroup(contents: (String) -> String?) -> Bool {
        let switchPath = "/proc/sys/kernel/sched_autogroup_enabled"
        guard contents(switchPath)?.first == "1", let groups = contents("/proc/self/cgroup")
        else { return false }
        return !groups.split(separator: "\n").contains { line in
            isShared(line.split(separator: ":", maxSplits: 2), contents)
        }
    }

    /// Whether a line of /proc/self/cgroup names a group that CPU time is given to as a whole.
    private static func isShared(
        _ fields: [Substring], _ contents: (String) -> String?
    ) -> Bool {
        // Of version 2, where the second field is empty.
        if fields.count == 2, fields[0] == "0" {
            var parts = fields[1].split(separator: "/")
            while true {
                let folder = (["/sys/fs/cgroup"] + parts.map(String.init)).joined(separator: "/")
                if contents("\(folder)/cpu.weight") != nil { return true }
                if parts.popLast() == nil { return false }
            }
        }
        return fields.count == 3 && fields[1].split(separator: ",").contains("cpu")
            && fields[2] != "/"
    }
}
