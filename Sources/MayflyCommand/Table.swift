import Mayfly

/// Text in columns, two spaces between them.
struct Table {
    enum Side { case left, right }

    var sides: [Side]
    var rows: [[String]] = []

    /// - Parameter heads: the first row.
    init(_ columns: (head: String, side: Side)...) { self.init(columns) }

    init(_ columns: [(head: String, side: Side)]) {
        sides = columns.map(\.side)
        rows = [columns.map(\.head)]
    }

    mutating func add(_ cells: String...) { rows.append(cells) }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The rows as lines, without blanks at their ends.
    var lines: [String] {
        let widths = sides.indices.map { column in rows.map { Self.width($0[column]) }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            // Those before the next cell that has something in it.
            var blanks = 0
            for (column, cell) in row.enumerated() {
                let space = widths[column] - Self.width(cell)
                if sides[column] == .right { blanks += space }
                if !cell.isEmpty {
                    for _ in 0..<blanks { line.append(" ") }
                    line += cell
                    blanks = 0
                }
                if sides[column] == .left { blanks += space }
                blanks += 2
            }
            return line
        }
    }

    /// In characters; told by bytes where each is one, as nearly everywhere.
    private static func width(_ cell: String) -> Int {
        cell.utf8.allSatisfy { $0 < 0x80 } ? cell.utf8.count : cell.count
    }
}

/// Numbers for people.
enum Numbers {
    static func bytes(_ count: UInt64) -> String { SizeText.described(bytes: count) }

    /// A time in three digits: "740 ns", "8.20 us", "1.30 ms", "2.00 s".
    /// A dash for none: nothing takes no time.
    static func time(_ nanoseconds: UInt64) -> String {
        if nanoseconds == 0 { return "-" }
        if nanoseconds < 1000 { return "\(nanoseconds) ns" }
        var value = Double(nanoseconds)
        var unit = "ns"
        for next in ["us", "ms", "s"] where value >= 1000 {
            value /= 1000
            unit = next
        }
        return "\(fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)) \(unit)"
    }

    /// "2 d 3 h", "3 h 12 min", "12 min 5 s", "5 s".
    static func duration(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        let parts = [
            (seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"),
            (seconds % 60, "s"),
        ]
        let first = parts.firstIndex { $0.0 > 0 } ?? 3
        return parts[first...].prefix(2).map { "\($0.0) \($0.1)" }.joined(separator: " ")
    }

    static func percent(_ share: Double) -> String { "\(fixed(share * 100, 1)) %" }

    static func fixed(_ value: Double, _ decimals: Int) -> String {
        var scale: Double = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = UInt64((max(0, value) * scale).rounded())
        guard decimals > 0 else { return "\(scaled)" }
        let fraction = "\(scaled % UInt64(scale))"
        let zeros = String(repeating: "0", count: decimals - fraction.count)
        return "\(scaled / UInt64(scale)).\(zeros)\(fraction)"
    }
}
