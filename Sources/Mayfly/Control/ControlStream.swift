// ControlStream: lists of any length from a server: a JSON array with one element a line, which is read
// and handed on element by element.

internal import MayflyHTTP
internal import Synchronization

extension ControlClient {
    /// Asks for a list and hands its elements on as they come.
    ///
    /// - Parameters:
    ///   - seconds: how long the next piece of it may take.
    ///   - body: called with each element, on another thread; the list waits for it.
    func list<Element: Decodable & Sendable>(
        _ type: Element.Type, _ method: String, _ path: String, body question: [UInt8] = [],
        seconds: Int = HTTPClient.answerSeconds, _ body: @escaping @Sendable (Element) -> Void
    ) throws(ControlError) {
        let lines = ElementLines(body)
        let peer = try connect()
        let answer = Result { () throws(HTTPFailure) -> HTTPAnswer in
            try HTTPClient.stream(
                method, path, body: question, socket: peer.duplicate(), seconds: seconds,
                receive: lines.take)
        }
        _ = try Self.content(of: answer)
        guard lines.areSound else { throw .silent }
    }
}

/// Makes elements of lines, however the lines are cut into pieces.
private final class ElementLines<Element: Decodable & Sendable>: Sendable {
    private let state = Mutex(ListLines())
    private let body: @Sendable (Element) -> Void

    init(_ body: @escaping @Sendable (Element) -> Void) { self.body = body }

    /// Whether every line was one of a list, and the list has ended.
    var areSound: Bool { state.withLock { $0.areSound && $0.isEnded && $0.line.isEmpty } }

    func take(_ piece: [UInt8]) {
        let lines = state.withLock { state in state.completeLines(piece) }
        if lines.isEmpty { return }
        let array = [UInt8(ascii: "[")] + lines + [UInt8(ascii: "]")]
        guard let elements = ControlJSON.decoded([Element].self, array) else {
            return state.withLock { $0.areSound = false }
        }
        elements.forEach(body)
    }
}

/// A list of which pieces come.
private struct ListLines: Sendable {
    /// The line that has begun.
    var line: [UInt8] = []
    var isBegun = false
    var isEnded = false
    var areSound = true

    /// The elements of the lines that end in a piece, with commas between them.
    mutating func completeLines(_ piece: [UInt8]) -> ArraySlice<UInt8> {
        let newline = UInt8(ascii: "\n")
        guard let end = piece.lastIndex(of: newline) else {
            line += piece
            return []
        }
        let whole = line + piece[..<end]
        line = Array(piece[(end + 1)...])
        var lines = whole[...]
        if !isBegun {
            isBegun = true
            if lines.first == UInt8(ascii: "[") { lines.removeFirst() } else { areSound = false }
        }
        // An element is an object, so that no line of one is a bracket alone.
        if lines.last == UInt8(ascii: "]"), lines.dropLast().last ?? newline == newline {
            isEnded = true
            lines.removeLast()
        }
        while let last = lines.last, last == newline || last == UInt8(ascii: ",") {
            lines.removeLast()
        }
        return lines
    }
}
