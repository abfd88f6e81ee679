import AsyncHTTPClient
import Glibc
import Multiformats
import NIOCore
import Testing

@testable import ClusterCore

struct SilentPeersTests {
    private let start = ContinuousClock.now
    private let peer: PeerID

    init() throws {
        peer = try PeerID(publicKey: [UInt8](repeating: 7, count: 32))
    }

    @Test func onlyThePeerThatWasSilentIsRememberedAndNotForLong() throws {
        var silent = SilentPeers()
        silent.insert(peer, at: start)
        let other = try PeerID(publicKey: [UInt8](repeating: 8, count: 32))
        #expect(silent.contains(peer, at: start))
        #expect(!silent.contains(other, at: start))
        #expect(!silent.contains(peer, at: start + SilentPeers.memory))
    }

    @Test func aPeerThatAnsweredIsNotSilent() {
        var silent = SilentPeers()
        silent.insert(peer, at: start)
        silent.remove(peer)
        #expect(!silent.contains(peer, at: start))
    }

    @Test(arguments: [ECONNREFUSED, ECONNRESET, EPIPE])
    func anErrorThatCameAtOnceIsNoSilence(code: CInt) {
        #expect(!SilentPeers.isSilence(IOError(errnoCode: code, reason: "connect")))
    }

    @Test func waitingInVainIsSilence() {
        #expect(SilentPeers.isSilence(HTTPClientError.connectTimeout))
        #expect(SilentPeers.isSilence(IOError(errnoCode: ETIMEDOUT, reason: "read")))
        #expect(!SilentPeers.isSilence(HTTPClientError.remoteConnectionClosed))
    }
}
