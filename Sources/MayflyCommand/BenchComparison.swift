import Mayfly
import MayflyBench
import MayflyHost

/// `mayfly bench --compare`: an earlier report beside this one.
///
/// What a machine does in a second differs from hour to hour, so ratios to the first folder are compared. Where
/// there is one folder alone, its medians are, and a line says what that is worth.
struct BenchComparison {
    private let path: PathBytes
    private let before: BenchReport

    /// - Throws: `.usage` for what is no report of `mayfly bench --json`.
    init(_ path: PathBytes) throws(MountError) {
        self.path = path
        guard let bytes = HostFile.bytes(at: path, atMost: 64 << 20) else {
            throw MountError(
                .usage,
                "--compare \(path) cannot be read: name a file that `mayfly bench --json` wrote")
        }
        guard let before = ControlJSON.decoded(BenchReport.self, bytes) else {
            throw MountError(
                .usage,
                "--compare \(path) is no report: name a file that `mayfly bench --json` wrote")
        }
        self.before = before
    }

    /// For each workload and folder, by both names, its ratio to the first folder, or of one folder alone its times.
    private static func ranges(_ report: BenchReport) -> [String: BenchRange] {
        var ranges: [String: BenchRange] = [:]
        for row in report.workloads {
            for cell in cells(row, report) {
                ranges[name(row, cell)] = isCompared(report) ? cell.ratio : range(cell)
            }
        }
        return ranges
    }

    private static func name(_ row: BenchReport.Row, _ cell: BenchReport.Cell) -> String {
        "\(row.workload) \(cell.folder)"
    }

    private static func range(_ cell: BenchReport.Cell) -> BenchRange? {
        guard let median = cell.median, let least = cell.rounds.min(), let most = cell.rounds.max()
        else { return nil }
        return BenchRange(minimum: least, median: median, maximum: most)
    }

    /// Those that say something: the first folder beside itself does not.
    private static func cells(
        _ row: BenchReport.Row, _ report: BenchReport
    ) -> ArraySlice<BenchReport.Cell> { row.cells.dropFirst(isCompared(report) ? 1 : 0) }

    /// Whether there is a folder that the others are compared with.
    private static func isCompared(_ report: BenchReport) -> Bool { report.folders.count > 1 }

    /// A table of what both reports have.
    func lines(_ now: BenchReport) -> [String] {
        let isRatio = Self.isCompared(now)
        let old = isRatio == Self.isCompared(before) ? Self.ranges(before) : [:]
        let new = Self.ranges(now)
        var table = Table(
            ("WORKLOAD", .left), ("FOLDER", .left), ("THEN", .right), ("NOW", .right),
            ("CHANGE", .right), ("", .left))
        for row in now.workloads {
            for cell in Self.cells(row, now) {
                let name = Self.name(row, cell)
                guard let then = old[name], let now = new[name], then.median > 0 else { continue }
                let isApart =
                    now.minimum > then.maximum || now.maximum < then.minimum
                table.add(
                    row.workload, ShellQuote.quoted(cell.folder),
                    BenchText.figure(then.median),
                    BenchText.figure(now.median),
                    "x \(BenchText.figure(now.median / then.median))",
                    isApart ? "*" : "")
            }
        }
        let name = ShellQuote.quoted(path)
        guard table.rows.count > 1 else {
            return [
                "",
                "Nothing in \(name) can be compared: it has other workloads, or folders by other names.",
            ]
        }
        return ["", "Beside \(name), \(isRatio ? "ratios to the first folder" : "medians"):", ""]
            + table.lines
            + ["", "* where no round of one was within the rounds of the other."]
            + remarks(now, isRatio)
    }

    private func remarks(_ now: BenchReport, _ isRatio: Bool) -> [String] {
        var lines: [String] = []
        if !isRatio {
            lines.append(
                "With one folder alone the machine's own changes count too: name a tmpfs beside it."
            )
        }
        if before.kernel != now.kernel || before.processors != now.processors {
            lines.append(
                "Then it was Linux \(before.kernel) with \(before.processors) CPUs: the figures say little."
            )
        } else if before.load > Double(before.processors) {
            lines.append("The machine was busy then: the figures say little.")
        }
        return lines
    }
}
