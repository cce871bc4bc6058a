// The ratios as a picture: bars on a logarithmic scale, from 1 to the median of the rounds, with a
// line from the least to the most. One file that needs no other, for light and dark screens.

import Glibc

package struct BenchPlot {
    private let report: BenchReport
    private let scale: Scale

    private static let width = 860.0
    private static let left = 130.0
    private static let right = 760.0
    private static let top = 96.0
    private static let barHeight = 15.0
    private static let groupGap = 13.0
    /// Of the folders after the first; further ones begin anew.
    private static let colours = 5

    /// nil where there is but one folder, so that nothing can be compared.
    package init?(_ report: BenchReport) {
        guard report.folders.count > 1 else { return nil }
        self.report = report
        let ranges = report.workloads.flatMap { $0.cells.compactMap(\.ratio) }
        scale = Scale(
            least: min(0.8, ranges.map(\.minimum).min() ?? 1),
            most: max(1.5, ranges.map(\.maximum).max() ?? 1), from: Self.left, to: Self.right)
    }

    /// Where a ratio lies on the picture.
    private struct Scale {
        let least: Double
        let most: Double
        let from: Double
        let to: Double

        func x(_ ratio: Double) -> Double {
            let share = (log(max(ratio, least)) - log(least)) / (log(most) - log(least))
            return from + share * (to - from)
        }

        /// 1, 2 and 5 of every power of ten that is to be seen.
        var ticks: [Double] {
            (-3...6).flatMap { power in [1.0, 2, 5].map { $0 * pow(10, Double(power)) } }
                .filter { $0 >= least * 0.999 && $0 <= most * 1.001 }
        }
    }

    // MARK: SVG

    package var svg: String {
        let compared = report.folders.count - 1
        let group = Double(compared) * Self.barHeight + Self.groupGap
        let bottom = Self.top + Double(report.workloads.count) * group
        let notes = BenchText.notes(report)
        let height = bottom + 40 + Double(notes.count) * 16
        let first = BenchText.escaped(report.folders[0].label)
        var lines = [
            #"<svg xmlns="http://www.w3.org/2000/svg" "#
                + #"viewBox="0 0 \#(number(Self.width)) \#(number(height))" "#
                + #"width="\#(number(Self.width))" height="\#(number(height))" role="img">"#,
            "<title>How many times as long as in \(first)</title>",
            "<style>\(Self.style)</style>",
            rectangle(0, 0, Self.width, height, "paper"),
            text(16, 28, "title", "How many times as long as in \(first): less is faster"),
            text(16, 46, "small", BenchText.escaped(BenchText.conditions(report))),
        ]
        lines += legend
        for tick in scale.ticks {
            let kind = tick == 1 ? "one" : "grid"
            lines.append(line(scale.x(tick), Self.top - 8, scale.x(tick), bottom, kind))
            lines.append(
                text(scale.x(tick), bottom + 16, "tick", figure(tick), anchor: "middle"))
        }
        for (index, row) in report.workloads.enumerated() {
            lines += bars(row, y: Self.top + Double(index) * group)
        }
        for (index, note) in notes.enumerated() {
            lines.append(
                text(16, bottom + 38 + Double(index) * 16, "small", BenchText.escaped(note)))
        }
        return (lines + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    private var legend: [String] {
        var x = Self.left
        return report.folders.dropFirst().enumerated().flatMap { index, folder in
            defer { x += 34 + 7.2 * Double(folder.label.count) }
            return [
                rectangle(x, 60, 12, 12, colour(index)),
                text(x + 18, 70, "label", BenchText.escaped(folder.label)),
            ]
        }
    }

    private func bars(_ row: BenchReport.Row, y: Double) -> [String] {
        let middle = y + Double(row.cells.count - 1) * Self.barHeight / 2 + 4
        var lines = [
            text(Self.left - 12, middle, "label", BenchText.escaped(row.workload), anchor: "end")
        ]
        for (index, cell) in row.cells.dropFirst().enumerated() {
            let y = y + Double(index) * Self.barHeight
            guard let ratio = cell.ratio else {
                lines.append(text(scale.x(1) + 6, y + 11, "small", "-"))
                continue
            }
            let (one, end) = (scale.x(1), scale.x(ratio.median))
            let center = y + Self.barHeight / 2 - 1
            lines += [
                rectangle(
                    min(one, end), y, max(1, abs(end - one)), Self.barHeight - 2, colour(index)),
                line(scale.x(ratio.minimum), center, scale.x(ratio.maximum), center, "spread"),
                line(
                    scale.x(ratio.minimum), center - 3, scale.x(ratio.minimum), center + 3,
                    "spread"),
                line(
                    scale.x(ratio.maximum), center - 3, scale.x(ratio.maximum), center + 3,
                    "spread"),
                text(
                    max(one, scale.x(ratio.maximum)) + 6, y + 11, "value",
                    "\(BenchText.figure(ratio.median))"),
            ]
        }
        return lines
    }

    private static let style = """

        text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; }
        text { fill: #1c2330; }
        .title { font-size: 17px; font-weight: 600; }
        .small, .tick { font-size: 11px; fill: #5a6472; }
        .value { font-size: 11px; }
        .paper { fill: #ffffff; }
        .grid { stroke: #dfe3e8; stroke-width: 1; }
        .one { stroke: #5a6472; stroke-width: 1.5; }
        .spread { stroke: #1c2330; stroke-width: 1.2; }
        .c0 { fill: #5b9bd5; } .c1 { fill: #e0913c; } .c2 { fill: #63a868; }
        .c3 { fill: #b07cc6; } .c4 { fill: #a3a13d; }
        @media (prefers-color-scheme: dark) {
          text { fill: #e6e9ee; }
          .small, .tick { fill: #9aa5b4; }
          .paper { fill: #14181f; }
          .grid { stroke: #2a313c; }
          .one { stroke: #9aa5b4; }
          .spread { stroke: #e6e9ee; }
          .c0 { fill: #3f78b0; } .c1 { fill: #b06a1f; } .c2 { fill: #44844a; }
          .c3 { fill: #8a57a0; } .c4 { fill: #7d7b28; }
        }

        """

    // MARK: HTML

    /// The picture with the figures below it.
    package var html: String {
        let title = "mayfly bench"
        let heads = report.folders.map { "<th>\(BenchText.escaped($0.label))</th>" }
        let rows = report.workloads.map { row in
            let cells = row.cells.map { cell in
                let value = cell.median.map(BenchText.figure) ?? "-"
                let spread = cell.ratio.map {
                    " <small>\(BenchText.figure($0.median)) times ("
                        + "\(BenchText.figure($0.minimum)) to \(BenchText.figure($0.maximum))"
                        + ")</small>"
                }
                return "<td>\(value)\(spread ?? "")</td>"
            }
            return "<tr><th>\(BenchText.escaped(row.workload))</th>"
                + "<td>\(row.unit.rawValue)</td>\(cells.joined())"
                + "<td class=\"what\">\(BenchText.escaped(row.summary))</td></tr>"
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <style>
            :root { color-scheme: light dark; }
            body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; }
            body { background: #fff; color: #1c2330; }
            svg { max-width: 100%; height: auto; }
            table { border-collapse: collapse; margin-top: 1.5rem; }
            th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #dfe3e8; }
            th:first-child, .what { text-align: left; }
            small, .what { color: #5a6472; }
            @media (prefers-color-scheme: dark) {
              body { background: #14181f; color: #e6e9ee; }
              th, td { border-color: #2a313c; }
              small, .what { color: #9aa5b4; }
            }
            </style>
            </head>
            <body>
            \(svg)<table>
            <tr><th>workload</th><th>unit</th>\(heads.joined())<th class="what"></th></tr>
            \(rows.joined(separator: "\n"))
            </table>
            </body>
            </html>

            """
    }

    // MARK: Elements

    private func colour(_ index: Int) -> String { "c\(index % Self.colours)" }

    private func number(_ value: Double) -> String { BenchText.fixed(value, 1) }

    /// A tick without decimals that it does not need.
    private func figure(_ tick: Double) -> String {
        tick >= 1 ? "\(Int(tick))" : BenchText.fixed(tick, tick < 0.1 ? 2 : 1)
    }

    private func rectangle(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ kind: String
    ) -> String {
        #"<rect class="\#(kind)" x="\#(number(x))" y="\#(number(y))" "#
            + #"width="\#(number(width))" height="\#(number(height))"/>"#
    }

    private func line(
        _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ kind: String
    ) -> String {
        #"<line class="\#(kind)" x1="\#(number(x1))" y1="\#(number(y1))" "#
            + #"x2="\#(number(x2))" y2="\#(number(y2))"/>"#
    }

    private func text(
        _ x: Double, _ y: Double, _ kind: String, _ content: String, anchor: String = "start"
    ) -> String {
        #"<text class="\#(kind)" x="\#(number(x))" y="\#(number(y))" "#
            + #"text-anchor="\#(anchor)">\#(content)</text>"#
    }
}
