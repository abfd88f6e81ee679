import Multiformats
import ShardPlanner

/// The kinds of pins, by the names of ipfs-cluster.
package enum PinType: String, CaseIterable, Sendable {
    /// A root that is not sharded; this service makes none.
    case pin
    case meta = "meta-pin"
    case clusterDAG = "clusterdag-pin"
    case shard = "shard-pin"
}

/// A pin as ipfs-cluster lists it. A root has one meta pin, one cluster DAG pin and a pin for each
/// of its shards; they name each other by their references.
package struct PinRecord: Equatable, Sendable {
    package var cid: CID
    package var name: String
    package var type: PinType
    /// Levels of links that the pin covers: 0 for none or for all, 1 or 2 for shards.
    package var maxDepth: Int
    /// Peers that hold a shard, ascending; empty for the other types.
    package var allocations: [PeerID]
    package var replicationFactorMin: Int
    package var replicationFactorMax: Int
    /// Peers that the user restricted the shards to.
    package var userAllocations: [PeerID]
    /// Root to cluster DAG, cluster DAG to root, shard to the shard before it.
    package var reference: CID?
    /// Sum of the block sizes of a shard; 0 for the other types.
    package var shardByteCount: Int
    package var mode: PinMode
    package var timestamp: LogTime
    package var expireAt: LogTime?
    package var metadata: PinMetadata
    package var origins: [String]
    /// The root that it belongs to.
    package var root: CID
}

/// A place in the list of all pins, which is ordered by root; each root has its meta pin, its
/// cluster DAG pin, then its shard pins.
package struct PinCursor: Equatable, Sendable, CustomStringConvertible {
    package var root: CID
    /// 0 for the meta pin, 1 for the cluster DAG pin, 2 for shard 0 and so on.
    package var position: Int

    package init(root: CID, position: Int) {
        self.root = root
        self.position = position
    }

    /// Reads what `description` writes.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let position = UInt32(parts[1]),
            let root = try? CID(String(parts[0]))  // any text that is no CID is no cursor
        else { return nil }
        self.init(root: root, position: Int(position))
    }

    /// The root's CID, a colon, the position.
    package var description: String { "\(root):\(position)" }
}

/// Part of a list of pins.
package struct PinPage: Equatable, Sendable {
    package var pins: [PinRecord]
    /// Where to go on; `nil` when nothing is left.
    package var next: PinCursor?
}
