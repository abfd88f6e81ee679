import Foundation
import Multiformats
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import ClusterCore

@Suite struct PeerHandshakeTests {
    private let secret = ClusterSecret.random()

    private func credentials(
        addresses: [String] = [], madeAt time: Date = Date()
    ) throws -> PeerCredentials {
        try PeerCredentials(
            secret: secret, identity: PeerIdentity(), addresses: addresses, now: time)
    }

    private func stranger() throws -> PeerCredentials {
        try PeerCredentials(secret: .random(), identity: PeerIdentity(), now: Date())
    }

    @Test func peersOfOneClusterProveThemselvesToEachOther() async throws {
        let (one, other) = (try credentials(), try credentials())
        for (server, client) in [(one, other), (other, one), (one, one)] {
            let meeting = try await Meeting(server, client.clientConfiguration)
            #expect(try meeting.client.get() == server.peer)
            #expect(try meeting.server.get() == client.peer)
        }
    }

    @Test func aClientOfAnotherClusterIsRefused() async throws {
        let server = try credentials()
        var client = try stranger().clientConfiguration
        // It knows the server's authority, so that the server is the one to refuse.
        client.trustRoots = server.clientConfiguration.trustRoots
        let meeting = try await Meeting(server, client)
        #expect(throws: NIOSSLError.self) { try meeting.server.get() }
        #expect(throws: (any Error).self) { try meeting.client.get() }
    }

    @Test func aServerOfAnotherClusterIsRefused() async throws {
        let meeting = try await Meeting(stranger(), credentials().clientConfiguration)
        #expect(throws: NIOSSLError.self) { try meeting.client.get() }
        #expect(throws: (any Error).self) { try meeting.server.get() }
    }

    @Test func aClientWithoutACertificateIsRefused() async throws {
        let server = try credentials()
        var client = server.clientConfiguration
        client.certificateChain = []
        client.privateKey = nil
        let meeting = try await Meeting(server, client)
        #expect(throws: NIOSSLError.self) { try meeting.server.get() }
        #expect(throws: (any Error).self) { try meeting.client.get() }
    }

    @Test func aClientThatAsksForAnotherPeerRefusesTheServer() async throws {
        let (server, other, client) = (try credentials(), try credentials(), try credentials())
        let meeting = try await Meeting(
            server, client.clientConfiguration,
            asking: PeerCredentials.serverName(of: other.peer))
        #expect(throws: NIOSSLExtraError.failedToValidateHostname) { try meeting.client.get() }
        #expect(throws: (any Error).self) { try meeting.server.get() }
    }

    @Test(arguments: ["etcd.example", "localhost", nil])
    func aServerIsKnownByItsOtherAddresses(name: String?) async throws {
        let client = try credentials()
        let known = try await Meeting(
            credentials(addresses: ["127.0.0.1", "::1", "localhost", "etcd.example"]),
            client.clientConfiguration, asking: name)
        #expect(try known.server.get() == client.peer)
        #expect(throws: Never.self) { try known.client.get() }
        let unknown = try await Meeting(
            credentials(addresses: ["127.0.0.2", "example"]), client.clientConfiguration,
            asking: name)
        #expect(throws: NIOSSLExtraError.failedToValidateHostname) { try unknown.client.get() }
    }

    @Test func anOlderVersionOfTLSIsRefused() async throws {
        let server = try credentials()
        var client = try credentials().clientConfiguration
        client.minimumTLSVersion = .tlsv12
        client.maximumTLSVersion = .tlsv12
        let meeting = try await Meeting(server, client)
        #expect(throws: NIOSSLError.self) { try meeting.server.get() }
        #expect(throws: NIOSSLError.self) { try meeting.client.get() }
    }

    @Test func aCertificateHoldsForTenYearsAndForClocksBehind() async throws {
        let server = try credentials()
        let hour = 3_600.0
        for age in [-23 * hour, 9 * 365 * 24 * hour] {
            let client = try credentials(madeAt: Date(timeIntervalSinceNow: -age))
            let meeting = try await Meeting(server, client.clientConfiguration)
            #expect(try meeting.server.get() == client.peer)
        }
        for age in [-25 * hour, 11 * 365 * 24 * hour] {
            let client = try credentials(madeAt: Date(timeIntervalSinceNow: -age))
            let meeting = try await Meeting(server, client.clientConfiguration)
            #expect(throws: NIOSSLError.self) { try meeting.server.get() }
        }
    }
}

/// One connection over loopback on which both sides say a word after their handshake: the peer that
/// each side heard it from, or why it heard none.
private struct Meeting {
    let server: Result<PeerID, any Error>
    let client: Result<PeerID, any Error>

    /// - Parameter name: What the client asks for: by default, the server's peer. With `nil` it
    ///   checks the address it is connected to.
    init(
        _ credentials: PeerCredentials, _ client: TLSConfiguration, asking name: String?
    ) async throws {
        let serverContext = try NIOSSLContext(configuration: credentials.serverConfiguration)
        let clientContext = try NIOSSLContext(configuration: client)
        let group = MultiThreadedEventLoopGroup.singleton
        let serverHeard = group.any().makePromise(of: PeerID.self)
        let clientHeard = group.any().makePromise(of: PeerID.self)
        do {
            let listener = try await ServerBootstrap(group: group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers(
                            NIOSSLServerHandler(context: serverContext), Greeter(serverHeard))
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            defer { listener.close(promise: nil) }
            let connection = try await ClientBootstrap(group: group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers(
                            NIOSSLClientHandler(context: clientContext, serverHostname: name),
                            Greeter(clientHeard))
                    }
                }
                .connect(to: #require(listener.localAddress)).get()
            defer { connection.close(promise: nil) }
            server = await serverHeard.futureResult.result()
            self.client = await clientHeard.futureResult.result()
        } catch {
            // Nobody else keeps these promises any more.
            serverHeard.fail(error)
            clientHeard.fail(error)
            throw error
        }
    }

    init(_ credentials: PeerCredentials, _ client: TLSConfiguration) async throws {
        try await self.init(
            credentials, client, asking: PeerCredentials.serverName(of: credentials.peer))
    }
}

extension EventLoopFuture where Value: Sendable {
    fileprivate func result() async -> Result<Value, any Error> {
        do {
            return .success(try await get())
        } catch {
            return .failure(error)
        }
    }
}

/// Says a word, which leaves only after the handshake, and tells who the other side is once it
/// hears one.
private final class Greeter: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let heard: EventLoopPromise<PeerID>

    init(_ heard: EventLoopPromise<PeerID>) {
        self.heard = heard
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "hello")), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        heard.completeWith(
            Result {
                let tls = try context.pipeline.syncOperations.handler(type: NIOSSLHandler.self)
                return try PeerID(provenBy: #require(tls.peerCertificate).toDERBytes())
            })
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        heard.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        heard.fail(ChannelError.eof)
    }
}
