// BodyStream: answers of any length. Each has a thread of its own, which makes a piece when the client has
// taken the one before; so a client that reads slowly, or not at all, holds up nobody, and takes a piece of
// memory.

internal import CMayflySystem
internal import Glibc
internal import MayflyHost
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Closes a channel unless it is extended.
final class Deadline: Sendable {
    private let channel: any Channel
    private let time: TimeAmount
    private let task: Mutex<Scheduled<Void>?>

    init(_ channel: any Channel, milliseconds: Int) {
        self.channel = channel
        time = .milliseconds(Int64(milliseconds))
        task = Mutex(nil)
        let eventLoop = channel.eventLoop
        channel.closeFuture.whenComplete { _ in
            self.task.withLock { $0?.cancel() }
            // SwiftNIO leaves its timer set for a cancelled task, and would wake for it when the time is
            // over. An earlier task sets the timer anew, and then it is off.
            eventLoop.scheduleTask(in: .milliseconds(1)) {}
        }
        extend()
    }

    /// Begins the time anew.
    func extend() {
        let channel = channel
        task.withLock { task in
            task?.cancel()
            task = channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
        }
    }
}

/// The streams of one listener.
final class BodyStreams: Sendable {
    private struct State: Sendable {
        var isStopped = false
        /// Pieces that are being sent: their channels are not to go.
        var sending = 0
        var channels: [ObjectIdentifier: any Channel] = [:]
    }

    private let state = Mutex(State())

    /// Sends what `stream` makes, ends the answer and closes the channel.
    func start(_ channel: any Channel, _ deadline: Deadline, _ stream: @escaping HTTPAnswer.Stream)
    {
        state.withLock { $0.channels[ObjectIdentifier(channel)] = channel }
        let thread = try? HostThread.start(name: "mayfly-answer") { [self] in
            csys_quiet_thread()
            var isWhole = true
            stream { bytes in
                isWhole = isWhole && send(channel, .body(.byteBuffer(ByteBuffer(bytes: bytes))))
                if isWhole { deadline.extend() }
                return isWhole
            }
            // A client takes an answer without an end for one that was cut off.
            if isWhole { _ = send(channel, .end(nil)) }
            finish(channel)
        }
        guard let thread else { return finish(channel) }
        thread.detach()
    }

    /// Drops all clients, and returns when no channel is used any more.
    func stop() {
        let channels = state.withLock { state in
            state.isStopped = true
            return Array(state.channels.values)
        }
        for channel in channels { try? channel.close().wait() }
        while state.withLock({ $0.sending > 0 }) { usleep(1000) }
    }

    private func send(_ channel: any Channel, _ part: HTTPServerResponsePart) -> Bool {
        let mayGoOn = state.withLock { state in
            if !state.isStopped { state.sending += 1 }
            return !state.isStopped
        }
        guard mayGoOn else { return false }
        defer { state.withLock { $0.sending -= 1 } }
        do {
            try channel.writeAndFlush(part).wait()
            return true
        } catch { return false }
    }

    private func finish(_ channel: any Channel) {
        let isStopped = state.withLock { state in
            state.channels[ObjectIdentifier(channel)] = nil
            return state.isStopped
        }
        if !isStopped { channel.close(promise: nil) }
    }
}
