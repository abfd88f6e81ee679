/// How far a peer is with a pin; ipfs-cluster's names.
package enum PinState: String, CaseIterable, Codable, Sendable {
    case clusterError = "cluster_error"
    case pinError = "pin_error"
    case unpinError = "unpin_error"
    case pinned
    case pinning
    case unpinning
    case unpinned
    case remote
    case pinQueued = "pin_queued"
    case unpinQueued = "unpin_queued"
    case sharded
    case unexpectedlyUnpinned = "unexpectedly_unpinned"
}

/// A pin with its state on every peer, as `GET /pins` lists it; ipfs-cluster's field names.
package struct GlobalPinInfo: Equatable, Sendable, Codable {
    package var cid: String
    package var name: String
    package var allocations: [String]
    package var origins: [String]
    package var created: WallTime
    package var metadata: [String: String]
    /// By peer ID.
    package var peerMap: [String: PeerState]

    package struct PeerState: Equatable, Sendable, Codable {
        package var peername: String
        /// Always nil here; there is no IPFS daemon behind a peer.
        package var ipfsPeerID: String?
        package var ipfsPeerAddresses: [String]?
        package var status: PinState
        package var timestamp: WallTime
        package var error: String
        package var attemptCount: Int
        package var priorityPin: Bool

        private enum CodingKeys: String, CodingKey {
            case peername, status, timestamp, error
            case ipfsPeerID = "ipfs_peer_id"
            case ipfsPeerAddresses = "ipfs_peer_addresses"
            case attemptCount = "attempt_count"
            case priorityPin = "priority_pin"
        }

        package init(peername: String, status: PinState, timestamp: WallTime, error: String = "") {
            self.peername = peername
            self.status = status
            self.timestamp = timestamp
            self.error = error
            attemptCount = 0
            priorityPin = false
        }
    }

    private enum CodingKeys: String, CodingKey {
        case cid, name, allocations, origins, created, metadata
        case peerMap = "peer_map"
    }

    package init(
        cid: String, name: String, allocations: [String], origins: [String] = [],
        created: WallTime, metadata: [String: String] = [:], peerMap: [String: PeerState]
    ) {
        self.cid = cid
        self.name = name
        self.allocations = allocations
        self.origins = origins
        self.created = created
        self.metadata = metadata
        self.peerMap = peerMap
    }
}
