import Multiformats
import ShardPlanner

/// What is short of copies, and who may take them.
extension PinsetState {
    /// Shards of visible roots that want more copies than they have, and that `peer` is to copy: of
    /// the holders that are up, the one with the lowest ID is.
    ///
    /// - Parameters:
    ///   - lost: Peers whose copies do not count any more. One that went a moment ago is not among
    ///     them.
    ///   - limit: Most shards in the answer, in order of their CIDs.
    package func shardsToCopy(
        from peer: PeerID, lost: Set<PeerID>, limit: Int
    ) -> [ShardRecord] {
        let short = (shardsOnPeer[peer] ?? []).filter { cid in
            guard let shard = shards[cid], isShort(shard, without: lost),
                shard.uses.contains(where: { manifests[$0.upload]?.root != nil })
            else { return false }
            return shard.copies.first { peers[$0.peer]?.isUp == true }?.peer == peer
        }
        return short.sorted().prefix(limit).compactMap { shards[$0] }
    }

    /// Peers that may take another copy of a shard: with room, and where there are some, in zones
    /// that have none of its good copies.
    package func peersForAnotherCopy(of shard: ShardRecord, lost: Set<PeerID>) -> [PeerID] {
        let holders = Set(shard.copies.map(\.peer))
        let zones = Set(
            holders.subtracting(lost).compactMap { peers[$0] }.filter { !$0.isDraining }.compactMap(
                \.zone))
        let able = sortedPeers.compactMap { peers[$0] }.filter {
            $0.isReliable && !holders.contains($0.peer)
                && $0.freeByteCount >= shard.description.fileByteCount
        }
        let elsewhere = able.filter { record in record.zone.map { !zones.contains($0) } ?? true }
        return (elsewhere.isEmpty ? able : elsewhere).map(\.peer)
    }

    /// Whether every shard on a peer has all the copies it wants on others.
    package func isSpare(_ peer: PeerID) -> Bool {
        !(shardsOnPeer[peer] ?? []).contains { cid in
            shards[cid].map { isShort($0, without: [peer]) } ?? false
        }
    }

    private func isShort(_ shard: ShardRecord, without lost: Set<PeerID>) -> Bool {
        let good = shard.copies.count { copy in
            !lost.contains(copy.peer) && peers[copy.peer]?.isDraining == false
        }
        // Everywhere meant the peers of its time; what is lost of that is replaced.
        let wanted = shard.replicationMax < 0 ? shard.copies.count : shard.replicationMax
        return good < wanted
    }
}
