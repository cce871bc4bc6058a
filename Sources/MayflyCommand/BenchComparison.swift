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

    /// What a workload takes in a folder: a ratio to the first folder, or a median.
    private struct Figure {
        var range: BenchRange
        var isRatio: Bool
    }

    private static func figures(_ report: BenchReport) -> [String: Figure] {
        var figures: [String: Figure] = [:]
        for row in report.workloads {
            for cell in row.cells.dropFirst(report.folders.count > 1 ? 1 : 0) {
                let name = "\(row.workload) \(cell.folder)"
                if let ratio = cell.ratio {
                    figures[name] = Figure(range: ratio, isRatio: true)
                } else if report.folders.count == 1, let median = cell.median,
                    let least = cell.rounds.min(), let most = cell.rounds.max()
                {
                    figures[name] = Figure(
                        range: BenchRange(minimum: least, median: median, maximum: most),
                        isRatio: false)
                }
            }
        }
        return figures
    }

    /// A table of what both reports have.
    func lines(_ now: BenchReport) -> [String] {
        let (old, new) = (Self.figures(before), Self.figures(now))
        var table = Table(
            ("WORKLOAD", .left), ("FOLDER", .left), ("THEN", .right), ("NOW", .right),
            ("CHANGE", .right), ("", .left))
        var isRatio = true
        for row in now.workloads {
            for cell in row.cells {
                let name = "\(row.workload) \(cell.folder)"
                guard let then = old[name], let now = new[name], then.isRatio == now.isRatio,
                    then.range.median > 0
                else { continue }
                isRatio = now.isRatio
                let isApart =
                    now.range.minimum > then.range.maximum || now.range.maximum < then.range.minimum
                table.add(
                    row.workload, ShellQuote.quoted(cell.folder),
                    BenchText.figure(then.range.median),
                    BenchText.figure(now.range.median),
                    "x \(BenchText.figure(now.range.median / then.range.median))",
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
