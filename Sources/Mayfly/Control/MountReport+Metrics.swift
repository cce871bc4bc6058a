// The report in the text format of Prometheus, at /metrics.
//
// Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.

extension MountReport {
    /// One sample for each line, in base units: bytes and seconds.
    public var metrics: String {
        var text = MetricText()
        add(to: &text)
        return text.lines
    }

    /// Adds the samples of this mount, with the labels of `text`.
    func add(to text: inout MetricText) {
        text.add(
            "mayfly_info", "gauge", "What serves the mount.",
            [
                (
                    [
                        ("mountpoint", mountpoint), ("transport", transport),
                        ("version", version),
                    ], "1"
                )
            ])
        text.gauge("mayfly_uptime_seconds", "Since mounting.", Self.seconds(uptimeNanoseconds))
        text.gauge("mayfly_size_bytes", "Limit of content.", "\(bytes.limit)")
        text.gauge("mayfly_used_bytes", "Content.", "\(bytes.used)")
        text.gauge("mayfly_used_bytes_peak", "Most content there was.", "\(bytes.peak)")
        text.gauge("mayfly_inodes_limit", "Limit of inodes.", "\(inodes.limit)")
        text.gauge("mayfly_inodes_used", "Inodes.", "\(inodes.used)")
        text.gauge("mayfly_inodes_used_peak", "Most inodes there were.", "\(inodes.peak)")
        text.gauge("mayfly_arena_bytes", "Chunks in use.", "\(memory.arenaBytes)")
        text.gauge("mayfly_ring_bytes", "Buffers of the ring.", "\(memory.ringBytes)")
        text.gauge("mayfly_resident_bytes", "Memory of the server.", "\(memory.residentBytes)")
        text.gauge(
            "mayfly_memory_limit_bytes", "The most that arena and ring can take.",
            "\(memory.maximumBytes)")
        text.add(
            "mayfly_transferred_bytes_total", "counter", "Bytes of READ and WRITE.",
            [
                ([("direction", "read")], "\(readBytes)"),
                ([("direction", "write")], "\(writtenBytes)"),
            ])
        text.add(
            "mayfly_requests_total", "counter", "Requests answered, by opcode.",
            operations.map { ([("opcode", $0.name)], "\($0.count)") })
        text.add(
            "mayfly_request_errors_total", "counter",
            "Requests answered by an errno; ENOSYS and ENODATA are normal answers.",
            (errors ?? []).map { ([("errno", $0.errno)], "\($0.count)") })
        text.add(
            "mayfly_queue_requests_total", "counter", "Requests answered, by queue.",
            queues.map { ([("queue", $0.name)], "\($0.requests)") })
        text.add(
            "mayfly_wire_faults_total", "counter", "What went wrong on the wire.",
            [
                ([("kind", "dropped_entry")], "\(faults.droppedEntries)"),
                ([("kind", "rejected_reply")], "\(faults.rejectedReplies)"),
                ([("kind", "stray_completion")], "\(faults.strayCompletions)"),
                ([("kind", "malformed_request")], "\(faults.malformedRequests)"),
            ])
        text.histogram(
            "mayfly_request_duration_seconds", "Time in the server, of all requests.",
            octaves, count: latency.count, sum: Self.seconds(latency.total))
    }

    /// Requests that took less than 256 ns, 512 ns and so on to 16 s; the buckets end there too.
    private var octaves: [(bound: String, count: UInt64)] {
        (8...34).map { power in
            let bound = UInt64(1) << UInt64(power)
            let count = latencyBuckets.reduce(0) { $1[0] <= bound ? $0 + $1[1] : $0 }
            return (Self.seconds(bound), count)
        }
    }

    /// Seconds with nine decimals, exactly.
    private static func seconds(_ nanoseconds: UInt64) -> String {
        let fraction = "\(nanoseconds % 1_000_000_000)"
        let padding = String(repeating: "0", count: 9 - fraction.count)
        return "\(nanoseconds / 1_000_000_000).\(padding)\(fraction)"
    }
}

/// Lines of the text format, in which the samples of one name stand together, whoever adds them.
struct MetricText {
    private struct Family {
        var header: String
        var samples = ""
    }

    private var families: [String: Family] = [:]
    private var names: [String] = []
    /// Of every sample that is added.
    var labels: [(String, String)] = []

    /// The whole text.
    var lines: String {
        names.reduce(into: "") { text, name in
            guard let family = families[name] else { return }
            text += family.header + family.samples
        }
    }

    mutating func add(
        _ name: String, _ type: String, _ help: String,
        _ samples: [(labels: [(String, String)], value: String)]
    ) {
        begin(name, type, help)
        for sample in samples { line(name, name, sample.labels, sample.value) }
    }

    mutating func gauge(_ name: String, _ help: String, _ value: String) {
        add(name, "gauge", help, [([], value)])
    }

    mutating func histogram(
        _ name: String, _ help: String, _ buckets: [(bound: String, count: UInt64)],
        count: UInt64, sum: String
    ) {
        begin(name, "histogram", help)
        for bucket in buckets {
            line(name, "\(name)_bucket", [("le", bucket.bound)], "\(bucket.count)")
        }
        line(name, "\(name)_bucket", [("le", "+Inf")], "\(count)")
        line(name, "\(name)_sum", [], sum)
        line(name, "\(name)_count", [], "\(count)")
    }

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        if families[name] != nil { return }
        names.append(name)
        families[name] = Family(header: "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n")
    }

    private mutating func line(
        _ family: String, _ name: String, _ labels: [(String, String)], _ value: String
    ) {
        let list = (self.labels + labels).map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
            .joined(separator: ",")
        families[family]?.samples +=
            list.isEmpty ? "\(name) \(value)\n" : "\(name){\(list)} \(value)\n"
    }

    private static func escaped(_ text: String) -> String {
        // Not by characters: an accent would hide the quote in front of it.
        text.unicodeScalars.reduce(into: "") { result, scalar in
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
}
