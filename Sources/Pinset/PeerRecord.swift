import Multiformats
import ShardPlanner

/// What a peer says of itself when it joins or comes back with other settings.
package struct PeerJoin: Equatable, Sendable {
    package var peer: PeerID
    package var name: String
    /// Addresses other peers reach it at.
    package var addresses: [String]
    /// Failure domain of the operator, such as a room.
    package var zone: String?
    /// The machine, when several peers share one.
    package var host: String?
    package var storageID: StorageID
    package var capacityByteCount: Int
    /// The member's former storage is lost: take this one and forget the copies on the other.
    package var replacesStorage: Bool

    package init(
        peer: PeerID, name: String, addresses: [String] = [], zone: String? = nil,
        host: String? = nil, storageID: StorageID, capacityByteCount: Int,
        replacesStorage: Bool = false
    ) {
        self.peer = peer
        self.name = name
        self.addresses = addresses
        self.zone = zone
        self.host = host
        self.storageID = storageID
        self.capacityByteCount = capacityByteCount
        self.replacesStorage = replacesStorage
    }
}

/// Whether the cluster hears from a peer.
package enum PeerStatus: Equatable, Sendable {
    case up
    case down(since: LogTime)
}

/// A member and what it holds.
package struct PeerRecord: Equatable, Sendable {
    package var peer: PeerID
    package var name: String
    package var addresses: [String]
    package var zone: String?
    package var host: String?
    package var storageID: StorageID
    package var capacityByteCount: Int
    package var status: PeerStatus = .up
    package var isDraining = false
    /// File bytes of its copies.
    package var copiesByteCount = 0
    package var copyCount = 0
    /// File bytes of dropped copies that it has not confirmed to have deleted.
    package var droppingByteCount = 0
    /// File bytes promised to shards that are not sealed.
    package var reservedByteCount = 0

    init(_ join: PeerJoin) {
        peer = join.peer
        name = join.name
        addresses = join.addresses
        zone = join.zone
        host = join.host
        storageID = join.storageID
        capacityByteCount = join.capacityByteCount
    }

    /// Bytes on its disk as far as the state knows: copies, and dropped ones not yet deleted.
    package var usedByteCount: Int { copiesByteCount + droppingByteCount }

    /// Bytes that may still be promised; 0 for an over-committed peer.
    package var freeByteCount: Int {
        max(0, capacityByteCount - usedByteCount - reservedByteCount)
    }

    /// The peer as placement sees it.
    package var capacity: PeerCapacity {
        let state: PeerCapacity.State =
            switch status {
            case .down(let since): .down(sinceMilliseconds: since.millisecondsSinceEpoch)
            case .up: isDraining ? .draining : .up
            }
        return PeerCapacity(
            peer: peer, capacityByteCount: capacityByteCount, usedByteCount: usedByteCount,
            reservedByteCount: reservedByteCount, zone: zone, host: host, state: state)
    }

    var isUp: Bool { status == .up }

    /// Its copies count towards what a shard wants.
    var isReliable: Bool { isUp && !isDraining }
}
