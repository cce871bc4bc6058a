import Glibc
import MayflyHTTP
import MayflyTestSupport
import Synchronization
import Testing

@testable import Mayfly

/// The control socket of a mount in this process.
@Suite(.serialized, .enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
struct ControlServerTests {
    @Test func aReportTellsWhatWasDone() throws {
        let mount = try ControlledMount()
        var before = try mount.client.get(MountReport.self, "/v1/mount")
        // A file that the mount itself made and removed counts until the kernel forgets it.
        for _ in 0..<1000 where before.inodes.used > 1 {
            usleep(10_000)
            before = try mount.client.get(MountReport.self, "/v1/mount")
        }
        // Enough for the sample that is timed to have some.
        for _ in 0..<100 { try write("\(mount.mountpoint)/file", bytes: 20_000) }
        let now = try mount.client.get(MountReport.self, "/v1/mount")
        #expect(now.mountpoint == mount.mountpoint)
        #expect(now.connection == mount.connection && now.processID == getpid())
        #expect(now.bytes.limit == 64 << 20 && now.inodes.limit == 1000)
        #expect(now.bytes.used == before.bytes.used + 20480)
        #expect(now.inodes.used == before.inodes.used + 1)
        #expect(now.writtenBytes == 2_000_000)
        #expect(now.requests > before.requests)
        let writes = try #require(now.operations.first { $0.name == "write" })
        #expect(writes.opcode == 16 && writes.count == 100 && writes.errors == 0)
        #expect(writes.latency.count > 0 && writes.latency.count < writes.count / 2)
        #expect(writes.latency.p50 > 0 && writes.latency.p50 <= writes.latency.p99)
        #expect(writes.latency.p99 <= writes.latency.p999)
        #expect(now.operations.reduce(0) { $0 + $1.count } == now.requests)
        #expect(now.queues.reduce(0) { $0 + $1.requests } == now.requests)
        #expect(now.latencyBuckets.reduce(0) { $0 + $1[1] } == now.latency.count)
    }

    @Test func metricsCanBeRead() throws {
        let mount = try ControlledMount()
        try write("\(mount.mountpoint)/file", bytes: 5000)
        let bytes = try mount.client.exchange("GET", "/metrics")
        let samples = try Metrics.parsed(String(decoding: bytes, as: UTF8.self))
        #expect(samples["mayfly_size_bytes"] == Double(64 << 20))
        #expect(samples["mayfly_used_bytes"] == 8192)
        #expect(samples["mayfly_transferred_bytes_total{direction=\"write\"}"] == 5000)
        #expect(try #require(samples["mayfly_requests_total{opcode=\"write\"}"]) > 0)
        let count = try #require(samples["mayfly_request_duration_seconds_count"])
        let all = samples["mayfly_request_duration_seconds_bucket{le=\"+Inf\"}"]
        #expect(all == count && count > 0)
    }

    @Test func hotFilesHaveNames() throws {
        let mount = try ControlledMount()
        let folder = "\(mount.mountpoint)/a folder"
        try #require(unsafe mkdir(folder, 0o755) == 0)
        try write("\(folder)/hot", bytes: 10)
        for _ in 0..<2000 { askUncached("\(folder)/hot") }
        let hot = try mount.client.get([HotNode].self, "/v1/hot")
        #expect(hot.first?.path == "/a folder/hot" && hot.first?.kind == "file")
        #expect(hot.reduce(0) { $0 + $1.share } <= 1.001)
        unsafe unlink("\(folder)/hot")
        unsafe rmdir(folder)
    }

    @Test func limitsChangeUpAndDownToTheEdge() throws {
        let mount = try ControlledMount()
        try write("\(mount.mountpoint)/file", bytes: 10 * 4096)
        func resize(_ change: LimitChange) -> String {
            do throws(ControlError) {
                let report = try mount.client.post(MountReport.self, "/v1/limits", change)
                return "\(report.bytes.limit / 4096) \(report.inodes.limit)"
            } catch {
                if case .refused(let text, _) = error { return text.description }
                return "\(error)"
            }
        }
        #expect(resize(LimitChange(sizeBytes: 9 * 4096)).hasPrefix("40960 bytes (40 KiB) are in "))
        #expect(resize(LimitChange(sizeBytes: 10 * 4096)) == "10 1000")
        #expect(throws: (any Error).self) { try write("\(mount.mountpoint)/more", bytes: 1) }
        #expect(resize(LimitChange(sizeBytes: 11 * 4096)) == "11 1000")
        try write("\(mount.mountpoint)/more", bytes: 1)
        #expect(resize(LimitChange(inodes: 2)).hasPrefix("3 inodes are in use"))
        #expect(resize(LimitChange(inodes: 3)) == "11 3")
        #expect(throws: (any Error).self) { try write("\(mount.mountpoint)/third", bytes: 0) }
        #expect(resize(LimitChange(sizeBytes: 1 << 30, inodes: 5000)) == "\(1 << 18) 5000")
        #expect(resize(LimitChange(sizeBytes: 1 << 62)).contains("the most that this mount"))
        #expect(resize(LimitChange(inodes: 1 << 40)).contains("the most that this mount"))
        #expect(resize(LimitChange(sizeBytes: 0)).hasPrefix("the size is 0"))
        #expect(resize(LimitChange(inodes: 0)).hasPrefix("the inodes are 0"))
        #expect(resize(LimitChange()) == "\(1 << 18) 5000")
    }

    @Test func anotherUserIsRefusedByTheFolderAndByTheServer() throws {
        let mount = try ControlledMount()
        let path = mount.server.path
        let answer = Mutex<String?>("nothing was asked")
        // Nobody may look into the folder.
        try asUser(65534) {
            #expect(throws: MountError(.system, "connect: \(EACCES)")) { try RawClient(path) }
        }
        // If they could, the server would not talk to them.
        unsafe chmod(mount.folder.path, 0o755)
        unsafe chmod(path, 0o666)
        try asUser(65534) {
            let client = try RawClient(path)
            client.send(Array("GET /v1/mount HTTP/1.0\r\n\r\n".utf8))
            answer.withLock { $0 = client.answer(milliseconds: 60_000) }
        }
        #expect(answer.withLock { $0 } == "")
        #expect((try mount.client.get(MountReport.self, "/v1/mount")).processID == getpid())
    }

    @Test(
        arguments: [
            "\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
            "GET /v1/mount HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GET /v1/mount HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /" + String(repeating: "x", count: 100_000) + " HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nX: " + String(repeating: "y", count: 100_000) + "\r\n\r\n",
            "GET / HTTP/1.1\r\n" + String(repeating: "a: b\r\n", count: 10_000) + "\r\n",
            "POST /v1/limits HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"
                + String(repeating: "z", count: 100_000),
            "POST /v1/limits HTTP/1.1\r\nContent-Length: 4\r\n\r\nnull",
            "POST /v1/limits HTTP/1.1\r\nContent-Length: 18\r\n\r\n{\"sizeBytes\":-4096}",
            "DELETE /v1/mount HTTP/1.1\r\n\r\n", "GET /nothing HTTP/1.1\r\n\r\n",
        ])
    func garbageIsAnsweredByAnErrorOrTheEnd(_ garbage: String) throws {
        let mount = try ControlledMount()
        let client = try RawClient(mount.server.path)
        client.send(Array(garbage.utf8))
        let answer = try #require(client.answer(milliseconds: 60_000), "it keeps us waiting")
        #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(answer.prefix(100))")
        #expect((try mount.client.get(MountReport.self, "/v1/mount")).bytes.limit == 64 << 20)
    }

    @Test func clientsThatSayNothingSlowNoRequest() throws {
        let mount = try ControlledMount()
        try write("\(mount.mountpoint)/file", bytes: 10)
        let calm = medianNanoseconds(of: mount)
        let idle = try (0..<HTTPListener.connectionLimit).map { _ in
            let client = try RawClient(mount.server.path)
            client.send(Array("GET /v1/mou".utf8))
            return client
        }
        // One too many is turned away at once.
        let late = try RawClient(mount.server.path)
        #expect(late.answer(milliseconds: 60_000) == "")
        let crowded = medianNanoseconds(of: mount)
        // Shared machines are noisy; a request that waited for a client would take seconds.
        #expect(crowded < 10 * calm + 100_000_000, "\(calm) ns, then \(crowded) ns")
        withExtendedLifetime(idle) {}
    }

    @Test func aClientMayStayForATimeOnly() throws {
        let place = try TemporaryFolder()
        let folder = try #require(ControlFolder.open(place.path, owner: geteuid()))
        let listener = try HTTPListener(
            socket: folder.listen(1), stayMilliseconds: 200, admits: { _ in true },
            answer: { _ in HTTPAnswer(status: 200, type: "text/plain", body: []) })
        defer { listener.stop() }
        let client = try RawClient(folder.socketPath(1))
        client.send(Array("GET / HT".utf8))
        #expect(client.answer(milliseconds: 60_000) == "")
    }

    @Test func theNamesGoWithTheServerUnlessTheyAreAnothers() throws {
        let mount = try ControlledMount()
        let connection = mount.connection
        #expect(mount.folder.connections() == [connection])
        let other = try mount.folder.listen(connection)
        defer { close(other) }
        mount.server.stop()
        #expect(mount.folder.connections() == [connection])
        mount.folder.remove(connection)
        let again = try ControlServer(mount.fileSystem, in: mount.folder)
        #expect(mount.folder.connections() == [connection])
        again.stop()
        #expect(mount.folder.connections() == [])
    }

    @Test func aCommandStartedLaterStillDiesOfSIGPIPE() throws {
        let mount = try ControlledMount()
        var action = sigaction()
        unsafe sigaction(SIGPIPE, nil, &action)
        let handler = unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
        #expect(handler == 0)
        withExtendedLifetime(mount) {}
    }

    /// Half of some uncached requests take no longer.
    private func medianNanoseconds(of mount: ControlledMount) -> UInt64 {
        let path = "\(mount.mountpoint)/file"
        let times = (0..<2000).map { _ in
            let start = clock()
            askUncached(path)
            return clock() - start
        }
        return times.sorted()[times.count / 2]
    }

    private func clock() -> UInt64 {
        var now = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}

/// Makes a file of so many bytes.
func write(_ path: String, bytes: Int) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw MountError(.system, "open: \(errno)") }
    defer { close(descriptor) }
    let content = [UInt8](repeating: 1, count: bytes)
    let written = unsafe content.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
    }
    guard written == bytes else { throw MountError(.system, "write: \(errno)") }
}

/// A reader of Prometheus's text format, as strict as its documentation.
enum Metrics {
    /// The samples by name and labels.
    static func parsed(_ text: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        var typed: Set<String> = []
        try #require(text.hasSuffix("\n"))
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# HELP ") { continue }
            if line.hasPrefix("# TYPE ") {
                let fields = line.split(separator: " ")
                try #require(
                    fields.count == 4 && ["gauge", "counter", "histogram"].contains(fields[3]))
                try #require(typed.insert(String(fields[2])).inserted, "typed twice: \(line)")
                continue
            }
            let blank = try #require(line.lastIndex(of: " "), "\(line)")
            let key = String(line[..<blank])
            let value = try #require(Double(line[line.index(after: blank)...]), "\(line)")
            let name = String(key.prefix { $0 != "{" })
            let family = ["_bucket", "_sum", "_count"].first {
                name.hasSuffix($0) && typed.contains(String(name.dropLast($0.count)))
            }
            try #require(typed.contains(name) || family != nil, "\(line)")
            try #require(samples.updateValue(value, forKey: key) == nil, "twice: \(line)")
        }
        return samples
    }
}
