import HTTPTypes
import IngestAPI
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Sets how a connection reads: long, fixed receive buffers instead of the adaptive ones, which
/// stop at 64 KiB and cost a wake-up each. Hummingbird has no setting for child channels, so this
/// handler does it when it is added and then stays out of the way.
final class ReceiveTuningHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private static let receiveByteCount = 256 << 10
    private static let messagesPerRead: UInt = 4

    func handlerAdded(context: ChannelHandlerContext) {
        guard let options = context.channel.syncOptions else { return }
        // Defaults serve as well, only slower, so a channel that refuses an option is no failure.
        try? options.setOption(
            .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.receiveByteCount)
        )
        try? options.setOption(.maxMessagesPerRead, value: Self.messagesPerRead)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
    }
}

/// Holds back what a client sends ahead of its answers: the handlers behind it see one request at a
/// time, and an error in a later request waits until the answers before it are written.
final class PipelinedRequestsHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var isReceived = true
    private var isAnswered = true
    /// At most what one read brings, since none is made meanwhile.
    private var held = CircularBuffer<HTTPRequestPart>()
    private var heldError: (any Error)?
    private var isReadWanted = false

    /// The request was received whole, and its answer is not written yet.
    private var mustWait: Bool { isReceived && !isAnswered }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = unwrapInboundIn(data)
        if mustWait { held.append(part) } else { pass(part, context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard mustWait, error is HTTPParserError else { return context.fireErrorCaught(error) }
        heldError = error
    }

    func read(context: ChannelHandlerContext) {
        if mustWait { isReadWanted = true } else { context.read() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part = unwrapOutboundIn(data)
        context.write(data, promise: promise)
        guard case .end = part else { return }
        isAnswered = true
        if isReceived { goOn(context) }
    }

    private func pass(_ part: HTTPRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head: (isReceived, isAnswered) = (false, false)
        case .body: break
        case .end: isReceived = true
        }
        context.fireChannelRead(wrapInboundOut(part))
    }

    private func goOn(_ context: ChannelHandlerContext) {
        let isHolding = !held.isEmpty
        while !mustWait, !held.isEmpty { pass(held.removeFirst(), context) }
        if isHolding { context.fireChannelReadComplete() }
        guard !mustWait else { return }
        if let error = heldError {
            heldError = nil
            context.fireErrorCaught(error)
        }
        if isReadWanted {
            isReadWanted = false
            context.read()
        }
    }
}

/// A request handler is ready for the body: a client that asked to be told may send it.
struct AcceptBody: Sendable {}

/// Something to tell while the body of a request is still coming.
struct TellInterim: Sendable {
    let head: HTTPResponse
}

/// Sends answers before the answer. `Expect: 100-continue` has one when the handler of the request asks
/// for the body, and not before, so that a request which is refused by its head alone never sends one.
final class InterimHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var isExpected = false
    /// A request has come that is not answered yet.
    private var isOpen = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let request):
            isOpen = true
            isExpected = request.headerFields[.expect]?.lowercased() == "100-continue"
        case .body, .end:
            isExpected = false
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        isExpected = false
        isOpen = false
        context.write(data, promise: promise)
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        switch event {
        case is AcceptBody:
            if isExpected { tell(HTTPResponse(status: .continue), context) }
            isExpected = false
        case let interim as TellInterim:
            if isOpen { tell(interim.head, context) }
        default: return context.triggerUserOutboundEvent(event, promise: promise)
        }
        promise?.succeed()
    }

    private func tell(_ head: HTTPResponse, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
    }
}

/// Asks whether the body of the request under way has come to its end. Whoever reads a body sees a
/// connection that broke end just as well.
struct AskForEnd: Sendable {
    let answer: EventLoopPromise<Bool>
}

/// Bounds what a client may go on sending after its request has been answered.
///
/// A client that sends a long body and only then reads needs some patience, or the reset of the
/// connection takes the answer with it. One that never stops is cut off.
final class UnreadBodyHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart

    private static let byteCountLimit = 256 << 20
    private static let patience = TimeAmount.seconds(30)

    private var isRequestOpen = false
    private var unreadByteCount: Int?
    private var deadline: Scheduled<Void>?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isRequestOpen = true
        case .body(let bytes):
            if let count = unreadByteCount {
                unreadByteCount = count + bytes.readableBytes
                if count + bytes.readableBytes > Self.byteCountLimit { context.close(promise: nil) }
                return  // nobody reads it any more
            }
        case .end:
            isRequestOpen = false
            forget()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data), isRequestOpen {
            unreadByteCount = 0
            let channel = context.channel
            deadline = context.eventLoop.scheduleTask(in: Self.patience) {
                channel.close(promise: nil)
            }
        }
        context.write(data, promise: promise)
        // Whoever read the body may have stopped reading for want of room.
        if unreadByteCount != nil { context.read() }
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let question = event as? AskForEnd else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        question.answer.succeed(!isRequestOpen)
        promise?.succeed()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if unreadByteCount != nil { context.read() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        forget()
        context.fireChannelInactive()
    }

    private func forget() {
        unreadByteCount = nil
        deadline?.cancel()
        deadline = nil
    }
}

/// Closes a connection whose client takes nothing of what is written for a while: an answer that is
/// not read would hold what it reads from for ever. The server's own idle timeout is for requests.
final class StalledReaderHandler: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let patience: TimeAmount
    private var unwrittenCount = 0
    private var deadline: Scheduled<Void>?

    init(patience: TimeAmount) {
        self.patience = patience
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        unwrittenCount += 1
        if unwrittenCount == 1 { restart(context.channel) }
        let promise = promise ?? context.eventLoop.makePromise()
        let channel = context.channel
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.unwrittenCount -= 1
            self.restart(channel)
        }
        context.write(data, promise: promise)
    }

    /// Something was taken, or there is something to take.
    private func restart(_ channel: any Channel) {
        deadline?.cancel()
        deadline = nil
        guard unwrittenCount > 0 else { return }
        deadline = channel.eventLoop.assumeIsolated().scheduleTask(in: patience) {
            channel.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
    }
}

/// Answers what is not HTTP with an error in JSON, like every other error, and closes.
///
/// Inside a body the error goes to whoever reads the body, who answers it.
final class MalformedRequestHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var isRequestOpen = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: isRequestOpen = true
        case .body: break
        case .end: isRequestOpen = false
        }
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError, !isRequestOpen else {
            return context.fireErrorCaught(error)
        }
        let problem = Problem(
            .badRequest, "the request is not valid HTTP/1.1 (\(error)); check what was sent")
        let body = ByteBuffer(bytes: problem.body(dialect: .cluster, instance: nil, requestID: nil))
        let head = HTTPResponse(
            status: problem.status,
            headerFields: [
                .contentType: APIField.json, .connection: "close",
                .contentLength: String(body.readableBytes),
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            channel.close(promise: nil)
        }
    }
}
