// Lines of JSON from a server, one object on each: events.

internal import MayflyHTTP
internal import Synchronization

extension ControlClient {
    /// Asks for lines and hands the objects on as they come, until the server ends them.
    ///
    /// - Parameters:
    ///   - seconds: how long there may be no line; an empty one counts.
    ///   - body: called with each object, on another thread; the lines wait for it.
    func lines<Element: Decodable & Sendable>(
        _ type: Element.Type, _ path: String, seconds: Int = HTTPClient.answerSeconds,
        _ body: @escaping @Sendable (Element) -> Void
    ) throws(ControlError) {
        let begun = Mutex<[UInt8]>([])
        let peer = try connect()
        let answer = Result { () throws(HTTPFailure) -> HTTPAnswer in
            try HTTPClient.stream(
                "GET", path, body: [], socket: peer.duplicate(), seconds: seconds
            ) { piece in
                let lines = begun.withLock { begun in
                    begun += piece
                    let lines = begun.split(
                        separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                    begun = lines.last.map(Array.init) ?? []
                    return lines.dropLast().map(Array.init)
                }
                // An event that this client does not know is one of a newer server.
                for line in lines {
                    if let element = ControlJSON.decoded(type, line) { body(element) }
                }
            }
        }
        _ = try Self.content(of: answer)
    }
}
