import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server that gives the answers it is told to, or takes a request and closes without a word.
final class CannedServer: Sendable {
    /// What it answers: 503 but for what is wanted.
    enum Answer: Sendable {
        case success(String)
        case refusal(String)
        case silence
        /// All but the last byte of a success, and then nothing.
        case unfinished
    }

    let url: String
    private let channel: any Channel
    private let seen = Seen()

    /// The paths it was asked for.
    var paths: [String] { seen.paths.withLock { $0 } }

    /// - Parameter answer: The body of its answers, with status 503; `nil` to give none.
    convenience init(_ answer: String?) async throws {
        try await self.init { _ in answer.map(Answer.refusal) ?? .silence }
    }

    /// - Parameter answer: Its answer to a request for a path.
    init(answer: @escaping @Sendable (_ path: String) -> Answer) async throws {
        let seen = seen
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { path in
                            seen.paths.withLock { $0.append(path) }
                            return answer(path)
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        url = "http://127.0.0.1:\(channel.localAddress!.port!)"
    }

    deinit {
        channel.close(promise: nil)
    }

    private final class Seen: Sendable {
        let paths = Mutex<[String]>([])
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: (String) -> Answer
        private var path = ""

        init(answer: @escaping (String) -> Answer) {
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): path = head.uri
            case .body: break
            case .end:
                switch answer(path) {
                case .success(let body): send(.ok, body, context)
                case .refusal(let body): send(.serviceUnavailable, body, context)
                case .silence: context.close(promise: nil)
                case .unfinished:
                    let head = HTTPResponseHead(
                        version: .http1_1, status: .ok, headers: ["Content-Length": "2"])
                    context.write(wrapOutboundOut(.head(head)), promise: nil)
                    let body = ByteBuffer(string: "{")
                    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
                }
            }
        }

        private func send(
            _ status: HTTPResponseStatus, _ body: String, _ context: ChannelHandlerContext
        ) {
            let head = HTTPResponseHead(
                version: .http1_1, status: status,
                headers: ["Content-Length": String(body.utf8.count)])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(
                wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
