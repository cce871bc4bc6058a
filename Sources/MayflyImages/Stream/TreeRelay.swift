// TreeRelay: a tree on its way from the server of one mount to that of another. Both have mapped the same
// memory, so the command that started it passes on their messages alone: no byte of content goes through it,
// and each server answers to whoever runs the command.

internal import SystemPackage

package enum TreeRelay {
    /// Passes messages on until the tree is there, or is not to be.
    ///
    /// - Parameters:
    ///   - source: to a server that was asked for a tree.
    ///   - target: to one that was told of a tree; with the same memory.
    ///   - progress: gets the entries that are in.
    /// - Returns: the answer of the target's server.
    /// - Throws: what one of the servers says; the end of one. The target has nothing then.
    package static func run(
        from source: TreeLine, to target: TreeLine, progress: (UInt64) -> Void = { _ in }
    ) throws(TreeError) -> [UInt8] {
        var isWhole = false
        while true {
            let isFromSource = !isWhole && TreeLine.isFirstReady(source, target)
            let (message, slot, count, text) = try received(
                isFromSource ? source : target, isFromSource ? "the source's" : "the target's")
            switch (message, isFromSource) {
            case (.block, true):
                try pass(to: target) { () throws(Errno) in
                    try target.send(.block, slot: slot, count: count)
                }
            case (.end, true):
                isWhole = true
                try pass(to: target) { () throws(Errno) in try target.send(.end) }
            case (.free, false):
                progress(count)
                // One that has sent everything may have gone.
                try? source.send(.free, slot: slot, count: count)
            case (.result, false): return text
            case (.failure, _): throw TreeError(String(decoding: text, as: UTF8.self))
            default: throw TreeError("a mount's server is of another version of mayfly")
            }
        }
    }

    private static func received(
        _ line: TreeLine, _ whose: String
    ) throws(TreeError) -> (message: TreeMessage, slot: Int, count: UInt64, text: [UInt8]) {
        do throws(Errno) { return try line.receive() } catch {
            throw TreeError("\(whose) server has ended: nothing was put in")
        }
    }

    private static func pass(
        to target: TreeLine, _ send: () throws(Errno) -> Void
    ) throws(TreeError) {
        do throws(Errno) { try send() } catch {
            // It says why it has gone, if it could.
            while true {
                let (message, _, _, text) = try received(target, "the target's")
                if message == .failure { throw TreeError(String(decoding: text, as: UTF8.self)) }
            }
        }
    }
}
