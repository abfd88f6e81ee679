import Multiformats
import ShardPlanner

/// What a peer's disk should hold.
package struct Holdings: Equatable, Sendable {
    /// A shard file to hold.
    package struct Copy: Equatable, Sendable {
        package var shard: CID
        package var generation: Int
        package var fileByteCount: Int
    }

    /// Files to delete: every file of the shard whose generation is lower.
    package struct Drop: Equatable, Sendable {
        package var shard: CID
        /// To be named in `confirmDropped`.
        package var generation: Int
    }

    /// By shard CID.
    package var copies: [Copy]
    /// By shard CID.
    package var drops: [Drop]
}

/// Where an open upload stands.
package struct UploadProgress: Equatable, Sendable {
    /// Shards reserved or sealed.
    package var shardCount: Int
    package var sealedCount: Int
    /// Sum of the sealed shards' block sizes.
    package var sealedPayloadByteCount: Int
    /// Bytes promised on all peers together.
    package var reservedByteCount: Int
}

extension PinsetState {
    /// All members, by peer ID.
    package var members: [PeerRecord] { sortedPeers.compactMap { peers[$0] } }

    /// The peer that does for all what one has to do: the first by ID that is up.
    package var firstPeerUp: PeerID? { sortedPeers.first { peers[$0]?.isUp == true } }

    /// A member; `nil` for a stranger.
    package func peer(_ peer: PeerID) -> PeerRecord? { peers[peer] }

    /// An upload, open or ended and still remembered.
    package func upload(_ id: UploadID) -> UploadRecord? { uploads[id] }

    /// All remembered uploads, by ID.
    package var allUploads: [UploadRecord] { uploads.keys.sorted().compactMap { uploads[$0] } }

    /// Uploads that have not ended, by ID.
    package var allOpenUploads: [UploadRecord] {
        openUploads.sorted().compactMap { uploads[$0] }
    }

    /// Where an open upload stands; `nil` for one that has ended.
    package func progress(of id: UploadID) -> UploadProgress? {
        guard openUploads.contains(id), let manifest = manifests[id] else { return nil }
        var progress = UploadProgress(
            shardCount: manifest.entries.count, sealedCount: 0, sealedPayloadByteCount: 0,
            reservedByteCount: 0)
        for entry in manifest.entries {
            switch entry {
            case .reserved(let reservation):
                for _ in reservation.peers {
                    progress.reservedByteCount.addClamping(reservation.byteCount)
                }
            case .sealed(let cid):
                progress.sealedCount += 1
                progress.sealedPayloadByteCount.addClamping(
                    shards[cid]?.description.payloadByteCount ?? 0)
            }
        }
        return progress
    }

    /// The reservation of an open upload's shard; `nil` when there is none, or it is sealed.
    package func reservation(_ id: UploadID, number: Int) -> Reservation? {
        guard openUploads.contains(id), let entries = manifests[id]?.entries,
            entries.indices.contains(number), case .reserved(let reservation) = entries[number]
        else { return nil }
        return reservation
    }

    /// A sealed shard of an open upload; `nil` when there is none of that number, or it is not sealed.
    package func sealedShard(_ id: UploadID, number: Int) -> ShardRecord? {
        guard openUploads.contains(id), let entries = manifests[id]?.entries,
            entries.indices.contains(number), case .sealed(let cid) = entries[number]
        else { return nil }
        return shards[cid]
    }

    /// A sealed shard, of a visible root or of an open upload.
    package func shard(_ cid: CID) -> ShardRecord? { shards[cid] }

    /// Sealed shards, of visible roots and of open uploads.
    package var shardCount: Int { shards.count }
    /// Visible roots.
    package var rootCount: Int { roots.count }
    /// Uploads that have not ended.
    package var openUploadCount: Int { openUploads.count }

    /// All sealed shards in order of their CIDs, after a given one, at most `limit`.
    package func shards(after: CID? = nil, limit: Int) -> [ShardRecord] {
        let keys = after.map { start in shards.keys.filter { $0 > start } } ?? shards.keys
        return keys.sorted().prefix(limit).compactMap { shards[$0] }
    }

    /// Visible roots in order of their CIDs.
    package var allRoots: [RootRecord] { sortedRoots.compactMap { roots[$0] } }

    /// Whether `expirePins` at this time would remove a root.
    package func hasPins(expiringBy time: LogTime) -> Bool {
        roots.values.contains { root in root.options.expireAt.map { $0 <= time } ?? false }
    }

    /// Before which time `forgetEndedUploads` would forget uploads of which nobody need know any more:
    /// that ended before `time`, or before the last `limit` ones; `nil` when there are none.
    package func endOfUploadsToForget(endedBefore time: LogTime, keeping limit: Int) -> LogTime? {
        var end = time
        if endedUploads.count > limit,
            let kept = uploads[endedUploads[endedUploads.count - limit]]?.endedAt
        {
            end = max(end, kept)
        }
        guard let oldest = endedUploads.first else { return nil }
        return (uploads[oldest]?.endedAt).map { $0 < end } ?? true ? end : nil
    }

