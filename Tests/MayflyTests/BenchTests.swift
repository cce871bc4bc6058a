import Glibc
import SystemPackage
import Testing

@testable import Mayfly
@testable import MayflyBench
@testable import MayflyCommand
@testable import MayflyHost
@testable import MayflyRunning

/// `mayfly bench`: its figures, its picture, and its runs with little work.
@Suite struct BenchTests {
    // MARK: Figures

    @Test(
        arguments: [
            ([], nil), ([3], 3), ([1, 2], 1.5), ([9, 1, 5], 5), ([4, 1, 3, 2], 2.5),
        ] as [([Double], Double?)])
    func theMedianIsInTheMiddle(_ values: [Double], _ expected: Double?) {
        #expect(BenchStatistics.median(values) == expected)
    }

    @Test func percentilesAreValuesThatWereThere() {
        let hundred = (1...100).map(UInt64.init)
        #expect(BenchStatistics.percentile(hundred, 0.5) == 50)
        #expect(BenchStatistics.percentile(hundred, 0.99) == 99)
        #expect(BenchStatistics.percentile([7], 0.5) == 7)
        #expect(BenchStatistics.percentile([7], 0.99) == 7)
        #expect(BenchStatistics.percentile([1, 2], 0.5) == 1)
        #expect(BenchStatistics.percentile([1, 2], 0.99) == 2)
    }

