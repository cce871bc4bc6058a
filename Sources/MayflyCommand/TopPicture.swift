import Mayfly
import MayflyHost

/// One picture of `mayfly top`: what happened between two reports.
struct TopPicture {
    let from: MountReport
    let to: MountReport
    let hot: [HotNode]

    init(from: MountReport, to: MountReport, hot: [HotNode]) {
        self.from = from
        self.to = to
        self.hot = hot
    }

    private static let bold = "\u{1B}[1m"
    private static let plain = "\u{1B}[0m"

    /// Everything, one part below the other.
    var lines: [String] {
        summary + [""] + operations + [""] + queues + [""] + table("HOT FILES", files) + [""]
            + table("HOT DIRECTORIES", directories)
    }

    /// For a terminal of that size: every part is there, and what is short of room has its best.
    func lines(rows: Int, columns: Int) -> [String] {
        let top = summary + [queueLine(columns)]
        let hot = beside(
            table("HOT FILES", files, columns: columns / 2 - 1),
            table("HOT DIRECTORIES", directories, columns: columns / 2 - 1), columns: columns)
        let operations = operations
        let room = max(4, rows - top.count - 2)
        let hotRows = min(hot.count, max(room / 2, room - operations.count))
        let parts = [top, Array(operations.prefix(room - hotRows)), Array(hot.prefix(hotRows))]
        return Array(parts.map { Self.headed($0, columns) }.joined(separator: [""]))
    }

    /// Lines that fit, the first of them bold.
    private static func headed(_ lines: [String], _ columns: Int) -> [String] {
        let cut = lines.map { String($0.prefix(columns)) }
        return cut.prefix(1).map { "\(bold)\($0)\(plain)" } + cut.dropFirst()
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

    private var seconds: Double {
        let start = min(from.uptimeNanoseconds, to.uptimeNanoseconds)
        return max(0.001, Double(to.uptimeNanoseconds - start) / 1e9)
    }

    private func rate(_ now: UInt64, _ before: UInt64) -> Double {
        Double(now - min(now, before)) / seconds
    }

    private func perSecond(_ now: UInt64, _ before: UInt64) -> String {
        Numbers.fixed(rate(now, before), 0)
    }

    private func bytesPerSecond(_ now: UInt64, _ before: UInt64) -> String {
        "\(Numbers.bytes(UInt64(rate(now, before))))/s"
    }

    private var summary: [String] {
        let memory = to.memory
        return [
            "mayfly \(ShellQuote.quoted(to.mountpoint))  "
                + "up \(Numbers.duration(to.uptimeNanoseconds))  pid \(to.processID)  "
                + to.transport,
            "requests \(perSecond(to.requests, from.requests))/s  "
                + "p50 \(Numbers.time(percentile(0.5)))  p99 \(Numbers.time(percentile(0.99)))  "
                + "read \(bytesPerSecond(to.readBytes, from.readBytes))  "
                + "written \(bytesPerSecond(to.writtenBytes, from.writtenBytes))",
            "bytes    \(Numbers.bytes(to.bytes.used)) of \(Numbers.bytes(to.bytes.limit))  "
                + "inodes \(to.inodes.used) of \(to.inodes.limit)",
            "memory   \(Numbers.bytes(memory.residentBytes)) resident  "
                + "\(Numbers.bytes(memory.arenaBytes)) arena  "
                + "\(Numbers.bytes(memory.ringBytes)) ring",
        ]
    }

    /// Of the requests between the reports.
    private func percentile(_ share: Double) -> UInt64 {
        var counts: [UInt64: UInt64] = [:]
        for bucket in to.latencyBuckets where bucket.count == 2 { counts[bucket[0]] = bucket[1] }
        for bucket in from.latencyBuckets where bucket.count == 2 {
            let now = counts[bucket[0]] ?? 0
            counts[bucket[0]] = now - min(now, bucket[1])
        }
        let all = counts.values.reduce(0, +)
        guard all > 0 else { return 0 }
        let rank = max(1, UInt64((Double(all) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (bound, count) in counts.sorted(by: { $0.key < $1.key }) {
            seen += count
            if seen >= rank { return bound }
        }
        return 0
    }

    private var operations: [String] {
        var table = Table(
            ("OPCODE", .left), ("RATE/S", .right), ("MEAN", .right), ("TOTAL", .right),
            ("P99 SO FAR", .right))
        let before = Dictionary(uniqueKeysWithValues: from.operations.map { ($0.opcode, $0) })
        let changed = to.operations
            .map { (now: $0, rate: rate($0.count, before[$0.opcode]?.count ?? 0)) }
            .sorted { ($0.rate, $0.now.count) > ($1.rate, $1.now.count) }
        for (now, rate) in changed.prefix(12) {
            let old = before[now.opcode]?.latency
            let count = now.latency.count - min(now.latency.count, old?.count ?? 0)
            let time = now.latency.total - min(now.latency.total, old?.total ?? 0)
            let mean = count == 0 ? 0 : time / count
            table.add(
                now.name, Numbers.fixed(rate, 0), count == 0 ? "-" : Numbers.time(mean),
                "\(now.count)", Numbers.time(now.latency.p99))
        }
        return table.lines
    }

    private var queues: [String] {
        var table = Table(("QUEUE", .left), ("RATE/S", .right), ("TOTAL", .right))
        let before = Dictionary(uniqueKeysWithValues: from.queues.map { ($0.name, $0.requests) })
        for queue in to.queues {
            table.add(
                queue.name, perSecond(queue.requests, before[queue.name] ?? 0),
                "\(queue.requests)")
        }
        return table.lines
    }

    /// The queues in one line; when there is no room for all, the busiest.
    private func queueLine(_ columns: Int) -> String {
        let before = Dictionary(uniqueKeysWithValues: from.queues.map { ($0.name, $0.requests) })
        let rates = to.queues.map { (name: $0.name, rate: rate($0.requests, before[$0.name] ?? 0)) }
        func line(_ rates: [(name: String, rate: Double)]) -> String {
            "queues   "
                + rates.map { "\($0.name) \(Numbers.fixed($0.rate, 0))/s" }
                .joined(separator: "  ")
        }
        let all = line(rates)
        return all.count <= columns ? all : line(rates.sorted { $0.rate > $1.rate })
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
