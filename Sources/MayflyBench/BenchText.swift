/// Figures for people.
package enum BenchText {
    /// Three digits where there are as many: "9312", "97.4", "0.61".
    package static func figure(_ value: Double) -> String {
        let decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2
        return fixed(value, decimals)
    }

    static func fixed(_ value: Double, _ decimals: Int) -> String {
        let scale = (0..<decimals).reduce(UInt64(1)) { scale, _ in scale * 10 }
        let scaled = UInt64((min(max(0, value), 1e15) * Double(scale)).rounded())
        guard decimals > 0 else { return "\(scaled)" }
        let fraction = "\(scaled % scale)"
        let zeros = String(repeating: "0", count: decimals - fraction.count)
        return "\(scaled / scale).\(zeros)\(fraction)"
    }

    /// Text of somebody else's in XML.
    static func escaped(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            // XML has no way to write these.
            case _ where scalar.value < 32 || (127..<160).contains(scalar.value): result += "?"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }

    /// What was measured on what.
    package static func conditions(_ report: BenchReport) -> String {
        "mayfly \(report.version), Linux \(report.kernel), \(report.processors) "
            + "\(report.processors == 1 ? "CPU" : "CPUs"), \(report.rounds) "
            + "\(report.rounds == 1 ? "round" : "rounds"), "
            + "load \(fixed(report.load, 2)) at the start"
    }

    /// Why some cells are empty, one line for each.
    package static func notes(_ report: BenchReport) -> [String] {
        report.workloads.flatMap { row in
            row.cells.compactMap { cell in
                cell.note.map { "\(row.workload): \($0) in \(cell.folder)" }
            }
        }
    }
}
