// ControlClient: asks a server over its socket. For commands, so it waits, but not for long.

internal import Glibc
internal import MayflyHTTP
internal import MayflyHost
internal import SystemPackage

/// Why a server has not answered as it should.
enum ControlError: Error, Equatable {
    /// Nobody listens.
    case dead
    /// Not this user's mount.
    case notPermitted
    /// Somebody listens who does not serve this connection.
    case untrue
    /// It listens, but no answer came in time, or none that can be read.
    case silent
    /// The answer began and did not end.
    case cut
    /// It answered, and that it will not.
    case refused(ErrorText, MountError.Code?)
}

/// The server of one connection, as a client sees it.
package struct ControlClient: Sendable {
    package let folder: ControlFolder
    package let connection: UInt32

    /// How long a server may take to tell of itself: the first question of most commands. One that
    /// is awake takes milliseconds, on a busy machine tenths of a second.
    static let reportSeconds = 2

    /// Bytes of a report. One with 512 queues and every opcode takes half of it.
    static let reportByteLimit = 128 << 10

    private static let reportPath = "/v1/mount"

    /// What the server has left beside its socket. Anybody whose folder it is can have written it.
    var record: ControlRecord? {
        folder.read("\(connection).json").flatMap { ControlJSON.decoded(ControlRecord.self, $0) }
    }

    // MARK: trust

    /// Connects to the server.
    ///
    /// - Throws: `.untrue` where the process at the other end is not the connection's server.
    func connect(
        _ purpose: ControlFolder.Purpose = .control
    ) throws(ControlError) -> ControlPeer {
        let peer: ControlPeer
        do throws(Errno) {
            peer = try folder.connect(connection, purpose)
        } catch {
            switch error {
            case .connectionRefused, .noSuchFileOrDirectory: throw .dead
            case .permissionDenied, .notPermitted: throw .notPermitted
            case .notSocket, .tooManySymbolicLinkLevels: throw .untrue
            default: throw .silent
            }
        }
        guard isBelieved(peer.processID, peer.userID) else { throw .untrue }
        return peer
    }

    /// Whether a process of a user may speak for the connection: it serves it, and the folder is that
    /// user's. A folder proves nothing by itself: its owner can write any number into it.
    ///
    /// - Parameter processID: 0 where it cannot be seen.
    func isBelieved(_ processID: Int32, _ userID: UInt32) -> Bool {
        guard userID == folder.owner else { return false }
        if processID > 0, let served = MountHolders.connections(servedBy: processID) {
            return served.contains(connection)
        }
        // What a process serves is told since Linux 6.15, to those who may look at it.
        if folder.isOwn { return true }
        let tables = [MountTable.current(), MountTable(ofProcess: "\(processID)")]
        return tables.contains { table in
            table.entries.contains {
                $0.connection == connection && $0.type.hasPrefix("fuse") && $0.userID == userID
            }
        }
    }

    /// The connection's server, which need not answer; nil where nothing that is believed tells it.
    ///
    /// - Parameter peer: who listens; nil where too many wait for it already.
    func server(_ peer: ControlPeer?) -> Int32? {
        if let peer { return peer.processID > 0 ? peer.processID : record?.processID }
        guard let processID = record?.processID,
            let userID = MountHolders.userID(of: processID), isBelieved(processID, userID)
        else { return nil }
        return processID
    }

    /// The connection's server, if somebody listens who is believed to be it.
    var believedServer: Int32? {
        do throws(ControlError) {
            return server(try connect()) ?? 0
        } catch {
            return error == .silent ? server(nil) : nil
        }
    }

    /// Whether what listens is not known to be another than the connection's server.
    var isOfTheServer: Bool {
        do throws(ControlError) {
            _ = try connect()
            return true
        } catch {
            return error != .untrue
        }
    }

    // MARK: questions

    /// What the mount is, holds and has done.
    func report() throws(ControlError) -> MountReport {
        let peer = try connect()
        let answers = HTTPClient.get(
            Self.reportPath, sockets: [peer.duplicate()], seconds: Self.reportSeconds,
            byteLimit: Self.reportByteLimit)
        return try Self.report(answers[0], peer)
    }

    /// The reports of many, who are asked at the same time.
    static func reports(
        of peers: [ControlPeer]
    ) -> [Result<MountReport, ControlError>] {
        let answers = HTTPClient.get(
            reportPath, sockets: peers.map { $0.duplicate() }, seconds: reportSeconds,
            byteLimit: reportByteLimit)
        return zip(answers, peers).map { answer, peer in
            Result { () throws(ControlError) -> MountReport in try report(answer, peer) }
        }
    }

    private static func report(
        _ answer: Result<HTTPAnswer, HTTPFailure>, _ peer: ControlPeer
    ) throws(ControlError) -> MountReport {
        let bytes = try content(of: answer)
        guard var report = ControlJSON.decoded(MountReport.self, bytes) else { throw .silent }
        // The server's own number may be another pid namespace's.
        if peer.processID > 0 { report.processID = peer.processID }
        return report
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
        let peer = try connect()
        return try Self.content(
            of: Result { () throws(HTTPFailure) -> HTTPAnswer in
                try HTTPClient.ask(
                    method, path, body: body, socket: peer.duplicate(), seconds: seconds)
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
            case .system(EACCES), .system(EPERM), .system(ECONNRESET): throw .notPermitted
            case .cut: throw .cut
            default: throw .silent
            }
        }
        guard answer.status == 200 else {
            let failure = ControlJSON.decoded(ControlFailure.self, answer.body)
            throw .refused(
                failure.map { failure in
                    failure.parts.map(ErrorText.init(parts:)) ?? ErrorText(failure.error)
                } ?? "the server answered \(answer.status)",
                failure?.code.map(MountError.Code.init(rawValue:)))
        }
        return answer.body
    }
}
