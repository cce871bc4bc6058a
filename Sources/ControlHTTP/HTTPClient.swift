// HTTPClient: requests to Unix sockets, one to each. For commands, so it waits, but not for long.

internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Why there is no answer.
package enum HTTPFailure: Error, Equatable {
    /// connect(2) or the connection failed with this errno.
    case system(Int32)
    /// No answer came in time, or none that is HTTP.
    case silent
}

package enum HTTPClient {
    /// As much as a server may answer, and wait with it: it may be anyone's.
    private static let answerByteLimit = 4 << 20
    package static let answerSeconds = 5

    /// Lives as long as the command.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    package static func ask(
        _ method: String, _ path: String, body: [UInt8], socket: String,
        seconds: Int = answerSeconds
    ) throws(HTTPFailure) -> HTTPAnswer {
        try answer(
            send(
                HTTPMethod(rawValue: method), path, body: body, to: socket,
                within: .seconds(Int64(seconds))))
    }

    /// Asks many servers at the same time, so that those which hang are waited for together.
    package static func get(
        _ path: String, sockets: [String], seconds: Int
    ) -> [Result<HTTPAnswer, HTTPFailure>] {
        var results: [Result<HTTPAnswer, HTTPFailure>] = []
        // A socket each, of 1024 descriptors that a process has as a rule.
        for start in stride(from: 0, to: sockets.count, by: 256) {
            let sent = sockets[start..<min(start + 256, sockets.count)].map {
                send(.GET, path, body: [], to: $0, within: .seconds(Int64(seconds)))
            }
            for future in sent {
                results.append(
                    Result { () throws(HTTPFailure) -> HTTPAnswer in try answer(future) })
            }
        }
        return results
    }

    private static func answer(
        _ future: EventLoopFuture<NIOHTTPClientResponseFull>
    ) throws(HTTPFailure) -> HTTPAnswer {
        do {
            let answer = try future.wait()
            return HTTPAnswer(
                status: Int(answer.head.status.code),
                type: answer.head.headers.first(name: "Content-Type") ?? "",
                body: answer.body.map { Array($0.readableBytesView) } ?? [])
        } catch let error as IOError {
            throw .system(error.errnoCode)
        } catch {
            throw .silent
        }
    }

    private static func send(
        _ method: HTTPMethod, _ path: String, body: [UInt8], to socket: String,
        within time: TimeAmount
    ) -> EventLoopFuture<NIOHTTPClientResponseFull> {
        let loop = group.next()
        let answer = loop.makePromise(of: NIOHTTPClientResponseFull.self)
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(time)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(
                        NIOHTTPClientResponseAggregator(maxContentLength: answerByteLimit))
                    try pipeline.addHandler(AnswerHandler(answer))
                }
            }
            .connect(unixDomainSocketPath: socket)
        connected.whenFailure { answer.fail($0) }
        connected.whenSuccess { channel in
            let deadline = channel.eventLoop.scheduleTask(in: time) {
                channel.close(promise: nil)
            }
            channel.closeFuture.whenComplete { _ in deadline.cancel() }
            var head = HTTPRequestHead(version: .http1_1, method: method, uri: path)
            head.headers.add(name: "Host", value: "mayfly")
            head.headers.add(name: "Content-Length", value: "\(body.count)")
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            let buffer = channel.allocator.buffer(bytes: body)
            channel.write(HTTPClientRequestPart.body(.byteBuffer(buffer)), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }
        return answer.futureResult
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
