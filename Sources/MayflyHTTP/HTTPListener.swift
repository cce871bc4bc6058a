// HTTPListener: HTTP on a listening Unix socket, by SwiftNIO, on one thread that waits its turn.
//
// What a client can do is bounded: how many there are, how long one may stay, how much it may send.
// One request is answered for each connection.
//
// A module of its own because SwiftNIO brings C headers whose types the compiler then takes for
// its own in every file of the module that imports it.

internal import CMayflySystem
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// A request as far as anyone here needs it.
package struct HTTPQuestion: Sendable {
    /// "GET" for instance.
    package let method: String
    /// Without what follows a question mark.
    package let path: String
    /// What follows it; nil where nothing does.
    package let query: String?
    package let body: [UInt8]
}

package struct HTTPAnswer: Sendable {
    /// Makes a body piece by piece. `send` waits until the client has taken a piece, and is false when
    /// it has gone.
    package typealias Stream = @Sendable (_ send: ([UInt8]) -> Bool) -> Void

    package var status: Int
    package var type: String
    package var body: [UInt8]
    /// In place of the body, for one of any length: called on a thread of its own.
    package var stream: Stream?

    package init(status: Int, type: String, body: [UInt8], stream: Stream? = nil) {
        self.status = status
        self.type = type
        self.body = body
        self.stream = stream
    }
}

/// Answers on a socket until `stop`.
package final class HTTPListener: Sendable {
    /// Clients at one time; the next is turned away.
    package static let connectionLimit = 16
    /// Milliseconds to ask and to take the answer, or the next piece of an answer that is streamed.
    package static let stayMilliseconds = 10_000
    package static let bodyByteLimit = 32 << 10

    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let streams = BodyStreams()
    private let clients: Clients
    /// Groups of listeners that have stopped, for those that come.
    ///
    /// Not shut down: SwiftNIO does that by way of libdispatch, whose threads wake every second from
    /// then on, for ever. So a process has as many groups as it had listeners at one time.
    private static let spare = Mutex<[MultiThreadedEventLoopGroup]>([])

    /// - Parameters:
    ///   - socket: a listening socket, which is taken over.
    ///   - admits: whether the user with this number may talk (SO_PEERCRED).
    ///   - answer: called on the listener's thread.
    /// - Throws: what SwiftNIO throws when there are no more threads or descriptors.
    package init(
        socket: Int32, stayMilliseconds: Int = stayMilliseconds,
        admits: @escaping @Sendable (UInt32) -> Bool,
        answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer
    ) throws {
        let group = Self.spare.withLock { $0.popLast() } ?? Self.quietGroup()
        let clients = Clients()
        let streams = streams
        let bootstrap = ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                let deadline = Deadline(channel, milliseconds: stayMilliseconds)
                return Self.admit(channel, clients, admits).flatMapThrowing { isAdmitted in
                    guard isAdmitted else { throw ChannelError.eof }
                    try Self.equip(channel, AnsweringHandler(deadline, streams, answer))
                }
            }
            .childChannelOption(.maxMessagesPerRead, value: 4)
        do {
            channel = try Self.keepingPipeSignal {
                try bootstrap.withBoundSocket(socket).wait()
            }
        } catch {
            Self.spare.withLock { $0.append(group) }
            throw error
        }
        self.group = group
        self.clients = clients
    }

    /// Stops listening and drops those connected.
    ///
    /// - Precondition: it is called once, and not on the listener's thread.
    package func stop() {
        try? channel.close().wait()
        streams.stop()
        // Nobody is admitted any more.
        for client in clients.all { try? client.close().wait() }
        Self.spare.withLock { $0.append(group) }
    }

    /// Clients that are connected; one thread adds and removes.
    private final class Clients: Sendable {
        private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])

        var all: [any Channel] { channels.withLock { Array($0.values) } }

        /// - Returns: how many there are then.
        func add(_ channel: any Channel) -> Int {
            channels.withLock { channels in
                channels[ObjectIdentifier(channel)] = channel
                return channels.count
            }
        }

        func remove(_ channel: any Channel) {
            _ = channels.withLock { $0.removeValue(forKey: ObjectIdentifier(channel)) }
        }
    }

    /// One thread, which takes the CPU from nobody when it wakes, and gets no SIGPIPE.
    private static func quietGroup() -> MultiThreadedEventLoopGroup {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try? group.next().submit { csys_quiet_thread() }.wait()
        return group
    }

    /// Calls `body`, which has SwiftNIO ignore SIGPIPE for the whole process, and puts that right:
    /// a command that is started later would inherit it.
    private static func keepingPipeSignal<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = unsafe csys_signal_action(SIGPIPE)
        defer { unsafe csys_restore_signal_action(SIGPIPE, before) }
        return try body()
    }

    /// What SO_PEERCRED tells: struct ucred, which the Glibc module leaves out.
    private struct Peer: Sendable {
        var processID: pid_t
        var userID: uid_t
        var groupID: gid_t
    }

    /// Whether a client may stay: who it is, and that it is not one too many.
    private static func admit(
        _ channel: any Channel, _ clients: Clients,
        _ admits: @escaping @Sendable (UInt32) -> Bool
    ) -> EventLoopFuture<Bool> {
        let now = clients.add(channel)
        channel.closeFuture.whenComplete { _ in clients.remove(channel) }
        guard now <= connectionLimit, let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(false)
        }
        let peer: EventLoopFuture<Peer> = provider.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return peer.map { admits($0.userID) }
    }

    private static func equip(
        _ channel: any Channel, _ handler: sending AnsweringHandler
    ) throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 4096
        limits.maxHeaderListSize = 16384
        limits.maxHeaderFieldCount = 64
        let pipeline = channel.pipeline.syncOperations
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false, withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: limits)
        try pipeline.addHandler(
            NIOHTTPServerRequestAggregator(
                maxContentLength: bodyByteLimit, closeOnExpectationFailed: true))
        try pipeline.addHandler(handler)
    }
}

/// Answers one request and closes the connection.
private final class AnsweringHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPServerRequestFull
    typealias OutboundOut = HTTPServerResponsePart

    private let deadline: Deadline
    private let streams: BodyStreams
    private let answer: @Sendable (HTTPQuestion) -> HTTPAnswer
    private var isAnswered = false

    init(
        _ deadline: Deadline, _ streams: BodyStreams,
        _ answer: @escaping @Sendable (HTTPQuestion) -> HTTPAnswer
    ) {
        self.deadline = deadline
        self.streams = streams
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswered else { return }
        isAnswered = true
        let request = unwrapInboundIn(data)
        let method = request.head.method
        let address = request.head.uri.split(
            separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let answer = answer(
            HTTPQuestion(
                method: method.rawValue, path: String(address[0]),
                query: address.count > 1 ? String(address[1]) : nil,
                body: request.body.map { Array($0.readableBytesView) } ?? []))
        var head = HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: answer.status))
        head.headers.add(name: "Content-Type", value: answer.type)
        if let stream = answer.stream {
            head.headers.add(name: "Connection", value: "close")
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            return streams.start(context.channel, deadline, stream)
        }
        head.headers.add(name: "Content-Length", value: "\(answer.body.count)")
        head.headers.add(name: "Connection", value: "close")
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if method != .HEAD {
            let buffer = context.channel.allocator.buffer(bytes: answer.body)
            context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            channel.close(promise: nil)
        }
    }

    /// Garbage has been answered by 400 already.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
