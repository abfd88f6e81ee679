import Multiformats

/// The shards an upload would make and where they would go: what a dry run prints.
package struct ShardPlan: Equatable, Sendable, CustomStringConvertible {
    /// One shard of the plan.
    package struct Shard: Equatable, Sendable {
        package var number: Int
        package var cid: CID
        package var blockCount: Int
        /// Sum of the block sizes.
        package var payloadByteCount: Int
        /// Length of the shard's file: frames and index included.
        package var fileByteCount: Int
        /// Peers it would go to; empty when no service was asked.
        package var peers: [PeerID]

        package init(
            number: Int, cid: CID, blockCount: Int, payloadByteCount: Int, fileByteCount: Int,
            peers: [PeerID] = []
        ) {
            self.number = number
            self.cid = cid
            self.blockCount = blockCount
            self.payloadByteCount = payloadByteCount
            self.fileByteCount = fileByteCount
            self.peers = peers
        }
    }

    package var root: CID
    package var clusterDAG: CID
    package var shards: [Shard]

    package init(root: CID, clusterDAG: CID, shards: [Shard]) {
        self.root = root
        self.clusterDAG = clusterDAG
        self.shards = shards
    }

    package var payloadByteCount: Int { shards.reduce(0) { $0 + $1.payloadByteCount } }

    /// A line for the root, then one for each shard: number, CID, blocks, bytes, peers.
    package var description: String {
        let head =
            "\(root) in \(shards.count) shards, \(payloadByteCount) bytes, "
            + "cluster DAG \(clusterDAG)"
        let lines = shards.map { shard in
            let peers = shard.peers.map(\.description).joined(separator: " ")
            return "\(shard.number) \(shard.cid) \(shard.blockCount) \(shard.payloadByteCount)"
                + (peers.isEmpty ? "" : " " + peers)
        }
        return ([head] + lines).joined(separator: "\n")
    }
}
