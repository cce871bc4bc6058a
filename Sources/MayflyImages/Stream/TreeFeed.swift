// TreeFeed: a source that a thread of its own reads, while whoever has the feed stores what was read.

internal import CMayflySystem
internal import Glibc
internal import MayflyHost
internal import Synchronization
internal import SystemPackage

/// A source that is read ahead. One thread takes from it.
final class TreeFeed: EntrySource {
    /// What the reading thread tells.
    private final class State: Sendable {
        let failure = Mutex<TreeError?>(nil)
        let bytesRead = Atomic<UInt64>(0)
        let isOver = Atomic<Bool>(false)
    }

    private let state = State()
    private let stream: TreeStream
    private let thread: HostThread
    private var isAtEnd = false

    /// - Throws: what keeps the source from being opened, or the thread from being started.
    convenience init(_ source: TreeSource) throws(TreeError) {
        try self.init(
            opening: { () throws(TreeError) in try TreeReader(source) }, bytesRead: \.bytesRead)
    }

    /// - Parameters:
    ///   - open: opens a source that the thread alone uses.
    ///   - bytesRead: of the source, so far.
    init<Source: EntrySource & SendableMetatype>(
        opening open: @escaping @Sendable () throws(TreeError) -> Source,
        bytesRead: @escaping @Sendable (Source) -> UInt64
    ) throws(TreeError) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw TreeError("no descriptors are left: raise `ulimit -n`")
        }
        let (near, far) = (ends[0], ends[1])
        let state = state
        do throws(Errno) {
            thread = try HostThread.start(name: "mayfly-read") {
                Self.read(open, bytesRead, far, state)
            }
        } catch {
            close(near)
            close(far)
            throw TreeError("no thread can be started (\(error)): raise `ulimit -u`")
        }
        let line = TreeLine(socket: near)
        stream = TreeStream(line)
        guard (try? line.receive())?.message == .request else { throw outcome(TreeError("")) }
    }

    deinit {
        state.isOver.store(true, ordering: .relaxed)
        // One that is not at its end may wait for a source that never tells more.
        if isAtEnd { thread.join() } else { thread.detach() }
    }

    private static func read<Source: EntrySource & SendableMetatype>(
        _ open: () throws(TreeError) -> Source, _ bytesRead: (Source) -> UInt64, _ socket: Int32,
        _ state: State
    ) {
        let line = TreeLine(socket: socket) { state.isOver.load(ordering: .relaxed) }
        // Whoever sees the end of the line finds the reason there.
        withExtendedLifetime(line) {
            do throws(TreeError) {
                let reader = try open()
                do throws(Errno) { try line.sendRequest([]) } catch {
                    throw TreeError("there is no memory to read it with (\(error))")
                }
                var sender = TreeSender(line)
                try sender.sendAll(
                    reader,
                    progress: { _, _ in
                        state.bytesRead.store(bytesRead(reader), ordering: .relaxed)
                    })
            } catch {
                state.failure.withLock { $0 = error }
            }
        }
    }

    /// The reason of an end that the stream saw.
    private func outcome(_ error: TreeError) -> TreeError {
        state.isOver.store(true, ordering: .relaxed)
        return state.failure.withLock { $0 } ?? error
    }

    /// Bytes of the source that were read, before decompression.
    var bytesRead: UInt64 { state.bytesRead.load(ordering: .relaxed) }

    func next() throws(TreeError) -> SourceEntry? {
        do throws(TreeError) {
            let entry = try stream.next()
            isAtEnd = entry == nil
            return entry
        } catch { throw outcome(error) }
    }

    func forEachPiece(
        _ body: (UInt64, UnsafeRawBufferPointer) throws(TreeError) -> Void
    ) throws(TreeError) {
        var ownFailure: TreeError?
        do throws(TreeError) {
            try unsafe stream.forEachPiece { offset, bytes throws(TreeError) in
                do throws(TreeError) { try unsafe body(offset, bytes) } catch {
                    ownFailure = error
                    throw error
                }
            }
        } catch { throw ownFailure ?? outcome(error) }
    }

    func xattrs() -> [(name: [UInt8], value: [UInt8])] { stream.xattrs() }
    func takeUnknownNames() -> Bool { stream.takeUnknownNames() }
}
