// HTTPClient: requests over connected sockets, one over each. For commands, so it waits, but not for long.

internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Why there is no answer.
package enum HTTPFailure: Error, Equatable {
    /// The connection failed with this errno.
    case system(Int32)
    /// No answer came in time, or none that is HTTP.
    case silent
    /// The answer began and did not end.
    case cut
}

package enum HTTPClient {
    /// As much as a server may answer, and wait with it: it may be anyone's.
    private static let answerByteLimit = 4 << 20
    package static let answerSeconds = 5

    /// Requests that are made at one time; each takes a descriptor.
    package static let requestLimit = 256

    /// Lives as long as the command.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    package static func ask(
        _ method: String, _ path: String, body: [UInt8], socket: Int32,
        seconds: Int = answerSeconds
    ) throws(HTTPFailure) -> HTTPAnswer {
        try answer(
            send(
                HTTPMethod(rawValue: method), path, body: body, over: socket,
                within: .seconds(Int64(seconds)), byteLimit: answerByteLimit))
    }

    /// Asks for an answer of any length.
    ///
    /// - Parameters:
    ///   - seconds: how long the next piece may take.
    ///   - receive: gets the pieces of a body with status 200, on a thread of its own.
    /// - Returns: the answer, with a body where its status is another.
    package static func stream(
        _ method: String, _ path: String, body: [UInt8], socket: Int32, seconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Void
    ) throws(HTTPFailure) -> HTTPAnswer {
        let loop = group.next()
        let promise = loop.makePromise(of: HTTPAnswer.self)
        connect(
            HTTPMethod(rawValue: method), path, body: body, over: socket, loop, failing: promise
        ) { channel in
            let deadline = Deadline(channel, milliseconds: seconds * 1000)
            try channel.pipeline.syncOperations.addHandler(
                StreamHandler(promise, deadline, receive))
        }
        return try outcome(promise.futureResult)
    }

    private static func outcome<Value: Sendable>(
        _ future: EventLoopFuture<Value>
    ) throws(HTTPFailure) -> Value {
        do {
            return try future.wait()
        } catch let error as IOError {
            throw .system(error.errnoCode)
        } catch let error as HTTPFailure {
            throw error
        } catch {
            throw .silent
        }
    }

    /// Asks many servers at the same time, so that those which hang are waited for together.
    ///
    /// - Precondition: they are no more than `requestLimit`.
    package static func get(
        _ path: String, sockets: [Int32], seconds: Int, byteLimit: Int
    ) -> [Result<HTTPAnswer, HTTPFailure>] {
        precondition(sockets.count <= requestLimit, "HTTPClient.get: too many at one time")
        return sockets.map {
            send(
                .GET, path, body: [], over: $0, within: .seconds(Int64(seconds)),
                byteLimit: byteLimit)
        }.map { sent in Result { () throws(HTTPFailure) -> HTTPAnswer in try answer(sent) } }
    }

    private static func answer(
        _ future: EventLoopFuture<NIOHTTPClientResponseFull>
    ) throws(HTTPFailure) -> HTTPAnswer {
        let answer = try outcome(future)
        return HTTPAnswer(
            status: Int(answer.head.status.code),
            type: answer.head.headers.first(name: "Content-Type") ?? "",
            body: answer.body.map { Array($0.readableBytesView) } ?? [])
    }

    /// - Parameter socket: connected, and taken over; -1 where no descriptor was left for it.
    private static func send(
        _ method: HTTPMethod, _ path: String, body: [UInt8], over socket: Int32,
        within time: TimeAmount, byteLimit: Int
    ) -> EventLoopFuture<NIOHTTPClientResponseFull> {
        let loop = group.next()
        let answer = loop.makePromise(of: NIOHTTPClientResponseFull.self)
        connect(method, path, body: body, over: socket, loop, failing: answer) { channel in
            let deadline = channel.eventLoop.scheduleTask(in: time) {
                channel.close(promise: nil)
            }
            channel.closeFuture.whenComplete { _ in deadline.cancel() }
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(
                NIOHTTPClientResponseAggregator(maxContentLength: byteLimit))
            try pipeline.addHandler(AnswerHandler(answer))
        }
        return answer.futureResult
    }

    /// Sends a request over a connected socket.
    ///
    /// - Parameter equip: adds the handlers of the answer.
    private static func connect<Answer>(
        _ method: HTTPMethod, _ path: String, body: [UInt8], over socket: Int32,
        _ loop: any EventLoop, failing answer: EventLoopPromise<Answer>,
        equip: @escaping @Sendable (any Channel) throws -> Void
    ) {
        guard socket >= 0 else { return answer.fail(HTTPFailure.silent) }
        let connected = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try equip(channel)
                }
            }
            .withConnectedSocket(socket)
        connected.whenFailure { answer.fail($0) }
        connected.whenSuccess { channel in
            var head = HTTPRequestHead(version: .http1_1, method: method, uri: path)
            head.headers.add(name: "Host", value: "mayfly")
            head.headers.add(name: "Content-Length", value: "\(body.count)")
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            let buffer = channel.allocator.buffer(bytes: body)
            channel.write(HTTPClientRequestPart.body(.byteBuffer(buffer)), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }
    }

    /// Hands the pieces of an answer on as they come.
    private final class StreamHandler: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart

        private let answer: EventLoopPromise<HTTPAnswer>
        private let deadline: Deadline
        private let receive: @Sendable ([UInt8]) -> Void
        private var whole: HTTPAnswer?

        init(
            _ answer: EventLoopPromise<HTTPAnswer>, _ deadline: Deadline,
            _ receive: @escaping @Sendable ([UInt8]) -> Void
        ) {
            self.answer = answer
            self.deadline = deadline
            self.receive = receive
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            deadline.extend()
            switch unwrapInboundIn(data) {
            case .head(let head):
                whole = HTTPAnswer(
                    status: Int(head.status.code),
                    type: head.headers.first(name: "Content-Type") ?? "", body: [])
            case .body(let piece):
                let bytes = Array(piece.readableBytesView)
                if whole?.status == 200 {
                    receive(bytes)
                } else if (whole?.body.count ?? 0) + bytes.count <= answerByteLimit {
                    whole?.body += bytes
                }
            case .end:
                if let whole { answer.succeed(whole) }
                context.close(promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            answer.fail(whole == nil ? error : HTTPFailure.cut)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            answer.fail(whole == nil ? HTTPFailure.silent : HTTPFailure.cut)
        }
    }

    /// Keeps the promise with the answer, or with the end of the connection.
    private final class AnswerHandler: ChannelInboundHandler {
        typealias InboundIn = NIOHTTPClientResponseFull

        private let answer: EventLoopPromise<NIOHTTPClientResponseFull>

        init(_ answer: EventLoopPromise<NIOHTTPClientResponseFull>) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            answer.succeed(unwrapInboundIn(data))
            context.close(promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            answer.fail(error)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { answer.fail(HTTPFailure.silent) }
    }
}
