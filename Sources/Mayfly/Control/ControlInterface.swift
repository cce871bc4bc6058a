// ControlInterface: what can be asked of a server (Docs/Control.md).

internal import ControlHTTP

/// What an answer that is not 200 holds.
struct ControlFailure: Codable, Sendable, Equatable {
    /// One line that says what to do.
    var error: String
}

/// The body of a request to unmount, as the options of umount(8).
struct UnmountRequest: Codable, Sendable {
    var lazy: Bool?
    var force: Bool?
}

enum ControlInterface {
    static func answer(
        _ question: HTTPQuestion, _ fileSystem: MountedFileSystem
    ) -> HTTPAnswer {
        if hasNUL(question.body) {
            return .failure(400, "the body has a NUL, which no name or path can have: leave it out")
        }
        let isReading = question.method == "GET" || question.method == "HEAD"
        do throws(MountError) {
            if SnapshotInterface.paths.contains(question.path) {
                return try SnapshotInterface.answer(question, fileSystem)
            }
            if FaultInterface.paths.contains(question.path) {
                return try FaultInterface.answer(question, fileSystem)
            }
        } catch { return .failure(409, error.message) }
        switch question.path {
        case "/v1/mount" where isReading: return report(fileSystem)
        case "/v1/hot" where isReading: return .json(fileSystem.hotNodes(limit: 20))
        case "/metrics" where isReading:
            guard let report = fileSystem.report() else { return gone }
            return HTTPAnswer(
                status: 200, type: "text/plain; version=0.0.4; charset=utf-8",
                body: Array(report.metrics.utf8))
        case "/v1/limits" where question.method == "POST":
            guard let change = ControlJSON.decoded(LimitChange.self, question.body) else {
                return .failure(400, "the body is not {\"sizeBytes\": NUMBER, \"inodes\": NUMBER}")
            }
            do throws(MountError) {
                try fileSystem.resize(change)
            } catch {
                return .failure(409, error.message)
            }
            return report(fileSystem)
        case "/v1/check" where question.method == "POST":
            return fileSystem.check().map { .json($0) } ?? gone
        case "/v1/unmount" where question.method == "POST": return unmount(question, fileSystem)
        case "/v1/mount", "/v1/hot", "/metrics", "/v1/limits", "/v1/check", "/v1/unmount":
            return .failure(405, "\(question.path) does not know \(question.method)")
        default:
            return .failure(404, "there is no \(question.path): Docs/Control.md lists what there is")
        }
    }

    /// Whether a body has a NUL, as itself or escaped: a path would be taken for the part before it.
    static func hasNUL(_ body: [UInt8]) -> Bool {
        var rest = body[...]
        while let byte = rest.popFirst() {
            if byte == 0 { return true }
            // What follows a backslash belongs to it, so that an escaped one begins nothing.
            guard byte == UInt8(ascii: "\\"), let kind = rest.popFirst() else { continue }
            if kind == 0 || kind == UInt8(ascii: "u") && rest.starts(with: "0000".utf8) { return true }
        }
        return false
    }

    /// Unmounts, and tells how things were before. The answer is on its way before the server sees
    /// the end of the mount: both are done by this thread.
    private static func unmount(
        _ question: HTTPQuestion, _ fileSystem: MountedFileSystem
    ) -> HTTPAnswer {
        let body = question.body.isEmpty ? Array("{}".utf8) : question.body
        guard let request = ControlJSON.decoded(UnmountRequest.self, body) else {
            return .failure(400, "the body is not {\"lazy\": BOOLEAN, \"force\": BOOLEAN}")
        }
        let last = report(fileSystem)
        do throws(MountError) {
            try fileSystem.unmount(lazy: request.lazy ?? false, force: request.force ?? false)
        } catch {
            return .failure(409, error.message)
        }
        return last
    }

    private static func report(_ fileSystem: MountedFileSystem) -> HTTPAnswer {
        guard let report = fileSystem.report() else { return gone }
        return .json(report)
    }

    private static var gone: HTTPAnswer { .failure(410, "the mount is unmounted") }
}

extension HTTPAnswer {
    static func json(_ value: some Encodable, status: Int = 200) -> HTTPAnswer {
        HTTPAnswer(status: status, type: "application/json", body: ControlJSON.encoded(value))
    }

    static func failure(_ status: Int, _ message: String) -> HTTPAnswer {
        json(ControlFailure(error: message), status: status)
    }
}
