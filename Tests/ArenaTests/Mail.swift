// Mail: runs of units on their way from one thread of a test to another.

import MayflyArena
import MayflyTestSupport

final class Mail: Sendable {
    typealias Letter = (kind: ChunkKind, offset: UInt64, count: UInt64)
    private let boxes: Guarded<[[Letter]]>

    init(_ count: Int) { boxes = Guarded([[Letter]](repeating: [], count: count)) }

    func send(_ letter: Letter, to index: Int) {
        boxes.withLock { $0[index].append(letter) }
    }

    /// One letter, or all of them.
    func receive(_ index: Int, all: Bool) -> [Letter]? {
        boxes.withLock { boxes in
            if boxes[index].isEmpty { return nil }
            if !all { return [boxes[index].removeLast()] }
            defer { boxes[index] = [] }
            return boxes[index]
        }
    }
}
