// What the control plane asks of a mounted file system. Nothing here runs on a request's thread.

internal import CMayflyMemory
internal import FuseTransport
internal import Glibc
internal import InodeStore
internal import MayflyArena
internal import MayflyHost
internal import MayflyServing
internal import Synchronization

extension MountedFileSystem {
    /// How full it is.
    static func usage(_ parts: Parts) -> (bytes: MountReport.Usage, inodes: MountReport.Usage) {
        let store = parts.observer.statistics
        let pageBytes = SizeText.pageBytes
        let peak = parts.maintenance.peak
        return (
            MountReport.Usage(
                used: (store.pages - store.pagesFree) * pageBytes,
                peak: peak.pages * pageBytes, limit: store.pages * pageBytes),
            MountReport.Usage(
                used: store.inodes - store.inodesFree, peak: peak.inodes, limit: store.inodes)
        )
    }

    /// What it is, holds and has done; nil once it is unmounted.
    public func report() -> MountReport? {
        whileMounted { parts in
            let usage = Self.usage(parts)
            let operations = Self.operations(parts.counters)
            var whole = LatencyHistogram()
            for operation in operations { whole += operation.histogram }
            let transferred = parts.counters.map(\.transferred)
            let faults = parts.session.faults
            let resident = Self.residentBytes
            let taken = parts.store.memory
            let snapshotBytes = shelf.withLock { shelf in
                shelf.items.reduce(0) { $0 + $1.record.privateBytes }
            }
            return MountReport(
                version: MayflyVersion.text, mountpoint: place,
                connection: parts.session.connection, processID: getpid(),
                transport: parts.session.transportInUse.rawValue,
                queueDepth: summary.queueDepth, payloadBytes: summary.payloadBytes,
                uptimeNanoseconds: uptimeNanoseconds,
                bytes: usage.bytes, inodes: usage.inodes,
                memory: MountReport.Memory(
                    arenaBytes: parts.store.arena.chunkBytesInUse,
                    ringBytes: summary.ringMemoryBytes, residentBytes: resident,
                    maximumBytes: parts.store.maximumBytes + summary.ringMemoryBytes,
                    parts: MountReport.Memory.Parts(
                        arena: taken.arenaBytes, tables: taken.tableBytes,
                        ring: parts.session.residentRingBytes, snapshots: snapshotBytes,
                        of: resident)),
                requests: parts.counters.reduce(0) { $0 + $1.total },
                readBytes: transferred.reduce(0) { $0 + $1.read },
                writtenBytes: transferred.reduce(0) { $0 + $1.written },
                latency: MountReport.Latency(whole), latencyBuckets: whole.buckets,
                operations: operations.map(\.report), queues: Self.queues(parts),
                faults: MountReport.Faults(
                    droppedEntries: faults.droppedEntries,
                    rejectedReplies: faults.rejectedReplies,
                    strayCompletions: faults.strayCompletions,
                    malformedRequests: faults.malformedRequests),
                image: image.map {
                    MountReport.Image(
                        path: $0.name, isChanged: $0.isChanged, arrival: Self.arrival(of: $0))
                },
                options: configuration.optionWords, errors: Self.errors(parts.counters),
                survival: survival(parts.store))
        }
    }

    private static func arrival(of image: SnapshotBase) -> MountReport.Arrival? {
        guard let report = image.mapping.pages?.arrival?.report else { return nil }
        let state =
            switch report.state {
            case .coming: "coming"
            case .away: "away"
            case .all: "complete"
            case .ended: "ended"
            }
        return MountReport.Arrival(
            state: state, hereBytes: report.hereBytes, totalBytes: report.totalBytes,
            reason: report.reason.isEmpty ? nil : report.reason)
    }

    /// The inodes that most of the last requests were about, the hottest first.
    ///
    /// - Complexity: O(limit).
    public func hotNodes(limit: Int) -> [HotNode] {
        whileMounted { parts in
            var samples: [UInt64: UInt64] = [:]
            for counter in parts.counters {
                for hot in counter.hot { samples[hot.node, default: 0] += hot.samples }
            }
            let all = samples.values.reduce(0, +)
            let hottest = samples.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(limit)
            let observer = parts.observer
            return hottest.compactMap { node, count in
                // What has been removed meanwhile is hot no longer.
                guard let mode = observer.mode(of: NodeID(rawValue: node)) else { return nil }
                return HotNode(
                    nodeID: NodeID(rawValue: node).inodeNumber, kind: Self.kind(mode),
                    path: observer.path(of: NodeID(rawValue: node), atMost: HotNode.pathBytes),
                    share: Double(count) / Double(all))
            }
        } ?? []
    }

    /// Looks at everything in the mount between two requests; those that come meanwhile wait. Nil
    /// once it is unmounted.
    ///
    /// It is not done in a snapshot: that would leave out what belongs to the running mount (locks,
    /// references, files that are open and have no name), and the first one copies everything.
    ///
    /// - Complexity: O(everything), in time and memory: about a second for a million files.
    public func check() -> CheckSummary? {
        let start = cmem_monotonic_nanoseconds()
        return whileMounted { parts in noted(Self.summary(parts.observer.check(), since: start)) }
    }

    /// What the check has read of the content of a changed image may have been anything.
    private func noted(_ summary: CheckSummary) -> CheckSummary {
        guard let image, image.isChanged else { return summary }
        var summary = summary
        summary.problems = ["the image \(image.name) was changed"]
        return summary
    }

