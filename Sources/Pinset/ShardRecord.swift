import Multiformats
import ShardPlanner

/// What the coordinator says of a sealed shard.
package struct ShardDescription: Equatable, Sendable {
    /// CID of the shard's list node.
    package var cid: CID
    package var blockCount: Int
    /// Sum of the block sizes.
    package var payloadByteCount: Int
    /// Length of the shard file: frames and index included.
    package var fileByteCount: Int
    /// Levels of list nodes: 1 or 2.
    package var depth: Int

    package init(
        cid: CID, blockCount: Int, payloadByteCount: Int, fileByteCount: Int, depth: Int
    ) {
        self.cid = cid
        self.blockCount = blockCount
        self.payloadByteCount = payloadByteCount
        self.fileByteCount = fileByteCount
        self.depth = depth
    }
}

/// A peer's proof that a shard is on its disk, as far as the state needs it.
package struct Receipt: Equatable, Sendable {
    package var peer: PeerID
    package var storageID: StorageID
    /// `PinsetState.generation(ofShard:on:)` when the peer began to store the copy.
    package var generation: Int
    package var fileByteCount: Int

    package init(peer: PeerID, storageID: StorageID, generation: Int, fileByteCount: Int) {
        self.peer = peer
        self.storageID = storageID
        self.generation = generation
        self.fileByteCount = fileByteCount
    }
}

/// One copy of a shard on a peer's disk.
package struct ShardCopy: Equatable, Sendable {
    package var peer: PeerID
    /// That of its receipt: the number of the last drop before it was stored, 0 for none.
    package var generation: Int
    package var fileByteCount: Int
}

/// Where an upload's shard may go, until it is sealed.
package struct Reservation: Equatable, Sendable {
    /// File bytes promised on each peer.
    package var byteCount: Int
    /// Peers in the order chosen.
    package var peers: [PeerID]
    /// Rises with every change of the peers; a transfer for an older one is refused.
    package var allocationVersion: Int
    package var decision: KeptDecision
}

/// What the state remembers of a placement, enough to replay it from the archived log.
package struct KeptDecision: Equatable, Sendable {
    /// The command that caused it; the state just before it is the input.
    package var logIndex: LogIndex
    package var logTime: LogTime
    package var upload: UploadID
    package var shardNumber: Int
    package var shardByteCount: Int
    package var policy: AllocationPolicy
    package var keeping: [PeerID]
    package var excluding: [PeerID]
    package var chosen: [PeerID]
    package var counts: VerdictCounts
    package var inputDigest: [UInt8]
    package var rulesVersion: Int
}

/// A sealed shard and its copies.
package struct ShardRecord: Equatable, Sendable {
    package var description: ShardDescription
    /// By peer ID.
    package var copies: [ShardCopy]
    /// The strictest factors of all uploads and roots that use the shard; -1 is stricter than all.
    package var replicationMin: Int
    package var replicationMax: Int
    private var decisionBox: DecisionBox
    /// The uploads (open, or committed and still the content of a root) that use the shard.
    /// Derived from their entries, not saved.
    package internal(set) var uses: [ShardUse] = []

    init(
        description: ShardDescription, copies: [ShardCopy], replicationMin: Int,
        replicationMax: Int, decision: KeptDecision
    ) {
        self.description = description
        self.copies = copies
        self.replicationMin = replicationMin
        self.replicationMax = replicationMax
        decisionBox = DecisionBox(decision)
    }

    /// The decision that placed the newest copies.
    package var decision: KeptDecision {
        get { decisionBox.decision }
        set { decisionBox = DecisionBox(newValue) }
    }

    /// The copy that a peer holds, if it does.
    package func copy(on peer: PeerID) -> ShardCopy? { copies.first { $0.peer == peer } }
}

/// Keeps decisions, which are large and rarely read, out of the slots of the shard table.
private final class DecisionBox: Equatable, Sendable {
    let decision: KeptDecision

    init(_ decision: KeptDecision) {
        self.decision = decision
    }

    static func == (left: DecisionBox, right: DecisionBox) -> Bool {
        left === right || left.decision == right.decision
    }
}

/// The place of a shard in an upload.
package struct ShardUse: Hashable, Sendable {
    package var upload: UploadID
    package var number: Int
}

/// A dropped copy. It stays known until no receipt from before it can come any more.
package struct DropRecord: Equatable, Sendable {
    /// A dropped file that may still be on the peer's disk.
    package struct Pending: Equatable, Sendable {
        package var generation: Int
        package var fileByteCount: Int
    }

    /// Number of the last drop. Drops are numbered through the whole state.
    package var generation = 0
    package var logIndex = LogIndex.beforeFirst
    /// Not confirmed yet, oldest first.
    package var pending: [Pending] = []

    mutating func add(_ drop: Pending, at index: LogIndex) {
        generation = drop.generation
        logIndex = index
        pending.append(drop)
    }
}
