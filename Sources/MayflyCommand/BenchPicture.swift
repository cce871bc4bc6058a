import Mayfly
import MayflyBench
import MayflyHost

/// What `mayfly bench` prints.
enum BenchPicture {
    static func list() -> [String] {
        var table = Table(("WORKLOAD", .left), ("UNIT", .left), ("WHAT IT IS", .left))
        for workload in Workload.all {
            table.add(workload.name, workload.unit.rawValue, workload.summary)
        }
        return table.lines
    }

    /// The conditions, the medians with the ratios to the first folder, and why cells are empty.
    static func lines(_ report: BenchReport) -> [String] {
        var columns: [(head: String, side: Table.Side)] = [("WORKLOAD", .left), ("UNIT", .left)]
        for (index, folder) in report.folders.enumerated() {
            columns.append((ShellQuote.quoted(folder.label), .right))
            columns.append(("P99", .right))
            if index > 0 { columns.append(("RATIO", .right)) }
        }
        var table = Table(columns)
        for row in report.workloads {
            var cells = [row.workload, row.unit.rawValue]
            for (index, cell) in row.cells.enumerated() {
                cells.append(cell.median.map(BenchText.figure) ?? "-")
                cells.append(cell.p99.map(BenchText.figure) ?? "")
                if index > 0 { cells.append(cell.ratio.map { BenchText.figure($0.median) } ?? "-") }
            }
            table.add(cells)
        }
        var lines = [BenchText.conditions(report), ""] + table.lines
        let notes = BenchText.notes(report)
        if !notes.isEmpty { lines += [""] + notes }
        if report.load > Double(report.processors) {
            lines += ["", "The machine was busy when it began: the figures say little."]
        }
        return lines
    }
}
