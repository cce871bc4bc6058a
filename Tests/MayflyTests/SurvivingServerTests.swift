// `mount --survive`: the server is killed under load, and nothing that was answered is lost.

import Glibc
import Mayfly
import MayflyTestSupport
import Testing

@testable import MayflyHost

@Suite(
    .serialized, .timeLimit(.minutes(30)), .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct SurvivingServerTests {
    private static let kills = FuzzSettings.histories ?? 6

    @Test(arguments: TestTransport.allCases)
    func killedUnderLoad(_ transport: TestTransport) throws {
        try transport.require()
        try withFolder { folder in
            let first = try SurvivingMount.make(
                folder, ["--size", "256m", "--transport", transport.rawValue])
            let clients = try RememberingClients(folder)
            var random = SeededGenerator(seed: FuzzSettings.seed ?? 1)
            var last = first
            for _ in 0..<Self.kills {
                usleep(UInt32(200_000 + random.below(900_000)))
                kill(last, SIGKILL)
                last = try #require(SurvivingMount.next(of: folder, after: last))
            }
            usleep(300_000)
            try clients.finish()
            let deaths = try SurvivingMount.report(folder).survival?.deaths
            #expect(deaths == Self.kills, "servers that have died")
            try SurvivingMount.end(folder)
        }
    }

    /// Where servers die too often, the content is kept and can be had.
    @Test func givesUpAndKeepsTheContent() throws {
        try withFolder { folder in
            let work = try makeTemporaryFolder("work")
            defer { unlinkAll(work, ["out.mayfly"]) }
            let first = try SurvivingMount.make(folder, mostDeaths: 2)
            try TextFile.write("kept", to: "\(folder)/file")
            let early = try BuiltCommand.run(["recover", folder, "\(work)/out.mayfly"])
            #expect(early.status == 1 && early.errors.contains("mayfly save"), "\(early.report)")
            let guardian = try #require(parent(of: first))
            defer { kill(guardian, SIGTERM) }
            kill(first, SIGKILL)
            let next = try #require(SurvivingMount.next(of: folder, after: first))
            #expect(HostFile.text(at: "\(folder)/file") == "kept")
            kill(next, SIGKILL)
            usleep(1_000_000)
            #expect(SurvivingMount.server(of: folder) == nil)
            let saved = try BuiltCommand.run(["recover", folder, "\(work)/out.mayfly"])
            #expect(saved.status == 0, "\(saved.report)")
            let list = try BuiltCommand.run(["image", "list", "\(work)/out.mayfly"])
            #expect(list.status == 0 && list.output.contains("file"), "\(list.report)")
            let check = try BuiltCommand.run(["image", "check", "\(work)/out.mayfly"])
            #expect(check.status == 0, "\(check.report)")
            kill(guardian, SIGTERM)
            #expect(poll(seconds: 10) { kill(guardian, 0) != 0 })
        }
    }

    /// An unmount ends server and guardian.
    @Test func anUnmountEndsBoth() throws {
        try withFolder { folder in
            let first = try SurvivingMount.make(folder, mostDeaths: 8)
            let guardian = try #require(parent(of: first))
            let end = try BuiltCommand.run(["umount", folder])
            #expect(end.status == 0, "\(end.report)")
            #expect(poll(seconds: 10) { kill(guardian, 0) != 0 })
            #expect(MountTable.current().entry(at: PathBytes(folder)) == nil)
            for refused in [["--from", "/etc"], ["--durability", "fsync"]] {
                let outcome = try BuiltCommand.run(["mount", folder, "--survive"] + refused)
                #expect(outcome.status == 1, "\(outcome.report)")
            }
        }
    }

    private func parent(of process: Int32) -> Int32? {
        let line = HostFile.text(at: "/proc/\(process)/status")?.split(separator: "\n").first {
            $0.hasPrefix("PPid:")
        }
        return line.flatMap { Int32($0.dropFirst(5).drop { $0 == "\t" }) }
    }

    private func unlinkAll(_ folder: String, _ names: [String]) {
        for name in names { unsafe unlink("\(folder)/\(name)") }
        unsafe rmdir(folder)
    }
}