    /// The shards of a visible root in order; `nil` when it is not pinned.
    package func shards(ofRoot cid: CID) -> [ShardRecord]? {
        guard let root = root(cid), let manifest = manifests[root.upload] else { return nil }
        return manifest.entries.compactMap { entry in
            if case .sealed(let cid) = entry { shards[cid] } else { nil }
        }
    }

    /// Visible roots that a shard belongs to, ascending.
    package func roots(ofShard cid: CID) -> [CID] {
        Set((shards[cid]?.uses ?? []).compactMap { manifests[$0.upload]?.root }).sorted()
    }

    /// Roots that need a shard whose only copy is on this peer, ascending.
    package func roots(lostWithout peer: PeerID) -> [CID] {
        let last = (shardsOnPeer[peer] ?? []).filter { shards[$0]?.copies.count == 1 }
        return Set(last.flatMap { roots(ofShard: $0) }).sorted()
    }

    /// Roots that nobody could read whole if this peer were away: they need a shard of which no other peer
    /// that is up has a copy. Ascending.
    package func roots(unreadableWithout peer: PeerID) -> [CID] {
        let last = (shardsOnPeer[peer] ?? []).filter { cid in
            shards[cid]?.copies.contains { $0.peer != peer && peers[$0.peer]?.isUp == true }
                == false
        }
        return Set(last.flatMap { roots(ofShard: $0) }).sorted()
    }

    /// Whether a visible root has this shard.
    package func isNeededByRoot(_ shard: CID) -> Bool {
        shards[shard]?.uses.contains { manifests[$0.upload]?.root != nil } ?? false
    }

    /// Whether an upload that another peer takes has space reserved on this one.
    package func isPromisedToOthers(_ peer: PeerID) -> Bool {
        openUploads.contains { id in
            uploads[id]?.options.coordinator != peer
                && manifests[id]?.entries.contains { entry in
                    if case .reserved(let reservation) = entry {
                        reservation.peers.contains(peer)
                    } else {
                        false
                    }
                } ?? false
        }
    }

    /// What a peer's disk should hold, by this state.
    package func holdings(of peer: PeerID) -> Holdings {
        let copies = (shardsOnPeer[peer] ?? []).sorted().compactMap { cid in
            shards[cid]?.copy(on: peer).map {
                Holdings.Copy(
                    shard: cid, generation: $0.generation, fileByteCount: $0.fileByteCount)
            }
        }
        let drops = (drops[peer] ?? [:]).filter { !$1.pending.isEmpty }.map {
            Holdings.Drop(shard: $0, generation: $1.generation)
        }
        return Holdings(copies: copies, drops: drops.sorted { $0.shard < $1.shard })
    }

    /// Whether a peer is still to delete copies of a shard, among them those of this generation.
    package func isDropPending(of cid: CID, on peer: PeerID, above generation: Int) -> Bool {
        drops[peer]?[cid]?.pending.contains { $0.generation > generation } ?? false
    }

    /// The generation of a copy that a peer begins to store now: the number of the last drop of
    /// the shard there, 0 for none. Its receipt names it.
    package func generation(ofShard cid: CID, on peer: PeerID) -> Int {
        drops[peer]?[cid]?.generation ?? 0
    }

    /// Why a shard is where it is: the decision that placed its newest copies.
    package func why(_ cid: CID) -> KeptDecision? { shards[cid]?.decision }

    /// Decides again what `decision` decided, with verdicts for every peer.
    ///
    /// Asked of the state just before the decision's command it gives the same peers and the same
    /// input digest; asked of a later one, what would be decided now.
    package func replay(
        _ decision: KeptDecision
    ) throws(AllocationError) -> AllocationDecision {
        try allocate(
            AllocationRequest(
                upload: decision.upload, shardNumber: decision.shardNumber,
                shardByteCount: decision.shardByteCount, policy: decision.policy,
                keeping: decision.keeping, excluding: decision.excluding,
                atMilliseconds: decision.logTime.millisecondsSinceEpoch),
            among: capacities)
    }

    /// What it takes to tell where shards would go.
    package var planner: ShardPlacementPlan {
        ShardPlacementPlan(capacities: capacities, time: logTime)
    }
}

/// Where the shards of an upload would go if it were the only one: nothing is reserved.
package struct ShardPlacementPlan: Sendable {
    private var capacities: [PeerCapacity]
    private let time: LogTime

    init(capacities: [PeerCapacity], time: LogTime) {
        self.capacities = capacities
        self.time = time
    }

    /// The peers of the next shard.
    ///
    /// - Parameter fileByteCount: Length of its file, at least 1.
    package mutating func place(
        _ upload: UploadID, number: Int, fileByteCount: Int, policy: AllocationPolicy
    ) throws(AllocationError) -> [PeerID] {
        let chosen = try allocate(
            AllocationRequest(
                upload: upload, shardNumber: number, shardByteCount: fileByteCount,
                policy: policy, atMilliseconds: time.millisecondsSinceEpoch),
            among: capacities
        ).chosen
        for index in capacities.indices where chosen.contains(capacities[index].peer) {
            capacities[index].reservedByteCount += fileByteCount
        }
        return chosen
    }
}
