import ArgumentParser
import Mayfly
import MayflyHost

/// All mounts, one in a line.
final class TopMounts: TopView {
    /// What comes first.
    enum Order: String, CaseIterable, ExpressibleByArgument {
        case used, full, requests, memory, mount
    }

    private var order: Order
    private var mounts: [ListedMount]
    private var pairs: [UInt32: ReportPair] = [:]
    private var histories: [UInt32: RateHistory] = [:]

    init(by order: Order) {
        self.order = order
        mounts = MountList.current()
    }

    func look() throws(MountError) -> Bool {
        let now = MountList.current()
        let before = Dictionary(
            mounts.map { ($0.connection, $0.report) }, uniquingKeysWith: { a, _ in a })
        pairs = [:]
        for mount in now {
            guard let report = mount.report else { continue }
            // Of one that has come meanwhile nothing happened between two looks.
            let pair = ReportPair(from: (before[mount.connection] ?? nil) ?? report, to: report)
            pairs[mount.connection] = pair
            histories[mount.connection, default: RateHistory()].add(pair.requestsPerSecond)
        }
        histories = histories.filter { pairs[$0.key] != nil }
        mounts = now
        return true
    }

    var keys: [(key: Character, use: String)] {
        [
            (
                "s",
                "sorts by another column: \(Order.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        ]
    }

    func press(_ key: Character) {
        guard key == "s", let at = Order.allCases.firstIndex(of: order) else { return }
        order = Order.allCases[(at + 1) % Order.allCases.count]
    }

    var lines: [String] { [summary, ""] + (mounts.isEmpty ? [Self.advice] : table(.max, nil)) }

    private static let advice = "`mayfly mount DIR` makes one"

    func lines(rows: Int, columns: Int, _ style: TopStyle) -> [String] {
        let table = mounts.isEmpty ? [Self.advice] : table(columns, style)
        let room = max(2, rows - 4)
        let left = table.count - room
        return [summary, ""].map { String($0.prefix(columns)) }
            + style.headed(Array(table.prefix(left > 0 ? room - 1 : room)), columns)
            + (left > 0 ? ["and \(left + 1) more"] : [])
            + [
                "",
                String(
                    "sorted by \(order.rawValue): s sorts otherwise, ? tells the keys, q ends"
                        .prefix(columns)),
            ]
    }

    private var summary: String {
        let used = mounts.reduce(0) { $0 + ($1.report?.bytes.used ?? 0) }
        let memory = mounts.reduce(0) { $0 + ($1.report?.memory.residentBytes ?? 0) }
        let rate = pairs.values.reduce(0) { $0 + $1.requestsPerSecond }
        return "mayfly: \(mounts.count) \(mounts.count == 1 ? "mount" : "mounts")  "
            + "requests \(Numbers.fixed(rate, 0))/s  used \(Numbers.bytes(used))  "
            + "memory \(Numbers.bytes(memory)) resident"
    }

    private var sorted: [ListedMount] {
        func key(_ mount: ListedMount) -> Double {
            guard let report = mount.report else { return -1 }
            return switch order {
            case .used: Double(report.bytes.used)
            case .full: report.fullness
            case .requests: pairs[mount.connection]?.requestsPerSecond ?? 0
            case .memory: Double(report.memory.residentBytes)
            case .mount: 0
            }
        }
        // The list is by mountpoint already; of equal ones it stays so.
        return mounts.enumerated().sorted { one, other in
            let (a, b) = (key(one.element), key(other.element))
            return a == b ? one.offset < other.offset : a > b
        }.map(\.element)
    }

    /// - Parameter style: nil where there is no terminal: then no bar and no history.
    private func table(_ columns: Int, _ style: TopStyle?) -> [String] {
        var table = Table(
            [("MOUNT", .left)] + (style == nil ? [] : [("", .left)])
                + [
                    ("FULL", .right), ("USED", .right), ("SIZE", .right), ("REQ/S", .right),
                    ("P99", .right), ("READ", .right), ("WRITTEN", .right), ("INODES", .right),
                    ("PID", .right),
                ] + (style == nil ? [] : [("REQUESTS", .left)]))
        for mount in sorted {
            let name = ListCommand.place(mount)
            let most = columns == .max ? .max : max(12, columns / 3)
            var cells = [name.count <= most ? name : "...\(name.suffix(most - 3))"]
            if let report = mount.report, let pair = pairs[mount.connection] {
                if let style { cells.append(style.bar(report.fullness, columns: 10)) }
                cells += [
                    Numbers.percent(report.fullness), Numbers.bytes(report.bytes.used),
                    Numbers.bytes(report.bytes.limit), Numbers.fixed(pair.requestsPerSecond, 0),
                    Numbers.time(pair.percentile(0.99)),
                    pair.bytesPerSecond(report.readBytes, pair.from.readBytes),
                    pair.bytesPerSecond(report.writtenBytes, pair.from.writtenBytes),
                    "\(report.inodes.used)", "\(report.processID)",
                ]
                if let style {
                    cells.append(
                        style.history(histories[mount.connection]?.values ?? [], columns: 20))
                }
            } else {
                if style != nil { cells.append(mount.state.rawValue) }
                cells += style == nil ? [mount.state.rawValue] : ["-"]
                cells += Array(repeating: "-", count: 7)
                cells.append(mount.processID.map { "\($0)" } ?? "-")
                if style != nil { cells.append("") }
            }
            table.add(cells)
        }
        return table.lines
    }
}
