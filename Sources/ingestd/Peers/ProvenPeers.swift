import ClusterCore
import Multiformats
import Synchronization

/// Whom certificates prove. A peer shows the same one on all its connections, and a proof takes two
/// signatures to check, so it is not checked again for each request.
final class ProvenPeers: Sendable {
    /// Certificates remembered; each process of a peer has one.
    private static let limit = 1024

    private let peers = Mutex<[[UInt8]: PeerID]>([:])

    /// - Parameter certificate: In DER; TLS has checked that it is of the cluster and valid.
    func peer(provenBy certificate: [UInt8]) throws(PeerCertificateError) -> PeerID {
        if let known = peers.withLock({ $0[certificate] }) { return known }
        let peer = try PeerID(provenBy: certificate)
        peers.withLock { peers in
            if peers.count >= Self.limit { peers = [:] }
            peers[certificate] = peer
        }
        return peer
    }
}
