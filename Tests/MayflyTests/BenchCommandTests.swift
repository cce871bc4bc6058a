import Glibc
import MayflyBench
import Testing

@testable import Mayfly
@testable import MayflyHost

/// The built command, measuring with little work: what it prints, what it leaves, how it fails.
@Suite(.serialized, .timeLimit(.minutes(5))) struct BenchCommandTests {
    /// A tmpfs and the mount of its own, side by side.
    @Test(
        .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot), arguments: TestTransport.allCases)
    func aTmpfsAndAMayflyAreMeasured(_ transport: TestTransport) throws {
        try transport.require()
        let outcome = try BuiltCommand.script(
            """
            trap 'cd /; umount "$folder"; rmdir "$folder"' EXIT
            mount -t tmpfs none "$folder"
            cd "$folder"
            "$mayfly" bench . --quick --rounds 2 --transport \(transport.rawValue) \\
                --json figures.json --plot picture.svg
            ls
            """)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        // Files that were asked for, and nothing else.
        #expect(lines.suffix(2) == ["figures.json", "picture.svg"])
        for workload in Workload.all {
            let row = try #require(lines.first { $0.hasPrefix("\(workload.name) ") })
            #expect(row.split(separator: " ").last.flatMap { Double($0) } ?? 0 > 0, "\(row)")
        }
        #expect(!outcome.errors.contains("\u{1B}"), "progress where there is no terminal")
    }

    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func jsonTakesTheTablesPlace() throws {
        try withFolder { folder in
            let outcome = try BuiltCommand.run(
                ["bench", folder, "--quick", "--rounds", "1", "--only", "walk", "--json", "-"])
            #expect(outcome.status == 0, "\(outcome.report)")
            let report = try #require(
                ControlJSON.decoded(BenchReport.self, Array(outcome.output.utf8)))
            #expect(report.folders.map(\.label) == [folder, "mayfly"])
            #expect(report.folders[1].fileSystem == "fuse.mayfly")
            #expect(report.workloads.map(\.workload) == ["walk"])
            #expect(report.workloads[0].cells[1].rounds.count == 1)
            #expect(HostFile.names(in: folder).isEmpty)
        }
    }

    /// A report that was changed by hand is told from this run's, and what is none is refused before anything
    /// is measured.
    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func anEarlierRunIsCompared() throws {
        let outcome = try BuiltCommand.script(
            #"""
            bench() { "$mayfly" bench "$folder" --quick --rounds 1 --only walk,read-1m "$@"; }
            cd "$folder"; bench --json old.json > /dev/null
            python3 - <<'END'
            import json
            report = json.load(open("old.json"))
            for row in report["workloads"]:
                for cell in row["cells"]:
                    if row["workload"] == "walk" and cell.get("ratio"): cell["ratio"] = dict.fromkeys(cell["ratio"], 1e9)
            json.dump(report, open("old.json", "w"))
            END
            bench --compare old.json > said
            grep -q '^walk .* \*$' said; grep -q '^read-1m .* x ' said; grep -q '^Beside old.json\|^Beside .*/old.json' said
            "$mayfly" bench --no-mayfly . --quick --rounds 1 --only walk --json one.json > /dev/null
            "$mayfly" bench --no-mayfly . --quick --rounds 1 --only walk --compare one.json | grep -q 'one folder alone'
            "$mayfly" bench --no-mayfly . --quick --rounds 1 --only read-1m --compare one.json | grep -q 'can be compared'
            echo '{}' > none.json
            for bad in none.json nosuch.json; do
                ! bench --compare $bad 2> error; grep -q "^mayfly: --compare .*$bad .*: name a file that" error
            done
            ! bench --compare old.json --json - 2> error; grep -q 'exclude each other' error
            """#)
        #expect(outcome.status == 0, "\(outcome.report)")
    }

    /// What is wrong with a folder is one line, and nothing is left in it.
    @Test(
        .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot),
        arguments: [
            ("ro", "is read-only: name a folder that can be written"),
            ("size=512k", "has 512 KiB free and the workloads take"),
            ("nr_inodes=20", "inodes free and the workloads take"),
        ])
    func aFolderThatWillNotDoIsOneLine(_ options: String, _ line: String) throws {
        let outcome = try BuiltCommand.script(
            """
            trap 'cd /; umount "$folder"; rmdir "$folder"' EXIT
            mount -t tmpfs -o \(options) none "$folder"
            status=0
            "$mayfly" bench "$folder" --quick || status=$?
            ls -A "$folder"
            echo "status $status"
            """)
        #expect(outcome.output == "status 1\n", "\(outcome.output)")
        #expect(outcome.errors.contains(line), "\(outcome.errors)")
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    }

    /// A mount that is too small for the work says so like any other folder.
    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func aSmallMayflyIsOneLine() throws {
        let outcome = try BuiltCommand.run(["bench", "--quick", "--size", "1m"])
        #expect(outcome.status == 1 && outcome.output.isEmpty)
        #expect(outcome.errors.contains("has 1 MiB free and the workloads take"))
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    }

    /// With and without a mount: the folder is as it was, and the status tells of the signal.
    @Test(
        .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot),
        arguments: [[], ["--no-mayfly"]], [SIGINT, SIGTERM])
    func aSignalLeavesNothing(_ options: [String], _ signal: Int32) throws {
        try withFolder { folder in
            let bench = try ChildProcess(
                [BuiltCommand.path, "bench", folder, "--rounds", "1000"] + options)
            #expect(poll(seconds: 30) { !HostFile.names(in: folder).isEmpty })
            usleep(200_000)
            bench.send(signal)
            let outcome = try bench.wait(seconds: 30)
            #expect(outcome.status == 128 + signal, "\(outcome.report)")
            #expect(outcome.output.isEmpty)
            #expect(HostFile.names(in: folder).isEmpty)
        }
    }
}