    private static func summary(_ report: CheckReport, since start: UInt64) -> CheckSummary {
        CheckSummary(
            problems: report.problems, inodes: report.inodes, orphans: report.orphans,
            directories: report.directories, entries: report.dentries,
            contentBytes: report.pages * SizeText.pageBytes,
            nanoseconds: cmem_monotonic_nanoseconds() - start)
    }

    /// Changes the limits while mounted.
    ///
    /// - Throws: `.usage` when more is in use, or the reservation has no room; nothing that could
    ///   not be done is done, but of two changes the first may be.
    public func resize(_ change: LimitChange) throws(MountError) {
        let refusal: MountError?? = whileMounted { parts in
            if let bytes = change.sizeBytes {
                let pages = bytes / SizeText.pageBytes
                if pages == 0 {
                    return MountError(.usage, code: .badSize, "the size is 0: give at least 4k")
                }
                if let refusal = parts.store.resize(pages: pages) {
                    return Self.error(refusal, unit: SizeText.pageBytes, setting: .size)
                }
                followSize(bytes, parts)
            }
            if let inodes = change.inodes {
                if inodes == 0 {
                    return MountError(.usage, code: .badSize, "the inodes are 0: give at least 1")
                }
                if let refusal = parts.store.resize(inodes: inodes) {
                    return Self.error(refusal, unit: nil, setting: .inodes)
                }
            }
            // What may be taken follows at once, whether requests come or not.
            parts.maintenance.allowWhatThereIs()
            return nil
        }
        guard let refusal else { throw MountError(.mount, code: .notMounted, "the mount is gone") }
        if let refusal { throw refusal }
        if events.isHeard {
            var event = stateEvent(.resized)
            event.requests = nil
            events.note(event)
        }
    }

    /// Inodes that nobody gave a number for grow with the size. Where they cannot there are as many as before.
    private func followSize(_ bytes: UInt64, _ parts: Parts) {
        guard configuration.inodes == nil else { return }
        let inodes = SystemMemory.current().defaultInodes(sizeBytes: bytes)
        if inodes > parts.store.limits.inodes { _ = parts.store.resize(inodes: inodes) }
    }

    private static func error(
        _ refusal: LimitRefusal, unit: UInt64?, setting: MountSetting
    ) -> MountError {
        func text(_ amount: UInt64) -> String {
            guard let unit else { return "\(amount) inodes" }
            return "\(amount * unit) bytes (\(SizeText.described(bytes: amount * unit)))"
        }
        switch refusal {
        case .inUse(let used):
            return MountError(
                .usage, code: .badSize,
                "\(text(used)) are in use: remove files first, or give a larger \(setting: setting)"
            )
        case .reservation(let most):
            return MountError(
                .usage, code: .badSize,
                "\(text(most)) are the most that this mount reserved room for: give no more, or "
                    + "mount anew with a larger \(setting: setting)")
        }
    }

    private static func operations(
        _ counters: [RequestCounters]
    ) -> [(report: MountReport.Operation, histogram: LatencyHistogram)] {
        (0..<RequestCounters.count).compactMap { opcode in
            let count = counters.reduce(0) { $0 + $1[opcode] }
            guard count > 0 else { return nil }
            var histogram = LatencyHistogram()
            for counter in counters { counter.add(opcode, to: &histogram) }
            let number = UInt32(opcode)
            let report = MountReport.Operation(
                name: Opcode(rawValue: number).map { "\($0)" } ?? "opcode\(number)",
                opcode: number, count: count,
                errors: counters.reduce(0) { $0 + $1.errors(opcode) },
                latency: MountReport.Latency(histogram))
            return (report, histogram)
        }
    }

    private static func errors(_ counters: [RequestCounters]) -> [MountReport.ErrorCount] {
        (0..<Int32(RequestCounters.errnoCount)).compactMap { errno in
            let count = counters.reduce(0) { $0 + $1.errors(errno: errno) }
            if count == 0 { return nil }
            let name = errno == 0 ? "other" : FaultOperations.name(ofErrno: errno)
            return MountReport.ErrorCount(errno: name, count: count)
        }
    }

    private static func queues(_ parts: Parts) -> [MountReport.Queue] {
        let rings = parts.session.queueCount
        return parts.counters.enumerated().map { index, counter in
            MountReport.Queue(
                name: index < rings ? "ring-\(index)" : "dev-\(index - rings)",
                requests: counter.total)
        }
    }

    private static func kind(_ mode: UInt32) -> String {
        switch mode & FileMode.typeMask {
        case FileMode.regular: "file"
        case FileMode.directory: "directory"
        case FileMode.symlink: "link"
        default: "other"
        }
    }

    /// - Source: proc_pid_statm(5): the second field, in pages.
    private static var residentBytes: UInt64 {
        let fields = HostFile.text(at: "/proc/self/statm")?.split(separator: " ") ?? []
        let pages = fields.count > 1 ? UInt64(fields[1]) ?? 0 : 0
        return pages * UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))
    }
}

extension LatencyHistogram {
    /// The buckets that are not empty: end and count.
    fileprivate var buckets: [[UInt64]] {
        counts.enumerated().compactMap { index, count in
            count == 0 ? nil : [LatencyBuckets.end(index), count]
        }
    }
}
