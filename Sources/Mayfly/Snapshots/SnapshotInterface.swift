// SnapshotInterface: snapshots, rollback, forks and saving over the control socket.

internal import ControlHTTP

/// Bodies of requests. What is missing has the default that the command has.
struct SnapshotRequest: Codable, Sendable {
    var name: String?
    var replace: Bool?
    var force: Bool?
}

struct PathRequest: Codable, Sendable {
    /// Absolute.
    var path: String
    /// Of a file that is made: the client's umask; without it the server's counts.
    var umask: UInt32?
}

/// What a save has written.
public struct SaveSummary: Codable, Sendable, Equatable {
    /// The file, absolute.
    public var path: String
    /// Bytes of the file; what was never used of it is holes.
    public var bytes: UInt64
}

enum SnapshotInterface {
    /// Paths that are answered here.
    static let paths: Set<String> = [
        "/v1/snapshots", "/v1/snapshots/remove", "/v1/rollback", "/v1/save", "/v1/fork",
        "/v1/diff",
    ]

    static func answer(
        _ question: HTTPQuestion, _ fileSystem: MountedFileSystem
    ) throws(MountError) -> HTTPAnswer {
        switch (question.method, question.path) {
        case ("GET", "/v1/snapshots"): return .json(try fileSystem.snapshots())
        case ("POST", "/v1/snapshots"):
            let request = try question.body(as: SnapshotRequest.self)
            return .json(
                try fileSystem.snapshot(request.name, replacing: request.replace ?? false))
        case ("POST", "/v1/snapshots/remove"):
            guard let name = try question.body(as: SnapshotRequest.self).name else {
                throw MountError(.usage, "the body names no snapshot: give {\"name\": NAME}")
            }
            try fileSystem.removeSnapshot(name)
            return .json(try fileSystem.snapshots())
        case ("POST", "/v1/rollback"):
            let request = try question.body(as: SnapshotRequest.self)
            return .json(
                try fileSystem.rollback(to: request.name, force: request.force ?? false))
        case ("POST", "/v1/diff"):
            let name = try question.body(as: SnapshotRequest.self).name
            let comparison = try fileSystem.comparison(since: name)
            return .jsonList { comparison.run($0) }
        case ("POST", "/v1/save"):
            let path = try absolute(question)
            let umask = try question.body(as: PathRequest.self).umask
            return .json(
                SaveSummary(path: path, bytes: try fileSystem.save(to: path, umask: umask)))
        case ("POST", "/v1/fork"):
            guard let report = try fileSystem.forkServed(at: try absolute(question)).report() else {
                throw MountError(.mount, "the fork is unmounted already")
            }
            return .json(report)
        default:
            return .failure(405, "\(question.path) does not know \(question.method)")
        }
    }

    private static func absolute(_ question: HTTPQuestion) throws(MountError) -> String {
        let path = try question.body(as: PathRequest.self).path
        // The server's working directory is nobody's business.
        guard path.hasPrefix("/") else {
            throw MountError(.usage, "'\(path)' is no absolute path: begin it with a slash")
        }
        return path
    }
}
