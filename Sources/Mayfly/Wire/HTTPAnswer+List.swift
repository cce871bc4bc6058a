// Lists of any length as an answer: a JSON array with one element a line, made and sent element by element.

internal import FoundationEssentials
internal import MayflyHTTP

extension HTTPAnswer {
    /// - Parameter body: calls its argument with each element, until that is false.
    static func jsonList<Element: Encodable & Sendable>(
        _ body: @escaping @Sendable (_ send: (Element) -> Bool) -> Void
    ) -> HTTPAnswer {
        let encoder = ControlJSON.encoder()
        // Nothing here has a value that JSON does not know.
        return list(body) { element, piece in piece += (try? encoder.encode(element)) ?? Data() }
    }

    /// The same for elements that come by the thousand.
    static func jsonLines<Element: JSONLineElement>(_ elements: [Element]) -> HTTPAnswer {
        list({ send in _ = elements.allSatisfy(send) }) { element, piece in
            var line = JSONLine()
            line.append(element)
            piece += line.bytes
        }
    }

    private static func list<Element>(
        _ body: @escaping @Sendable (_ send: (Element) -> Bool) -> Void,
        append: @escaping @Sendable (Element, inout [UInt8]) -> Void
    ) -> HTTPAnswer {
        HTTPAnswer(status: 200, type: "application/json", body: []) { send in
            var piece = Array("[\n".utf8)
            var isFirst = true
            var isWanted = true
            body { element in
                if !isFirst { piece += Array(",\n".utf8) }
                isFirst = false
                append(element, &piece)
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
