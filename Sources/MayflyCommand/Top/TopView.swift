import Mayfly

/// What `mayfly top` shows again and again.
protocol TopView: AnyObject {
    /// Looks anew.
    ///
    /// - Returns: false when what was watched has ended, as it does.
    func look() throws(MountError) -> Bool

    /// Keys beside q and ?, and what they do.
    var keys: [(key: Character, use: String)] { get }

    /// Does what a key asks for; others do nothing.
    func press(_ key: Character)

    /// Everything there is, one part below the other.
    var lines: [String] { get }

    /// For a terminal of that size.
    func lines(rows: Int, columns: Int, _ style: TopStyle) -> [String]
}

extension TopView {
    /// What the keys do, for `?`.
    func help(columns: Int, _ style: TopStyle) -> [String] {
        var table = Table(("KEY", .left), ("DOES", .left))
        for key in keys + [("?", "shows this, and takes it away"), ("q", "ends")] {
            table.add("\(key.key)", key.use)
        }
        return style.headed(table.lines, columns)
    }
}

/// The last rates of requests, for a history.
struct RateHistory {
    private(set) var values: [Double] = []
    private static let most = 120

    mutating func add(_ value: Double) {
        values.append(value)
        if values.count > Self.most { values.removeFirst() }
    }
}
