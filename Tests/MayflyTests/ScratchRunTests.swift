import Glibc
import Testing

@testable import Mayfly

/// Starting the command of `mayfly run`, without a mount below it.
@Suite struct ScratchRunTests {
    private func start(_ command: [String], in directory: String = "/") -> ScratchRun.Start {
        // Tests run on threads that block most signals, and the command takes over their mask.
        var none = sigset_t()
        var before = sigset_t()
        unsafe sigemptyset(&none)
        unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        return ScratchRun.start(
            command, in: directory, environment: ["A=1", "B=two words"], SignalWatch([]))
    }

    private func status(_ command: [String], in directory: String = "/") throws -> ChildStatus {
        guard case .process(let process) = start(command, in: directory) else {
            throw MountError(.system, "\(command) did not start")
        }
        return ChildStatus.waiting(for: process)
    }

    @Test(arguments: [0, 1, 7, 255])
    func theExitStatusIsPassedOn(_ code: Int32) throws {
        #expect(try status(["sh", "-c", "exit \(code)"]) == .exited(code))
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGHUP])
    func aSignalIs128AndItsNumber(_ signal: Int32) throws {
        let status = try status(["sh", "-c", "kill -\(signal) $$"])
        #expect(status == .signal(signal))
        #expect(status.exitCode == 128 + signal)
    }

    @Test func directoryAndEnvironmentArriveAsGiven() throws {
        let script = #"[ "$(pwd)" = /usr ] && [ "$A" = 1 ] && [ "$B" = "two words" ]"#
        #expect(try status(["/bin/sh", "-c", script], in: "/usr") == .exited(0))
    }

    @Test(arguments: ["no-such-command", "/nonexistent/x", "./x"])
    func aCommandThatIsNotFoundIs127(_ name: String) {
        guard case .failure(let message, let exitCode) = start([name]) else {
            Issue.record("\(name) started")
            return
        }
        #expect(exitCode == 127)
        #expect(message.hasPrefix("\(name) was not found: "))
    }

    @Test(arguments: ["/etc/passwd", "/etc"])
    func aCommandThatCannotBeExecutedIs126(_ name: String) {
        guard case .failure(let message, let exitCode) = start([name]) else {
            Issue.record("\(name) started")
            return
        }
        #expect(exitCode == 126)
        #expect(message.hasPrefix("\(name) cannot be executed (Permission denied)"))
    }

    @Test func aDirectoryThatCannotBeEnteredIs125() {
        guard case .failure(_, let exitCode) = start(["true"], in: "/nonexistent") else {
            Issue.record("it started")
            return
        }
        #expect(exitCode == 125)
    }

    @Test func aProcessThatSitsInAFolderIsFound() throws {
        guard case .process(let process) = start(["sleep", "60"], in: "/usr/share") else {
            Issue.record("it did not start")
            return
        }
        let holders = MountHolders.of(mountpoint: "/usr/share", device: nil)
        kill(process, SIGKILL)
        #expect(ChildStatus.waiting(for: process) == .signal(SIGKILL))
        #expect(holders.contains(MountHolder(processID: process, command: "sleep")))
        #expect(
            !MountHolders.of(mountpoint: "/usr/sha", device: nil).contains {
                $0.processID == process
            })
    }
}
