import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly stat DIR`
struct StatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stat",
        abstract: "Tell what a mount holds and has done.",
        discussion: """
            Bytes and inodes with their limits, memory, requests by opcode and by queue, and \
            service times: from a request's being taken by the server to its answer. What the \
            kernel takes on both sides is not in them.

            EXAMPLE:
              mayfly stat /mnt/fast
              mayfly stat /mnt/fast --json | jq .bytes.used

            EXIT STATUS:
              0    done
              1    not in a Mayfly mount, another user's, or wrong arguments
              32   the server is dead or does not answer
            """)

    @Argument(help: .ownMount, completion: .mounts)
    var directory: PathBytes = "."

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let report = try MountControl(directory).report()
        if json {
            Console.write(ControlJSON.encoded(report, isPretty: true))
        } else {
            for line in Self.lines(report) { Console.show(line) }
        }
    }

    static func lines(_ report: MountReport) -> [String] {
        let bytes = report.bytes
        let inodes = report.inodes
        let memory = report.memory
        let fill = bytes.limit == 0 ? 0 : Double(bytes.used) / Double(bytes.limit)
        let payload = Numbers.bytes(UInt64(report.payloadBytes))
        let way =
            report.transport == "ring"
            ? "io_uring, \(report.queueDepth) entries of \(payload) per queue" : "/dev/fuse"
        var lines = [
            "mount      \(ShellQuote.quoted(report.mountpoint))",
            "server     pid \(report.processID), mayfly \(report.version), "
                + "up \(Numbers.duration(report.uptimeNanoseconds))",
            "transport  \(way)",
            "profile    \(profile(report.options ?? []))",
            "bytes      \(Numbers.bytes(bytes.used)) of \(Numbers.bytes(bytes.limit)) "
                + "(\(Numbers.percent(fill))), \(Numbers.bytes(bytes.peak)) at most so far",
            "inodes     \(inodes.used) of \(inodes.limit), \(inodes.peak) at most so far",
            "memory     \(Self.memory(memory)); at most \(Numbers.bytes(memory.maximumBytes))",
            "requests   \(report.requests), \(Numbers.bytes(report.readBytes)) read, "
                + "\(Numbers.bytes(report.writtenBytes)) written",
        ]
        if let survival = report.survival { lines.append("survives   \(Self.survival(survival))") }
        if let image = report.image {
            lines.append(
                "image      \(ShellQuote.quoted(image.path))"
                    + (image.isChanged
                        ? ": changed since it was mounted, and read errors follow" : ""))
            if let arrival = image.arrival { lines.append("content    \(Self.arrival(arrival))") }
        }
        let faults = report.faults
        if faults != MountReport.Faults() {
            lines.append(
                "faults     \(faults.droppedEntries) entries dropped, \(faults.rejectedReplies) "
                    + "replies rejected, \(faults.strayCompletions) completions stray, "
                    + "\(faults.malformedRequests) requests malformed")
        }
        return lines + [""] + operations(report) + [""] + queues(report)
    }

    private static func arrival(_ arrival: MountReport.Arrival) -> String {
        let here =
            "\(Numbers.bytes(arrival.hereBytes)) of \(Numbers.bytes(arrival.totalBytes)) are here"
        switch arrival.state {
        case "complete": return "all of the image is here"
        case "away":
            return
                "\(here), and no more comes (\(arrival.reason ?? "nothing is heard")): reading the rest answers EIO; "
                + "it is tried again"
        case "ended":
            return
                "\(here), and no more comes, as the process that brought it was killed: mount it anew"
        default: return "\(here), and more comes"
        }
    }

    private static func survival(_ survival: MountReport.Survival) -> String {
        let deaths =
            switch survival.deaths {
            case 0: "no server has died so far"
            case 1: "1 server has died so far"
            default: "\(survival.deaths) servers have died so far"
            }
        guard let guardian = survival.guardian else {
            return
                "no longer: its guardian was killed, so the content ends with the server; \(deaths)"
        }
        return "guardian pid \(guardian), \(deaths)"
    }

    /// The profile of a mount, and what it stands for.
    private static func profile(_ words: [String]) -> String {
        let name = words.first { $0.hasPrefix("profile=") }?.dropFirst("profile=".count)
        guard let profile = name.flatMap({ MountConfiguration.Profile(rawValue: String($0)) })
        else { return "exact" }
        let options = profile.options.filter { words.contains($0) }
        return ([profile.rawValue] + (options.isEmpty ? [] : [options.joined(separator: ", ")]))
            .joined(separator: ": ")
    }

    private static func memory(_ memory: MountReport.Memory) -> String {
        let resident = "\(Numbers.bytes(memory.residentBytes)) resident"
        guard let parts = memory.parts else { return resident }
        let named = [
            (parts.arena, "arena"), (parts.tables, "tables"), (parts.ring, "ring"),
            (parts.snapshots, "snapshots"), (parts.program, "program"),
        ]
        return "\(resident): "
            + named.map { "\(Numbers.bytes($0.0)) \($0.1)" }.joined(separator: ", ")
    }

    private static func operations(_ report: MountReport) -> [String] {
        var table = Table(
            ("OPCODE", .left), ("REQUESTS", .right), ("ERRORS", .right), ("MEAN", .right),
            ("P50", .right), ("P90", .right), ("P99", .right), ("P99.9", .right))
        func add(_ name: String, _ count: UInt64, _ errors: UInt64, _ time: MountReport.Latency) {
            table.add(
                name, "\(count)", "\(errors)", Numbers.time(time.mean), Numbers.time(time.p50),
                Numbers.time(time.p90), Numbers.time(time.p99), Numbers.time(time.p999))
        }
        for operation in report.operations.sorted(by: { $0.count > $1.count }) {
            add(operation.name, operation.count, operation.errors, operation.latency)
        }
        add("all", report.requests, report.operations.reduce(0) { $0 + $1.errors }, report.latency)
        return table.lines
    }

    private static func queues(_ report: MountReport) -> [String] {
        var table = Table(("QUEUE", .left), ("REQUESTS", .right))
        for queue in report.queues { table.add(queue.name, "\(queue.requests)") }
        return table.lines
    }
}
