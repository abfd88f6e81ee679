import Multiformats

/// One shard that wants peers.
package struct AllocationRequest: Equatable, Sendable {
    /// The upload and the shard's place in it; they break ties.
    package var upload: UploadID
    package var shardNumber: Int
    /// Bytes of the shard's file on each peer, at least 1.
    package var shardByteCount: Int
    package var policy: AllocationPolicy
    /// Peers that hold the shard or its reservation already: they count first and need no room.
    package var keeping: [PeerID]
    /// Peers that failed to take this shard.
    package var excluding: [PeerID]
    /// Log time of the decision; only for saying how long a peer has been down.
    package var atMilliseconds: UInt64

    package init(
        upload: UploadID, shardNumber: Int, shardByteCount: Int, policy: AllocationPolicy,
        keeping: [PeerID] = [], excluding: [PeerID] = [], atMilliseconds: UInt64 = 0
    ) {
        precondition(shardByteCount >= 1, "a shard has at least one byte")
        self.upload = upload
        self.shardNumber = shardNumber
        self.shardByteCount = shardByteCount
        self.policy = policy
        self.keeping = keeping
        self.excluding = excluding
        self.atMilliseconds = atMilliseconds
    }
}
