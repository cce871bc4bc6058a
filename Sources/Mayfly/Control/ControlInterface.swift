// ControlInterface: what can be asked of a server (Docs/Control.md).

internal import MayflyHTTP
internal import MayflyHost

/// What an answer that is not 200 holds.
struct ControlFailure: Codable, Sendable, Equatable {
    /// One line that says what to do.
    var error: String
    /// Which failure it is, for programs: one of `MountError.Code`.
    var code: String?
    /// The line in pieces, of which each second names a setting; where it names one.
    var parts: [String]?
    /// Of 400: the field of the request that is wrong, where it is one.
    var field: String?
    /// Of 400: the fields or values that there are.
    var known: [String]?
}

enum ControlInterface {
    static func answer(
        _ question: HTTPQuestion, _ fileSystem: MountedFileSystem
    ) -> HTTPAnswer {
        let request: ControlRequest
        do throws(RouteFailure) { request = try ControlRequest(question) } catch {
            switch error {
            case .noSuchPath:
                return .failure(
                    404, "there is no \(question.path): Docs/Control.md lists what there is")
            case .noSuchMethod:
                return .failure(405, "\(question.path) does not know \(question.method)")
            case .fault(let fault):
                return .json(
                    ControlFailure(error: fault.message, field: fault.field, known: fault.known),
                    status: 400)
            }
        }
        do throws(MountError) { return try answer(request, fileSystem) } catch {
            return .failure(409, error.text, error.code)
        }
    }

    private static func answer(
        _ request: ControlRequest, _ fileSystem: MountedFileSystem
    ) throws(MountError) -> HTTPAnswer {
        switch request {
        case .report: return report(fileSystem)
        case .hot: return .json(fileSystem.hotNodes(limit: 20))
        case .events: return try fileSystem.eventStream()
        case .metrics:
            guard let report = fileSystem.report() else { return gone }
            return HTTPAnswer(
                status: 200, type: "text/plain; version=0.0.4; charset=utf-8",
                body: Array(report.metrics.utf8))
        case .check: return fileSystem.check().map { .json($0) } ?? gone
        case .limits(let change):
            try fileSystem.resize(change)
            return report(fileSystem)
        case .unmount(let lazy, let force):
            // The answer is on its way before the server sees the end of the mount: both are done by
            // this thread.
            let last = report(fileSystem)
            try fileSystem.unmount(force ? .force : lazy ? .lazy : .normal)
            return last
        case .snapshots: return .json(try fileSystem.snapshots())
        case .snapshot(let name, let replacing):
            return .json(try fileSystem.snapshot(name, replacing: replacing))
        case .removeSnapshot(let name):
            try fileSystem.removeSnapshot(name)
            return .json(try fileSystem.snapshots())
        case .rollback(let name, let force):
            return .json(try fileSystem.rollback(to: name, force: force))
        case .differences(let name):
            let comparison = try fileSystem.comparison(since: name)
            return .jsonList { comparison.run($0) }
        case .save(let path, let base?, let umask):
            return .json(try fileSystem.save(to: path, on: base, umask: umask))
        case .save(let path, nil, let umask):
            let bytes = try fileSystem.save(to: path, umask: umask)
            return .json(SaveSummary(path: path.text, bytes: bytes))
        case .fork(let path):
            guard let report = try fileSystem.forkServed(at: path).report() else {
                throw MountError(.mount, "the fork is unmounted already")
            }
            return .json(report)
        case .faults: return .jsonLines(try fileSystem.faults())
        case .addFault(let rule):
            return .json(try fileSystem.addFault(fileSystem.inside(rule)))
        case .clearFaults(let numbers):
            try fileSystem.clearFaults(numbers)
            return .jsonLines(try fileSystem.faults())
        case .sync: return .json(try fileSystem.sync())
        case .unsynced:
            let paths = try fileSystem.unsynced()
            return .jsonList { send in _ = paths.allSatisfy(send) }
        case .crash(let seed): return .json(try fileSystem.crash(seed: seed))
        case .tree(let task): return try task.answer(fileSystem)
        }
    }

    /// Whether a body has a NUL, as itself or escaped: a path would be taken for the part before it.
    static func hasNUL(_ body: [UInt8]) -> Bool {
        var rest = body[...]
        while let byte = rest.popFirst() {
            if byte == 0 { return true }
            // What follows a backslash belongs to it, so that an escaped one begins nothing.
            guard byte == UInt8(ascii: "\\"), let kind = rest.popFirst() else { continue }
            if kind == 0 || kind == UInt8(ascii: "u") && rest.starts(with: "0000".utf8) {
                return true
            }
        }
        return false
    }

    private static func report(_ fileSystem: MountedFileSystem) -> HTTPAnswer {
        guard let report = fileSystem.report() else { return gone }
        return .json(report)
    }

    private static var gone: HTTPAnswer { .failure(410, "the mount is unmounted", .notMounted) }
}

extension HTTPAnswer {
    static func json(_ value: some Encodable, status: Int = 200) -> HTTPAnswer {
        HTTPAnswer(status: status, type: "application/json", body: ControlJSON.encoded(value))
    }

    static func failure(
        _ status: Int, _ text: ErrorText, _ code: MountError.Code? = nil
    ) -> HTTPAnswer {
        json(
            ControlFailure(error: text.description, code: code?.rawValue, parts: text.parts),
            status: status)
    }
}
