import AsyncHTTPClient
import Glibc
import Multiformats
import NIOCore

/// Peers that went without a word, so that not everybody who needs one waits to learn that again.
///
/// A peer that lost its power is a member in good standing until its lease has ended and somebody has
/// said so; until then each call to it takes as long as it takes to notice.
struct SilentPeers {
    /// How long a peer that was found silent counts as such. About as long as it takes until it is down.
    static let memory = Duration.seconds(10)

    private var forgotten: [PeerID: ContinuousClock.Instant] = [:]

    func contains(_ peer: PeerID, at now: ContinuousClock.Instant) -> Bool {
        forgotten[peer].map { now < $0 } ?? false
    }

    /// A call to the peer found no answer in time.
    mutating func insert(_ peer: PeerID, at now: ContinuousClock.Instant) {
        forgotten[peer] = now + Self.memory
    }

    /// The peer has answered.
    mutating func remove(_ peer: PeerID) { forgotten[peer] = nil }

    /// Whether an error is one of waiting in vain. A refusal to connect or a reset costs no time, and the
    /// process behind it may be back at once.
    static func isSilence(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError:
            [.connectTimeout, .readTimeout, .writeTimeout, .tlsHandshakeTimeout].contains(error)
        case let error as IOError: [ETIMEDOUT, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode)
        default: false
        }
    }
}
