import Glibc
import NIOCore

/// Ends connections between peers when the other side has gone without a word.
package enum ConnectionSilence {
    /// A slow peer has its time, but one that acknowledges no byte for this long is gone, and so is the
    /// connection. In milliseconds, tcp(7).
    private static let patience = 3_000

    /// Lets the system watch a connection: after a second without traffic it asks once a second.
    @Sendable package static func notice(on channel: any Channel) -> EventLoopFuture<Void> {
        let options: [(ChannelOptions.Types.SocketOption, Int)] = [
            (.init(level: .socket, name: .so_keepalive), 1),
            (.init(level: .tcp, name: .init(rawValue: TCP_KEEPIDLE)), 1),
            (.init(level: .tcp, name: .init(rawValue: TCP_KEEPINTVL)), 1),
            (.init(level: .tcp, name: .init(rawValue: TCP_USER_TIMEOUT)), patience),
        ]
        return .andAllSucceed(
            options.map { channel.setOption($0.0, value: $0.1) }, on: channel.eventLoop)
    }
}