    @Test func ratiosGoRoundByRound() {
        let first = [10.0, 100, 20].map { Sample(nanoseconds: $0) }
        let second = [30.0, 200, 20].map { Sample(nanoseconds: $0) }
        // A slow second round is slow for both.
        #expect(
            BenchStatistics.ratios(second, to: first)
                == BenchRange(minimum: 1, median: 2, maximum: 3))
        #expect(BenchStatistics.ratios([], to: first) == nil)
        #expect(BenchStatistics.ratios(second, to: []) == nil)
    }

    @Test func figuresHaveThreeDigits() {
        #expect(BenchText.figure(0.614) == "0.61")
        #expect(BenchText.figure(9.876) == "9.88")
        #expect(BenchText.figure(97.44) == "97.4")
        #expect(BenchText.figure(9312.4) == "9312")
        #expect(BenchText.figure(0) == "0.00")
    }

    @Test func throughputIsTheInverseOfTime() {
        #expect(BenchUnit.throughput.value(nanoseconds: 500_000) == 2000)
        #expect(BenchUnit.throughput.value(nanoseconds: 0) == 0)
        #expect(BenchUnit.microseconds.value(nanoseconds: 1500) == 1.5)
        #expect(BenchUnit.milliseconds.value(nanoseconds: 2_500_000) == 2.5)
    }

    // MARK: Choice

    @Test func workloadsAreChosenByName() throws {
        #expect(try BenchPlan.workloads(named: "walk,lookup").map(\.name) == ["lookup", "walk"])
        #expect(throws: MountError.self) { try BenchPlan.workloads(named: "walk,fly") }
        #expect(throws: MountError.self) { try BenchPlan.workloads(named: "") }
        #expect(Set(Workload.all.map(\.name)).count == Workload.all.count)
    }

    /// A signal that came before the first workload ends it with nothing measured or left.
    @Test func anInterruptionLeavesNothing() throws {
        try withFolder { folder in
            let interruption = Interruption()
            #expect(interruption.ask(SIGINT))
            #expect(!interruption.ask(SIGTERM), "the first one counts")
            var plan = BenchPlan([try BenchFolder(PathBytes(folder))])
            plan.scale = .quick
            #expect(throws: BenchError.interrupted(SIGINT)) {
                try plan.run(interruption) { _ in }
            }
            #expect(HostFile.names(in: folder).isEmpty)
        }
    }

    /// The same in the middle of one.
    @Test(arguments: ["lookup", "write-1m", "copy", "transaction"])
    func anInterruptionInTheMiddleLeavesNothing(_ name: String) throws {
        try withFolder { folder in
            let interruption = Interruption()
            var plan = BenchPlan([try BenchFolder(PathBytes(folder))])
            plan.scale = .quick
            plan.workloads = try BenchPlan.workloads(named: name)
            var shown = 0
            #expect(throws: BenchError.interrupted(SIGTERM)) {
                try plan.run(interruption) { progress in
                    shown += 1
                    #expect(progress.workload == name)
                    #expect(HostFile.names(in: folder).count == 1)
                    _ = interruption.ask(SIGTERM)
                }
            }
            #expect(shown == 1)
            #expect(HostFile.names(in: folder).isEmpty)
        }
    }

    /// Every workload, in a folder of this machine.
    @Test func everyWorkloadHasAFigure() throws {
        try withFolder { folder in
            var plan = BenchPlan([
                try BenchFolder(PathBytes(folder)), try BenchFolder(PathBytes(folder)),
            ])
            plan.scale = .quick
            plan.rounds = 2
            let report = try plan.run(Interruption()) { _ in }
            #expect(report.workloads.map(\.workload) == Workload.all.map(\.name))
            for row in report.workloads {
                for cell in row.cells where cell.note == nil {
                    #expect(cell.rounds.count == 2 && cell.rounds.allSatisfy { $0 > 0 })
                    #expect((cell.p99 != nil) == (row.unit == .microseconds), "\(row.workload)")
                }
                #expect(row.cells[0].ratio == nil)
            }
            #expect(HostFile.names(in: folder).isEmpty)
        }
    }

    @Test(
        arguments: [
            (.noSpace, 2, "/x is full: make room, or leave out copy by --only"),
            (.diskQuotaExceeded, 2, "/x is full: make room, or leave out copy by --only"),
            (.readOnlyFileSystem, 1, "/x is read-only: name a folder that can be written"),
            (
                .ioError, 2,
                "write(2) failed in /x (Input/output error): name another folder, or leave out "
                    + "copy by --only"
            ),
        ] as [(Errno, Int32, String)])
    func aFolderThatFailsIsNamed(_ error: Errno, _ status: Int32, _ line: String) {
        let told = MountError.bench("/x", "copy", "write(2)", error)
        #expect(told.message == line && told.exitCode == status)
    }

    // MARK: Picture

    /// A report with what may trouble a picture: odd names, no figures, far outliers.
    private func report() throws -> BenchReport {
        try withFolder { folder in
            var plan = BenchPlan([
                try BenchFolder(PathBytes(folder)), BenchFolder(scratch: PathBytes(folder)),
            ])
            plan.scale = .quick
            plan.rounds = 1
            plan.workloads = try BenchPlan.workloads(named: "lookup,read-4k,create")
            var report = try plan.run(Interruption()) { _ in }
            report.folders[0].label = "/tmp/<a> & \"b\"\u{1}"
            report.workloads[1].cells[0] = BenchReport.Cell(
                folder: "first", rounds: [5], median: 5, p99: 6)
            report.workloads[1].cells[1] = BenchReport.Cell(
                folder: "mayfly", rounds: [], note: "no O_DIRECT")
            report.workloads[2].cells[1].ratio = BenchRange(
                minimum: 0.004, median: 3, maximum: 40000)
            return report
        }
    }

    @Test func pictureAndPageAreWellFormed() throws {
        let plot = try #require(BenchPlot(try report()))
        let parse = "import sys, xml.dom.minidom as m; d = m.parse(sys.stdin.buffer);"
        let script = """
            printf '%s' "$1" | python3 -ISc "\(parse) print(d.documentElement.tagName)"
            """
        for (document, root) in [(plot.svg, "svg"), (bareXML(plot.html), "html")] {
            let outcome = try ChildProcess.run(["sh", "-ec", script, "sh", document])
            #expect(outcome.status == 0, "\(outcome.report)")
            #expect(outcome.output == "\(root)\n")
        }
        #expect(plot.svg.contains("&lt;a&gt; &amp; &quot;b&quot;?"))
        #expect(plot.svg.contains("read-4k: no O_DIRECT in mayfly"))
        #expect(plot.svg.contains("prefers-color-scheme: dark"))
        #expect(!plot.svg.contains("nan") && !plot.svg.contains("inf"))
        #expect(!plot.html.contains("http-equiv") && !plot.html.contains("src="))
    }

    /// HTML leaves two elements open that XML would not.
    private func bareXML(_ html: String) -> String {
        html.split(separator: "\n").filter { line in
            !line.hasPrefix("<meta") && !line.hasPrefix("<!DOCTYPE")
        }.joined(separator: "\n")
    }

    @Test func aFolderAloneHasNoPicture() throws {
        var alone = try report()
        alone.folders.removeLast()
        #expect(BenchPlot(alone) == nil)
    }

    @Test func theTableHasAColumnForEachFolder() throws {
        let lines = BenchPicture.lines(try report())
        let head = try #require(lines.first { $0.hasPrefix("WORKLOAD") })
        #expect(head.split(separator: " ").suffix(4) == ["P99", "mayfly", "P99", "RATIO"])
        let direct = try #require(lines.first { $0.hasPrefix("read-4k ") })
        #expect(direct.split(separator: " ") == ["read-4k", "us", "5.00", "6.00", "-", "-"])
        #expect(lines.contains("read-4k: no O_DIRECT in mayfly"))
        #expect(!lines.joined().contains("\u{1}"))
    }
}
