// `mayfly upgrade`: another program serves a mount that is in use, and nothing that was answered is lost.

import Glibc
import Mayfly
import MayflyTestSupport
import Testing

@testable import MayflyHost

@Suite(
    .serialized, .timeLimit(.minutes(20)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct UpgradeTests {
    @Test(arguments: TestTransport.allCases)
    func underLoad(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            var last = try SurvivingMount.make(
                folder, ["--size", "256m", "--transport", transport.rawValue])
            let guardian = try #require(try SurvivingMount.report(folder).survival?.guardian)
            let clients = try RememberingClients(folder)
            for round in 0..<4 {
                usleep(500_000)
                let outcome = try BuiltCommand.run(
                    round == 3 ? ["upgrade", "--all"] : ["upgrade", folder])
                #expect(outcome.status == 0, "\(outcome.report)")
                #expect(outcome.output.contains("is served by mayfly"), "\(outcome.report)")
                let next = try #require(SurvivingMount.server(of: folder))
                #expect(next != last && !SurvivingMount.isAlive(last))
                last = next
            }
            try clients.finish()
            // Nothing had to be repaired, and the guardian is the same process.
            try expect(folder, guardian: guardian, deaths: 0)
            // A death after an upgrade is one as before.
            kill(last, SIGKILL)
            _ = try #require(SurvivingMount.next(of: folder, after: last))
            #expect(try SurvivingMount.report(folder).survival?.deaths == 1)
            try SurvivingMount.end(folder)
            #expect(poll(seconds: 10) { !SurvivingMount.isAlive(guardian) })
        }
    }

    /// Guardian and server are the program that asked, with all that the mount was made with.
    @Test func byAnotherProgram() throws {
        try withProgram { program in
            try withFolder { folder in
                let first = try SurvivingMount.make(folder, ["--size", "32m", "-o", "noatime"])
                try TextFile.write("kept", to: "\(folder)/file")
                // What nobody has a name for is not kept.
                let open = unsafe Glibc.open("\(folder)/gone", O_RDWR | O_CREAT, 0o600)
                defer { close(open) }
                unsafe unlink("\(folder)/gone")
                let outcome = try ChildProcess.run([program, "upgrade", folder], seconds: 60)
                #expect(outcome.status == 0, "\(outcome.report)")
                let report = try SurvivingMount.report(folder)
                #expect(report.processID != first && report.bytes.limit == 32 << 20)
                #expect(report.inodes.used == 2)
                let guardian = try #require(report.survival?.guardian)
                for process in [guardian, report.processID] {
                    #expect(HostFile.link(at: "/proc/\(process)/exe") == program)
                }
                #expect(
                    HostFile.text(at: "/proc/self/mountinfo")?.contains(
                        "\(folder) rw,nosuid,nodev,noatime") == true)
                #expect(HostFile.text(at: "\(folder)/file") == "kept")
                #expect(errno(of: open) == ENOTCONN)
                try SurvivingMount.end(folder)
            }
        }
    }

    /// A program that is no mayfly has asked: nothing happens.
    @Test func byAProgramThatCannot() throws {
        try withFolder { folder in
            let first = try SurvivingMount.make(folder)
            let guardian = try #require(try SurvivingMount.report(folder).survival?.guardian)
            let other = try ChildProcess.run(
                [
                    "python3", "-c",
                    "import os, signal, sys, time; os.kill(int(sys.argv[1]), signal.SIGUSR1); time.sleep(3)",
                    "\(guardian)",
                ], seconds: 30)
            #expect(other.status == 0, "\(other.report)")
            #expect(SurvivingMount.server(of: folder) == first && SurvivingMount.isAlive(guardian))
            // A signal to the server alone is a death, after which nothing is to be repaired.
            kill(first, SIGUSR2)
            _ = try #require(SurvivingMount.next(of: folder, after: first))
            try expect(folder, guardian: guardian, deaths: 0)
            try SurvivingMount.end(folder)
        }
    }

    @Test func refused() throws {
        let outcome = try BuiltCommand.script(
            """
            cd "$folder"; mkdir m other
            "$mayfly" mount --quiet m
            for wrong in m other; do
                if "$mayfly" upgrade $wrong 2> error; then exit 1; fi
                test "$(wc -l < error)" = 1
                cat error >> errors
            done
            grep -q 'ends with its server: .*--survive' errors
            grep -q 'is not in a mayfly mount' errors
            "$mayfly" upgrade --all 2>&1 | grep -q 'm is left as it is: it was mounted without --survive'
            if "$mayfly" upgrade 2> error; then exit 1; fi
            if "$mayfly" upgrade m --all 2> error; then exit 1; fi
            "$mayfly" umount m
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// When the guardian is killed there is another one, and the content is as safe as before.
    @Test func aGuardianThatIsKilled() throws {
        try withFolder { folder in
            let first = try SurvivingMount.make(folder)
            try TextFile.write("kept", to: "\(folder)/file")
            var guardian = try #require(try SurvivingMount.report(folder).survival?.guardian)
            for _ in 0..<2 {
                let killed = guardian
                kill(guardian, SIGKILL)
                #expect(
                    poll(seconds: 20) {
                        let next = (try? MountControl(folder).report())?.survival?.guardian
                        if let next, next != killed { guardian = next }
                        return guardian != killed
                    })
                let stat = try BuiltCommand.run(["stat", folder])
                #expect(stat.output.contains("guardian pid \(guardian), "), "\(stat.report)")
                let list = try BuiltCommand.run(["list"])
                #expect(list.output.contains("GUARDIAN") && list.output.contains("\(guardian)"))
            }
            #expect(SurvivingMount.server(of: folder) == first)
            kill(first, SIGKILL)
            let next = try #require(SurvivingMount.next(of: folder, after: first))
            #expect(HostFile.text(at: "\(folder)/file") == "kept")
            try expect(folder, guardian: guardian, deaths: 1)
            let upgrade = try BuiltCommand.run(["upgrade", folder])
            #expect(upgrade.status == 0, "\(upgrade.report)")
            #expect(!SurvivingMount.isAlive(next))
            try expect(folder, guardian: guardian, deaths: 1)
            try SurvivingMount.end(folder)
            #expect(poll(seconds: 10) { !SurvivingMount.isAlive(guardian) })
        }
    }

    /// An unmount ends a guardian that did not start the server.
    @Test func anAdoptedServerThatIsUnmounted() throws {
        try withFolder { folder in
            _ = try SurvivingMount.make(folder)
            let killed = try #require(try SurvivingMount.report(folder).survival?.guardian)
            kill(killed, SIGKILL)
            var guardian = killed
            #expect(
                poll(seconds: 20) {
                    let next = (try? MountControl(folder).report())?.survival?.guardian
                    if let next { guardian = next }
                    return guardian != killed
                })
            try SurvivingMount.end(folder)
            #expect(poll(seconds: 10) { !SurvivingMount.isAlive(guardian) })
            #expect(MountTable.current().entry(at: PathBytes(folder)) == nil)
        }
    }

    // MARK: means

    /// A copy of the command.
    private func withProgram(_ body: (String) throws -> Void) throws {
        let folder = try makeTemporaryFolder("program")
        let program = "\(folder)/mayfly"
        defer {
            unsafe unlink(program)
            unsafe rmdir(folder)
        }
        let copy = try ChildProcess.run(["cp", BuiltCommand.path, program], seconds: 60)
        try #require(copy.status == 0, "\(copy.report)")
        try body(program)
    }

    private func expect(
        _ folder: String, guardian: Int32, deaths: Int,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let survival = try #require(try SurvivingMount.report(folder).survival)
        #expect(survival.guardian == guardian, sourceLocation: sourceLocation)
        #expect(survival.deaths == deaths, sourceLocation: sourceLocation)
    }

    private func errno(of descriptor: Int32) -> Int32 {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? 0 : Glibc.errno
    }
}
