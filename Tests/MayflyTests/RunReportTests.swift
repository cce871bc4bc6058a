import Testing

@testable import Mayfly
@testable import MayflyHost
@testable import MayflyRunning

/// What `mayfly run` tells at its end, and who counts as left behind.
@Suite struct RunReportTests {
    private var report: RunReport {
        RunReport(
            command: ["sh", "-c", "echo \"a\\b\"\n"], exitStatus: 3, signal: nil,
            nanoseconds: 61_005_400_000,
            statistics: MountStatistics(
                usedBytes: 1, peakBytes: 5 << 20, usedInodes: 2, peakInodes: 1, requests: 7),
            summary: MountSummary(
                mountpoint: "/mnt", transport: .ring, queueCount: 2, queueDepth: 8,
                payloadBytes: 1 << 20, ringMemoryBytes: 0, sizeBytes: 1 << 30, inodes: 9,
                maximumMemoryBytes: 2 << 30))
    }

    @Test func theLine() {
        #expect(
            report.line == "used at most 5 MiB and 1 inode, answered 7 requests in 61.01 s")
    }

    @Test func theJSON() {
        var report = report
        report.leftRunning = [MountHolder(processID: 12, command: "sl\teep")]
        report.kept = "/tmp/k"
        let lines = report.json.split(separator: "\n")
        #expect(lines.first == "{" && lines.last == "}")
        #expect(lines[1] == #"  "command": ["sh", "-c", "echo \"a\\b\"\n"],"#)
        #expect(lines.contains(#"  "seconds": 61.005400,"#))
        #expect(lines.contains(#"  "signal": null,"#))
        #expect(lines.contains(#"  "leftRunning": [{"pid": 12, "command": "sl\teep"}],"#))
        #expect(lines.contains { $0.hasPrefix(#"  "kept": "/tmp/k""#) })
        #expect(RunReport.quoted("\u{1}é") == "\"\\u0001é\"")
    }

    @Test func linesOfProcAreReadWhateverTheNameIs() {
        let entry = ProcessTree.Entry(parsing: "12 (a) S (b)) S 7 12 12 0 -1\n")
        #expect(entry?.processID == 12 && entry?.command == "a) S (b)")
        #expect(entry?.state == "S" && entry?.parent == 7)
        #expect(ProcessTree.Entry(parsing: "12 nothing") == nil)
        #expect(ProcessTree.Entry(parsing: "") == nil)
    }

    @Test func descendantsAreFoundInAnyOrderAndWithoutTheDead() throws {
        let lines = [
            "1 (init) S 0 0", "9 (grandchild) S 8 0", "8 (child) S 5 0", "7 (dead) Z 5 0",
            "6 (other) S 1 0", "10 (orphan) R 7 0",
        ]
        let entries = lines.compactMap(ProcessTree.Entry.init(parsing:))
        try #require(entries.count == lines.count)
        let found = ProcessTree.descendants(of: 5, among: entries)
        #expect(found.map(\.processID) == [8, 9, 10])
    }
}
