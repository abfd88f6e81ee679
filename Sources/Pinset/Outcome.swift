import Multiformats
import ShardPlanner

/// The answer to a command, the same on every peer and for every retry.
package enum Outcome: Equatable, Sendable {
    case done
    case reserved(ReservedShard)
    case sealed(SealedShard)
    case committed(CommittedUpload)
    /// Roots that were unpinned: one, or several by expiry.
    case unpinned(UnpinnedRoots)
    /// How many were forgotten by a housekeeping command.
    case forgotten(count: Int)
    /// Nothing has changed.
    case refused(Refusal)

    /// Why nothing has changed; `nil` when the command was accepted.
    package var refusal: Refusal? {
        if case .refused(let refusal) = self { refusal } else { nil }
    }
}

/// Where a shard goes.
package struct ReservedShard: Equatable, Sendable {
    package var peers: [PeerID]
    package var byteCount: Int
    package var allocationVersion: Int
    package var inputDigest: [UInt8]
    package var counts: VerdictCounts

    package init(_ reservation: Reservation) {
        peers = reservation.peers
        byteCount = reservation.byteCount
        allocationVersion = reservation.allocationVersion
        inputDigest = reservation.decision.inputDigest
        counts = reservation.decision.counts
    }

    init(
        peers: [PeerID], byteCount: Int, allocationVersion: Int, inputDigest: [UInt8],
        counts: VerdictCounts
    ) {
        self.peers = peers
        self.byteCount = byteCount
        self.allocationVersion = allocationVersion
        self.inputDigest = inputDigest
        self.counts = counts
    }
}

/// What became of a shard's new copies.
package struct SealedShard: Equatable, Sendable {
    /// All peers that hold the shard now, by peer ID.
    package var holders: [PeerID]
    /// The shard was there before.
    package var alreadyHeld: Bool
    /// Peers whose new copy is not needed and is dropped, by peer ID.
    package var surplus: [PeerID]
}

/// A root that is visible now.
package struct CommittedUpload: Equatable, Sendable {
    package var root: CID
    /// It was pinned before and its former shards are released.
    package var replaced: Bool
}

/// What went with one or more roots.
package struct UnpinnedRoots: Equatable, Sendable {
    package var rootCount: Int
    /// Shards that no root or upload needs any more.
    package var droppedShardCount: Int
    /// File bytes of their copies, free when the peers have deleted them.
    package var droppedByteCount: Int
}

/// What may have changed. Only a hint: the reconciler derives the work from the state, so a crash
/// between saving and acting loses nothing.
package enum Effect: Equatable, Sendable {
    /// The copies or dropped copies of a peer.
    case holdings(of: PeerID)
    case uploadEnded(UploadID)
    /// Members, their status, tags or capacity.
    case membership
}
