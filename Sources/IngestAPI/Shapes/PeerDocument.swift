/// A peer as `GET /id` and `GET /peers` show it: ipfs-cluster's fields, and ours for storage.
package struct PeerDocument: Equatable, Sendable, Codable {
    package var id: String
    /// HOST:PORT of the peer port.
    package var addresses: [String]
    package var clusterPeers: [String]
    package var clusterPeersAddresses: [String]
    package var version: String
    package var commit: String
    package var rpcProtocolVersion: String
    package var error: String
    package var ipfs: IPFS
    package var peername: String
    /// Nil for a peer whose storage is not known.
    package var storage: Storage?

    /// Where ipfs-cluster shows the IPFS daemon behind a peer. There is none here.
    package struct IPFS: Equatable, Sendable, Codable {
        package var addresses: [String] = []
        package var error = ""

        package init() {}
    }

    /// What placement knows of a peer, in bytes of files.
    package struct Storage: Equatable, Sendable, Codable {
        package var capacityBytes: UInt64
        package var usedBytes: UInt64
        package var reservedBytes: UInt64
        package var zone: String?
        package var host: String?
        /// `up`, `draining` or `down`.
        package var state: String

        private enum CodingKeys: String, CodingKey {
            case zone, host, state
            case capacityBytes = "capacity_bytes"
            case usedBytes = "used_bytes"
            case reservedBytes = "reserved_bytes"
        }

        package init(
            capacityBytes: UInt64, usedBytes: UInt64, reservedBytes: UInt64, zone: String? = nil,
            host: String? = nil, state: String = "up"
        ) {
            self.capacityBytes = capacityBytes
            self.usedBytes = usedBytes
            self.reservedBytes = reservedBytes
            self.zone = zone
            self.host = host
            self.state = state
        }
    }

    private enum CodingKeys: String, CodingKey {
        case id, addresses, version, commit, error, ipfs, peername, storage
        case clusterPeers = "cluster_peers"
        case clusterPeersAddresses = "cluster_peers_addresses"
        case rpcProtocolVersion = "rpc_protocol_version"
    }

    package init(
        id: String, peername: String, version: String, commit: String = "",
        addresses: [String] = [], clusterPeers: [String] = [],
        clusterPeersAddresses: [String] = [], rpcProtocolVersion: String = "", error: String = "",
        storage: Storage? = nil
    ) {
        self.id = id
        self.addresses = addresses
        self.clusterPeers = clusterPeers
        self.clusterPeersAddresses = clusterPeersAddresses
        self.version = version
        self.commit = commit
        self.rpcProtocolVersion = rpcProtocolVersion
        self.error = error
        ipfs = IPFS()
        self.peername = peername
        self.storage = storage
    }
}

/// The answer of `GET /version`.
package struct VersionDocument: Equatable, Sendable, Codable {
    package var version: String

    package init(version: String) {
        self.version = version
    }
}

/// The answer of `GET /state/digest`: equal on all peers that have applied as much.
package struct StateDigestDocument: Equatable, Sendable, Codable {
    /// The place in the log, in decimal.
    package var appliedIndex: String
    /// SHA-256 over all rows of the state, in hexadecimal.
    package var digest: String

    package enum CodingKeys: String, CodingKey {
        case appliedIndex = "applied_index"
        case digest
    }

    package init(appliedIndex: String, digest: String) {
        self.appliedIndex = appliedIndex
        self.digest = digest
    }
}

/// The answer of `GET /peers/{id}/safe-to-stop`.
package struct SafeToStop: Equatable, Sendable, Codable {
    package var isSafe: Bool
    /// Roots that nobody could read whole without the peer.
    package var unreadableRoots: [String]
    /// Uploads that it takes at the moment.
    package var openUploads: Int
    /// Enough voters remain to go on writing.
    package var keepsQuorum: Bool

    package enum CodingKeys: String, CodingKey {
        case isSafe = "safe"
        case unreadableRoots = "unreadable_roots"
        case openUploads = "open_uploads"
        case keepsQuorum = "keeps_quorum"
    }

    package init(
        isSafe: Bool, unreadableRoots: [String], openUploads: Int, keepsQuorum: Bool
    ) {
        self.isSafe = isSafe
        self.unreadableRoots = unreadableRoots
        self.openUploads = openUploads
        self.keepsQuorum = keepsQuorum
    }
}
