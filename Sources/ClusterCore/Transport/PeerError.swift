import Multiformats

/// Why another peer did not do what it was asked for.
package enum PeerError: Error, CustomStringConvertible {
    case noAddress(PeerID)
    case unreachable(PeerID, cause: String)
    case refused(PeerID, status: Int, message: String)
    case badReceipt(PeerID, String)
    /// The peer to join through.
    case notJoined(String, cause: String)

    /// Whether the peer itself is why, and not what it was sent.
    var isOfPeer: Bool {
        switch self {
        case .noAddress, .unreachable: true
        case .refused(_, let status, _): status >= 500
        case .badReceipt, .notJoined: false
        }
    }

    package var description: String {
        switch self {
        case .noAddress(let peer):
            "peer \(peer) says no address; set cluster.advertise there and restart it"
        case .unreachable(let peer, let cause): "peer \(peer) does not answer: \(cause)"
        case .refused(let peer, let status, let message):
            "peer \(peer) refused (\(status)): \(message)"
        case .notJoined(let address, let cause):
            """
            the peer at \(address) does not tell of its cluster: \(cause); check the address of its \
            peer port, and that both have the same secret
            """
        case .badReceipt(let peer, let reason): "the receipt of peer \(peer) is void: \(reason)"
        }
    }
}
