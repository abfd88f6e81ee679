import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import ClusterCore

struct EarlyRefusalTests {
    /// What a request sends is let go of, and the refusal is there to be read.
    @Test(.timeLimit(.minutes(1)))
    func aRequestThatIsRefusedBeforeItIsSentKeepsNothing() async throws {
        let server = try await Self.startServer()
        var settings = HTTPClient.Configuration()
        settings.httpVersion = .http1Only
        settings.http1_1ConnectionDebugInitializer = EarlyRefusalHandler.add
        let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        let (ends, ended) = AsyncStream.makeStream(of: Void.self)
        let address = "http://127.0.0.1:\(server.localAddress!.port!)/"
        let text = try await refusal(of: Token { ended.yield() }, at: address, http)
        #expect(text == "503 Service Unavailable: not now")
        for await _ in ends { break }
        try await http.shutdown()
        try await server.close()
    }

    private func refusal(
        of token: Token, at address: String, _ http: HTTPClient
    ) async throws -> String {
        var request = HTTPClientRequest(url: address)
        request.method = .PUT
        request.body = .stream(Pieces(token: token), length: .known(Int64(Pieces.byteCount)))
        let response = try await http.execute(request, timeout: .seconds(30))
        var text = "\(response.status): "
        do {
            for try await part in response.body { text += String(buffer: part) }
        } catch {
            #expect(error as? HTTPClientError == .remoteConnectionClosed)
        }
        return text
    }

    private final class Token: Sendable {
        private let onEnd: @Sendable () -> Void

        init(onEnd: @escaping @Sendable () -> Void) { self.onEnd = onEnd }

        deinit { onEnd() }
    }

    /// More than fits into the buffers of a connection.
    private struct Pieces: AsyncSequence, AsyncIteratorProtocol, Sendable {
        static let byteCount = 64 << 20

        let token: Token
        var left = 64

        func makeAsyncIterator() -> Pieces { self }

        mutating func next() async -> ByteBuffer? {
            left -= 1
            return left < 0 ? nil : ByteBuffer(repeating: 0, count: 1 << 20)
        }
    }

    /// Answers the head of a request, and reads no more.
    private static func startServer() async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withPipeliningAssistance: false)
                    try channel.pipeline.syncOperations.addHandler(Refuser())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private final class Refuser: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .head = unwrapInboundIn(data) else { return }
            let text = ByteBuffer(string: "not now")
            let head = HTTPResponseHead(
                version: .http1_1, status: .serviceUnavailable,
                headers: ["Content-Length": "\(text.readableBytes)"])
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(text))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            _ = context.channel.setOption(.autoRead, value: false)
        }
    }
}
