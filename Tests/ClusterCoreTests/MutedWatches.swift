import NIOCore
import NIOPosix

/// Stands between a client and etcd, and lets everything through but what watches say: as a connection
/// does that died without a word.
final class MutedWatches: Sendable {
    let url: String
    private let channel: any Channel

    init(before endpoint: String) async throws {
        let port = Int(endpoint.split(separator: ":").last!)!
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            // Nothing is read before this is done.
            .childChannelInitializer { near in
                ClientBootstrap(group: near.eventLoop)
                    .connect(host: "127.0.0.1", port: port)
                    .flatMapThrowing { far in
                        let (there, back) = (Pipe(to: far), Pipe(to: near))
                        there.back = back
                        try near.pipeline.syncOperations.addHandler(there)
                        try far.pipeline.syncOperations.addHandler(back)
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        url = "http://127.0.0.1:\(channel.localAddress!.port!)"
    }

    func close() {
        channel.close(promise: nil)
    }

    /// One direction of a connection.
    private final class Pipe: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let target: any Channel
        private var isMuted = false
        /// The other direction, as seen by the one towards etcd.
        var back: Pipe?

        init(to target: any Channel) {
            self.target = target
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            if bytes.readableBytesView.starts(with: "POST /v3/watch".utf8) { back?.isMuted = true }
            if !isMuted { target.writeAndFlush(bytes, promise: nil) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            target.close(promise: nil)
        }
    }
}
