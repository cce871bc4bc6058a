import Glibc
import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

/// Starting the command of `mayfly run` under its keeper, without a mount below it.
@Suite(.enabled(if: mayMakeNamespaces, "needs CAP_SYS_ADMIN"))
struct ScratchRunTests {
    private func keeper(_ command: [String], in directory: PathBytes = "/") throws -> Keeper {
        // Tests run on threads that block most signals, and the command takes over its mask.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        let root = unsafe open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(root) }
        let second = Keeper.Second(
            arguments: ["sh", "-c", "exit $B"], place: .folder(root), target: "/")
        return try Keeper(
            command.map { PathBytes($0) }, in: directory, second: second,
            environment: ["A=1", "B=2", "C=two words"], mask: none)
    }

    private func status(_ command: [String], in directory: PathBytes = "/") throws -> ChildStatus {
        let keeper = try keeper(command, in: directory)
        defer { keeper.end() }
        #expect(keeper.begin(PathBytes(command[0])) == .started)
        return keeper.status()
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
        let script = #"[ "$(pwd)" = /usr ] && [ "$A" = 1 ] && [ "$C" = "two words" ]"#
        #expect(try status(["/bin/sh", "-c", script], in: "/usr") == .exited(0))
    }

    @Test(arguments: ["no-such-command", "/nonexistent/x", "./x"])
    func aCommandThatIsNotFoundIs127(_ name: String) throws {
        guard case .failure(let message, let exitCode) = try keeper([name]).begin(PathBytes(name))
        else {
            Issue.record("\(name) started")
            return
        }
        #expect(exitCode == 127)
        #expect(message.hasPrefix("\(name) was not found: "))
    }

    @Test(arguments: ["/etc/passwd", "/etc"])
    func aCommandThatCannotBeExecutedIs126(_ name: String) throws {
        guard case .failure(let message, let exitCode) = try keeper([name]).begin(PathBytes(name))
        else {
            Issue.record("\(name) started")
            return
        }
        #expect(exitCode == 126)
        #expect(message.hasPrefix("\(name) cannot be executed (Permission denied)"))
    }

    @Test func aDirectoryThatCannotBeEnteredIs125() throws {
        let keeper = try keeper(["true"], in: "/nonexistent")
        guard case .failure(_, let exitCode) = keeper.begin("true") else {
            Issue.record("it started")
            return
        }
        #expect(exitCode == 125)
    }

    @Test func signalsGoToTheCommandAlone() throws {
        let place = try TemporaryFolder()
        let script = """
            trap 'exit 9' TERM; (trap 'exit 8' TERM; touch $0/a; sleep 60) & touch $0/b
            while :; do sleep 0.05; done
            """
        let keeper = try keeper(["sh", "-c", script, place.path])
        defer { keeper.end() }
        #expect(keeper.begin("sh") == .started)
        #expect(poll(seconds: 30) { HostFile.names(in: place.path).count == 2 })
        keeper.signal(SIGTERM)
        #expect(keeper.status() == .exited(9))
        #expect(!keeper.others().isEmpty)
    }

    @Test func whatIsLeftIsNamedAndClearedAndThenTheSecondRuns() throws {
        let script = "sleep 61 & setsid sleep 62 & (setsid sleep 63 &) ; exit 4"
        let keeper = try keeper(["sh", "-c", script])
        defer { keeper.end() }
        #expect(keeper.begin("sh") == .started)
        #expect(keeper.status() == .exited(4))
        // None of them is still on the way to its program.
        let three = ["sleep", "sleep", "sleep"]
        #expect(poll(seconds: 30) { keeper.others().map(\.command) == three })
        let others = keeper.others()
        #expect(others.map(\.command) == three)
        keeper.clear()
        #expect(keeper.others().isEmpty)
        for other in others { #expect(kill(other.processID, 0) == -1 && errno == ESRCH) }
        let second = keeper.runSecond("sh")
        #expect(second.start == .started && second.status == .exited(2))
    }

    @Test func theEndOfTheKeeperIsTheEndOfAll() throws {
        let keeper = try keeper(["sh", "-c", "setsid sleep 64 & sleep 65"])
        #expect(keeper.begin("sh") == .started)
        #expect(poll(seconds: 30) { keeper.others().count == 3 })
        let others = keeper.others()
        keeper.end()
        for other in others { #expect(kill(other.processID, 0) == -1 && errno == ESRCH) }
        // Orders that come too late are no harm.
        keeper.signal(SIGTERM)
        keeper.end()
    }

    @Test func aProcessThatSitsInAFolderIsFound() throws {
        let child = try ChildProcess(["sh", "-c", "cd /proc && exec sleep 60"])
        defer {
            child.send(SIGKILL)
            _ = try? child.wait(seconds: 10)
        }
        let table = MountTable.current()
        let there = try #require(table.entry(at: "/proc"))
        #expect(
            poll(seconds: 30) {
                MountHolders.of(mountID: there.mountID, device: nil).contains(
                    MountHolder(processID: child.processID, command: "sleep"))
            })
        let elsewhere = try #require(table.entry(at: "/sys"))
        let others = MountHolders.of(mountID: elsewhere.mountID, device: nil)
        #expect(!others.contains { $0.processID == child.processID })
    }
}

private let mayMakeNamespaces =
    MountConfiguration.mayMount(status: HostFile.text(at: "/proc/self/status"))
