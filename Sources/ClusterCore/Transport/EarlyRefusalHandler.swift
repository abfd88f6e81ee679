import NIOCore
import NIOHTTP1

/// Ends a connection whose request was refused before all of it was sent, before the client takes the
/// answer for complete.
///
/// AsyncHTTPClient 1.37 lets go of such a request when the answer is complete, and nobody wakes the task
/// then that waits to send the rest: it stays for ever, with what it was sending. A connection that ends
/// in the middle of an answer makes it end the request instead.
final class EarlyRefusalHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias InboundOut = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private var isSending = false
    private var isRefused = false
    private var isOver = false

    /// Puts one between the codec and the client of a connection.
    static func add(to channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.submit {
            let pipeline = channel.pipeline.syncOperations
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPResponseDecoder>.self)
            try pipeline.addHandler(EarlyRefusalHandler(), position: .after(decoder))
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head: (isSending, isRefused) = (true, false)
        case .body: break
        case .end: isSending = false
        }
        context.write(data, promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): isRefused = head.status.code >= 300
        case .body: break
        case .end:
            isOver = isSending && isRefused
            if isOver { return }
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // What came of the answer is passed on first.
        context.fireChannelReadComplete()
        if isOver { context.close(promise: nil) }
    }
}
