// ControlClient: asks a server over its socket. For commands, so it waits, but not for long.

internal import ControlHTTP
internal import Glibc

/// Why a server has not answered as it should.
enum ControlError: Error, Equatable {
    /// Nobody listens.
    case dead
    /// Not this user's mount.
    case notPermitted
    /// It listens, but no answer came in time, or none that can be read.
    case silent
    /// The answer began and did not end.
    case cut
    /// It answered, and that it will not.
    case refused(String)
}

/// The server of one connection, as a client sees it.
struct ControlClient: Sendable {
    let folder: ControlFolder
    let connection: UInt32

    /// How long a server may take to tell of itself: the first question of most commands. One that
    /// is awake takes milliseconds, on a busy machine tenths of a second.
    static let reportSeconds = 2

    private static let reportPath = "/v1/mount"

    /// What the server has left beside its socket.
    var record: ControlRecord? {
        folder.read("\(connection).json").flatMap { ControlJSON.decoded(ControlRecord.self, $0) }
    }

    /// What the mount is, holds and has done.
    func report() throws(ControlError) -> MountReport {
        let bytes = try exchange("GET", Self.reportPath, seconds: Self.reportSeconds)
        guard let report = ControlJSON.decoded(MountReport.self, bytes) else { throw .silent }
        return report
    }

    /// The reports of many, who are asked at the same time.
    static func reports(of clients: [ControlClient]) -> [Result<MountReport, ControlError>] {
        let sockets = clients.map { $0.folder.reach($0.folder.socketName($0.connection)) }
        return HTTPClient.get(reportPath, sockets: sockets, seconds: reportSeconds).map { answer in
            Result { () throws(ControlError) -> MountReport in
                let bytes = try content(of: answer)
                guard let report = ControlJSON.decoded(MountReport.self, bytes) else {
                    throw .silent
                }
                return report
            }
        }
    }

    /// Asks for JSON and reads it.
    func get<Answer: Decodable>(
        _ type: Answer.Type, _ path: String
    ) throws(ControlError) -> Answer {
        guard let answer = ControlJSON.decoded(type, try exchange("GET", path)) else {
            throw .silent
        }
        return answer
    }

    /// Sends JSON and reads the JSON that comes back.
    ///
    /// - Parameter seconds: how long it may take.
    func post<Answer: Decodable>(
        _ type: Answer.Type, _ path: String, _ body: some Encodable,
        seconds: Int = HTTPClient.answerSeconds
    ) throws(ControlError) -> Answer {
        let bytes = try exchange(
            "POST", path, body: ControlJSON.encoded(body), seconds: seconds)
        guard let answer = ControlJSON.decoded(type, bytes) else { throw .silent }
        return answer
    }

    func exchange(
        _ method: String, _ path: String, body: [UInt8] = [],
        seconds: Int = HTTPClient.answerSeconds
    ) throws(ControlError) -> [UInt8] {
        try Self.content(
            of: Result { () throws(HTTPFailure) -> HTTPAnswer in
                try HTTPClient.ask(
                    method, path, body: body, socket: folder.reach(folder.socketName(connection)),
                    seconds: seconds)
            })
    }

    static func content(
        of result: Result<HTTPAnswer, HTTPFailure>
    ) throws(ControlError) -> [UInt8] {
        let answer: HTTPAnswer
        do throws(HTTPFailure) {
            answer = try result.get()
        } catch {
            switch error {
            case .system(ECONNREFUSED), .system(ENOENT): throw .dead
            case .system(EACCES), .system(EPERM), .system(ECONNRESET): throw .notPermitted
            case .cut: throw .cut
            default: throw .silent
            }
        }
        guard answer.status == 200 else {
            let failure = ControlJSON.decoded(ControlFailure.self, answer.body)
            throw .refused(failure?.error ?? "the server answered \(answer.status)")
        }
        return answer.body
    }
}
