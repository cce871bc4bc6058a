// Lists of any length as an answer: a JSON array with one element a line, made and sent element by element.

internal import FoundationEssentials
internal import MayflyHTTP

extension HTTPAnswer {
    /// - Parameter body: calls its argument with each element, until that is false.
    static func jsonList<Element: Encodable & Sendable>(
        _ body: @escaping @Sendable (_ send: (Element) -> Bool) -> Void
    ) -> HTTPAnswer {
        HTTPAnswer(status: 200, type: "application/json", body: []) { send in
            var piece = Array("[\n".utf8)
            var isFirst = true
            var isWanted = true
            let encoder = ControlJSON.encoder()
            body { element in
                if !isFirst { piece += Array(",\n".utf8) }
                isFirst = false
                // Nothing here has a value that JSON does not know.
                if let bytes = try? encoder.encode(element) { piece += bytes }
                if piece.count < pieceBytes { return true }
                isWanted = send(piece)
                piece.removeAll(keepingCapacity: true)
                return isWanted
            }
            if isWanted { _ = send(piece + Array("\n]\n".utf8)) }
        }
    }

    /// Of an answer that is sent at once.
    private static var pieceBytes: Int { 64 << 10 }
}
