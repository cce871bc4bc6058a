import Mayfly

/// How pictures are drawn: bars, histories and colours, as far as the terminal has them.
struct TopStyle {
    /// Whether it shows more than ASCII.
    var isUnicode = false
    var hasColour = false

    /// That of the terminal that the environment tells of.
    ///
    /// - Source: no-color.org for `NO_COLOR`; locale(7) for the order of the variables.
    init(environment: (String) -> String?) {
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].compactMap(environment).first { !$0.isEmpty } ?? ""
        isUnicode = ["utf-8", "utf8"].contains { locale.lowercased().hasSuffix($0) }
        let terminal = environment("TERM") ?? "dumb"
        hasColour = (environment("NO_COLOR") ?? "").isEmpty && terminal != "dumb"
    }

    private static let levels = Array("▁▂▃▄▅▆▇█")
    private var full: Character { isUnicode ? "━" : "#" }
    private var rest: Character { isUnicode ? "─" : "." }

    /// A bar of so many columns, a share of it full: what is used at all shows.
    func bar(_ share: Double, columns: Int) -> String {
        let exact = (share * Double(columns)).rounded()
        let filled = max(share > 0 ? 1 : 0, min(columns, Int(exact)))
        return String(repeating: full, count: filled)
            + String(repeating: rest, count: columns - filled)
    }

    /// The last of some values as columns whose heights are shares of the greatest; nothing in ASCII.
    func history(_ values: [Double], columns: Int) -> String {
        guard isUnicode, let most = values.suffix(columns).max(), most > 0 else { return "" }
        return String(
            values.suffix(columns).map { value in
                Self.levels[min(7, Int((value / most * 7).rounded(.up)))]
            })
    }

    /// A line with its bar in the colour of how full it is.
    func painted(_ line: String) -> String {
        guard hasColour, let start = line.firstIndex(of: full) else { return line }
        let bar = line[start...].prefix { $0 == full || $0 == rest }
        let filled = bar.prefix { $0 == full }
        guard bar.count > 1 else { return line }
        let share = Double(filled.count) / Double(bar.count)
        let colour = share > 0.95 ? 31 : share > 0.8 ? 33 : 32
        return line[..<start] + "\u{1B}[\(colour)m" + filled + "\u{1B}[0m"
            + line[filled.endIndex...]
    }

    /// Lines that fit, the first of them bold.
    func headed(_ lines: [String], _ columns: Int) -> [String] {
        let cut = lines.map { String($0.prefix(columns)) }
        return cut.prefix(1).map { "\u{1B}[1m\($0)\u{1B}[0m" } + cut.dropFirst().map(painted)
    }
}
