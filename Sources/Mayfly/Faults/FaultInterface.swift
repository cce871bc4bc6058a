// FaultInterface: faults and power losses over the control socket.

internal import ControlHTTP

/// Body of a request to clear.
struct FaultClearing: Codable, Sendable {
    /// nil for all.
    var numbers: [Int]?
}

struct CrashRequest: Codable, Sendable {
    /// nil for one by chance.
    var seed: UInt64?
}

enum FaultInterface {
    /// Paths that are answered here.
    static let paths: Set<String> = ["/v1/faults", "/v1/faults/clear", "/v1/crash", "/v1/sync"]

    static func answer(
        _ question: HTTPQuestion, _ fileSystem: MountedFileSystem
    ) throws(MountError) -> HTTPAnswer {
        switch (question.method, question.path) {
        case ("GET", "/v1/faults"): return list(try fileSystem.faults())
        case ("POST", "/v1/faults"):
            return .json(try fileSystem.addFault(try question.body(as: FaultRule.self)))
        case ("POST", "/v1/faults/clear"):
            try fileSystem.clearFaults(try question.body(as: FaultClearing.self).numbers)
            return list(try fileSystem.faults())
        case ("POST", "/v1/sync"): return .json(try fileSystem.sync())
        case ("POST", "/v1/crash"):
            return .json(
                try fileSystem.crash(seed: try question.body(as: CrashRequest.self).seed))
        default:
            return .failure(405, "\(question.path) does not know \(question.method)")
        }
    }

    private static func list(_ records: [FaultRecord]) -> HTTPAnswer {
        .jsonList { send in _ = records.allSatisfy(send) }
    }
}

extension HTTPQuestion {
    /// The body, where none is an empty object.
    ///
    /// - Throws: `.usage` for what is not of this shape.
    func body<Value: Decodable>(as type: Value.Type) throws(MountError) -> Value {
        guard let value = ControlJSON.decoded(type, body.isEmpty ? Array("{}".utf8) : body) else {
            throw MountError(.usage, "the body is not what \(path) takes")
        }
        return value
    }
}
