import Mayfly

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

    func lines(isColored: Bool) -> [String] {
        func head(_ lines: [String]) -> [String] {
            guard isColored, let first = lines.first else { return lines }
            return ["\(Self.bold)\(first)\(Self.plain)"] + lines.dropFirst()
        }
        return head(summary) + [""] + head(operations) + [""] + head(queues) + [""]
            + head(hottest("HOT FILES") { $0.kind != "directory" }) + [""]
            + head(hottest("HOT DIRECTORIES") { $0.kind == "directory" })
    }

    private var seconds: Double {
        max(0.001, Double(to.uptimeNanoseconds - min(from.uptimeNanoseconds, to.uptimeNanoseconds)) / 1e9)
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
            "mayfly \(Console.printable(to.mountpoint))  up \(Numbers.duration(to.uptimeNanoseconds))"
                + "  pid \(to.processID)  \(to.transport)",
            "requests \(perSecond(to.requests, from.requests))/s  "
                + "read \(bytesPerSecond(to.readBytes, from.readBytes))  "
                + "written \(bytesPerSecond(to.writtenBytes, from.writtenBytes))  "
                + "p50 \(Numbers.time(percentile(0.5)))  p99 \(Numbers.time(percentile(0.99)))",
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

    private func hottest(_ title: String, _ isWanted: (HotNode) -> Bool) -> [String] {
        var table = Table(("SHARE", .right), (title, .left))
        for node in hot.filter(isWanted).prefix(8) {
            table.add(
                Numbers.percent(node.share),
                Console.printable(node.path ?? "inode \(node.nodeID)"))
        }
        return table.lines
    }
}
