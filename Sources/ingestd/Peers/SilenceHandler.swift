import ClusterCore
import NIOCore

/// Ends a connection of another peer that has gone without a word: what it was sending is given up at
/// once and not after the idle time that clients have.
final class SilenceHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    func handlerAdded(context: ChannelHandlerContext) {
        // A channel that refuses it is closed when it has been idle for long.
        _ = ConnectionSilence.notice(on: context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(data)
    }
}
