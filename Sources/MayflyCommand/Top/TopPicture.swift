import Mayfly
import MayflyHost

/// One picture of `mayfly top`: what happened between two reports.
struct TopPicture {
    /// What opcodes come first by.
    enum Order {
        case rate, mean, total

        var next: Order {
            switch self {
            case .rate: .mean
            case .mean: .total
            case .total: .rate
            }
        }
    }

    let pair: ReportPair
    let hot: [HotNode]
    var order = Order.rate
    /// Requests a second, one value for each picture so far.
    var history: [Double] = []
    /// Who uses the mount; nil where nobody asked.
    var users: [MountHolder]?

    init(_ pair: ReportPair, hot: [HotNode]) {
        self.pair = pair
        self.hot = hot
    }

    private var from: MountReport { pair.from }
    private var to: MountReport { pair.to }

    /// Everything, one part below the other.
    var lines: [String] {
        summary + [""] + operations + [""] + queues + [""] + table("HOT FILES", files) + [""]
            + table("HOT DIRECTORIES", directories)
    }

    /// For a terminal of that size: every part is there, and what is short of room has its best.
    func lines(rows: Int, columns: Int, _ style: TopStyle) -> [String] {
        let top = summary(style) + [queueLine(columns)]
        let hot = beside(
            table("HOT FILES", files, columns: columns / 2 - 1),
            users.map(Self.table)
                ?? table("HOT DIRECTORIES", directories, columns: columns / 2 - 1), columns: columns
        )
        let operations = operations
        let room = max(4, rows - top.count - 2)
        let hotRows = min(hot.count, max(room / 2, room - operations.count))
        let parts = [top, Array(operations.prefix(room - hotRows)), Array(hot.prefix(hotRows))]
        return Array(parts.map { style.headed($0, columns) }.joined(separator: [""]))
    }

    /// Two tables in one.
    private func beside(_ left: [String], _ right: [String], columns: Int) -> [String] {
        let middle = columns / 2 + 1
        return (0..<max(left.count, right.count)).map { row in
            let first = row < left.count ? left[row] : ""
            guard row < right.count else { return first }
            return first + String(repeating: " ", count: max(0, middle - first.count)) + right[row]
        }
    }

    /// With a bar and a history, and that there are keys.
    private func summary(_ style: TopStyle) -> [String] {
        var lines = summary
        lines[0] += "  ? for keys"
        lines[1] += "  " + style.history(history, columns: 40)
        lines[2] = "bytes    " + style.bar(to.fullness, columns: 10) + " " + lines[2].dropFirst(9)
        return lines
    }

    private var summary: [String] {
        let memory = to.memory
        return [
            "mayfly \(ShellQuote.quoted(to.mountpoint))  "
                + "up \(Numbers.duration(to.uptimeNanoseconds))  pid \(to.processID)  "
                + to.transport,
            "requests \(pair.perSecond(to.requests, from.requests))/s  "
                + "p50 \(Numbers.time(pair.percentile(0.5)))  p99 \(Numbers.time(pair.percentile(0.99)))  "
                + "read \(pair.bytesPerSecond(to.readBytes, from.readBytes))  "
                + "written \(pair.bytesPerSecond(to.writtenBytes, from.writtenBytes))",
            "bytes    \(Numbers.bytes(to.bytes.used)) of \(Numbers.bytes(to.bytes.limit))  "
                + "inodes \(to.inodes.used) of \(to.inodes.limit)",
            "memory   \(Numbers.bytes(memory.residentBytes)) resident  "
                + "\(Numbers.bytes(memory.arenaBytes)) arena  "
                + "\(Numbers.bytes(memory.ringBytes)) ring",
        ]
    }

    private var operations: [String] {
        var table = Table(
            ("OPCODE", .left), ("RATE/S", .right), ("MEAN", .right), ("TOTAL", .right),
            ("P99 SO FAR", .right))
        let before = Dictionary(uniqueKeysWithValues: from.operations.map { ($0.opcode, $0) })
        let changed = to.operations.map { now in
            let old = before[now.opcode]
            let count = now.latency.count - min(now.latency.count, old?.latency.count ?? 0)
            let time = now.latency.total - min(now.latency.total, old?.latency.total ?? 0)
            return (
                now: now, rate: pair.rate(now.count, old?.count ?? 0),
                mean: count == 0 ? 0 : time / count
            )
        }.sorted {
            switch order {
            case .rate: ($0.rate, $0.now.count) > ($1.rate, $1.now.count)
            case .mean: ($0.mean, $0.now.count) > ($1.mean, $1.now.count)
            case .total: $0.now.count > $1.now.count
            }
        }
        for (now, rate, mean) in changed.prefix(12) {
            table.add(
                now.name, Numbers.fixed(rate, 0), Numbers.time(mean), "\(now.count)",
                Numbers.time(now.latency.p99))
        }
        return table.lines
    }

    private var queues: [String] {
        var table = Table(("QUEUE", .left), ("RATE/S", .right), ("TOTAL", .right))
        let before = Dictionary(uniqueKeysWithValues: from.queues.map { ($0.name, $0.requests) })
        for queue in to.queues {
            table.add(
                queue.name, pair.perSecond(queue.requests, before[queue.name] ?? 0),
                "\(queue.requests)")
        }
        return table.lines
    }

    /// The queues in one line; when there is no room for all, the busiest.
    private func queueLine(_ columns: Int) -> String {
        let before = Dictionary(uniqueKeysWithValues: from.queues.map { ($0.name, $0.requests) })
        let rates = to.queues.map {
            (name: $0.name, rate: pair.rate($0.requests, before[$0.name] ?? 0))
        }
        func line(_ rates: [(name: String, rate: Double)]) -> String {
            "queues   "
                + rates.map { "\($0.name) \(Numbers.fixed($0.rate, 0))/s" }
                .joined(separator: "  ")
        }
        let all = line(rates)
        return all.count <= columns ? all : line(rates.sorted { $0.rate > $1.rate })
    }

    private static func table(_ users: [MountHolder]) -> [String] {
        var table = Table(("PID", .right), ("USED BY", .left))
        for user in users.prefix(8) { table.add("\(user.processID)", user.command) }
        if users.isEmpty { table.add("-", "nobody") }
        return table.lines
    }

    private var files: [HotNode] { hot.filter { $0.kind != "directory" } }
    private var directories: [HotNode] { hot.filter { $0.kind == "directory" } }

    /// - Parameter columns: what there is; a path that is longer keeps its end.
    private func table(_ title: String, _ nodes: [HotNode], columns: Int = .max) -> [String] {
        var table = Table(("SHARE", .right), (title, .left))
        for node in nodes.prefix(8) {
            let path = node.path.map { ShellQuote.quoted($0) } ?? "inode \(node.nodeID)"
            let room = max(8, columns - 9)
            table.add(
                Numbers.percent(node.share),
                path.count <= room ? path : "...\(path.suffix(room - 3))")
        }
        return table.lines
    }
}
